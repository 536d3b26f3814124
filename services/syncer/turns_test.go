package syncer

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// namesOf takes n tasks.
func (t *turns) namesOf(n, retryWeight int) (keys []string) {
	for range n {
		keys = append(keys, t.next(retryWeight).key)
	}
	return keys
}

func TestShopsTakeTurns(t *testing.T) {
	t.Parallel()
	turns := newTurns()
	for i := range 4 {
		turns.push(&task{key: fmt.Sprint("a", i), shop: "a", class: classRequested})
	}
	turns.push(&task{key: "b0", shop: "b", class: classRequested})
	turns.push(&task{key: "c0", shop: "c", class: classDue})
	require.Equal(t, []string{"a0", "b0", "c0", "a1"}, turns.namesOf(4, 3))
	turns.push(&task{key: "b1", shop: "b", class: classRequested})
	require.Equal(t, []string{"a2", "b1", "a3"}, turns.namesOf(3, 3))
	require.Nil(t, turns.next(3))
}

func TestRetriesAndNewOrdersOfAShopShareByWeight(t *testing.T) {
	t.Parallel()
	for weight, want := range map[int][]string{
		1: {"r0", "n0", "r1", "n1", "r2", "n2"}, 2: {"r0", "r1", "n0", "r2", "r3", "n1"}, 100: {"r0", "r1", "r2", "r3", "n0", "n1"},
	} {
		turns := newTurns()
		for i := range 4 {
			turns.push(&task{key: fmt.Sprint("n", i), shop: "a", class: classRequested})
			turns.push(&task{key: fmt.Sprint("r", i), shop: "a", class: classDue})
		}
		require.Equal(t, want, turns.namesOf(6, weight))
	}
}

func TestAShopLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	turns := newTurns()
	fill := func(shop string) (n int) {
		for ; turns.hasRoom(shop, classRequested, 128); n++ {
			turns.push(&task{shop: shop, class: classRequested})
		}
		return n
	}
	require.Equal(t, 64, fill("a"))
	require.Equal(t, 32, fill("b"))
	require.Equal(t, 16, fill("c"))
	require.True(t, turns.hasRoom("a", classDue, 128), "each class has its own")
	for i := range 2 * newcomers {
		fill(fmt.Sprint(i))
	}
	require.Equal(t, 128+newcomers, turns.ready[classRequested], "memory has a limit, however many shops there are")
}

// Whatever is pushed and taken: a shop waits for one task of each other shop at most, a class of it for as many of the
// other as the weight says, each in its order; and no task is lost.
func TestNobodyWaitsForMoreThanItsTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.IntRange(1, 4).Draw(t, "weight")
		names := []string{"a", "b", "c", "d"}
		turns := newTurns()
		waits := map[string][classes][]*task{} // the tasks of each shop
		passed := map[string]map[string]int{}  // calls of other shops since it last had a turn, while it waited
		sinceTurn := map[string][classes]int{} // calls of the other class since the class had its turn, while both waited
		has := func(shop string) bool { return len(waits[shop][0])+len(waits[shop][1]) > 0 }
		push := func(first bool) func(*rapid.T) {
			return func(t *rapid.T) {
				own := &task{shop: rapid.SampledFrom(names).Draw(t, "shop"), class: class(rapid.IntRange(0, 1).Draw(t, "class"))}
				if !has(own.shop) {
					passed[own.shop], sinceTurn[own.shop] = map[string]int{}, [classes]int{}
				}
				all := waits[own.shop]
				if first {
					all[own.class] = append([]*task{own}, all[own.class]...)
					turns.pushFirst(own)
				} else {
					all[own.class] = append(all[own.class], own)
					turns.push(own)
				}
				waits[own.shop] = all
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": push(false), "pushFirst": push(true),
			"next": func(t *rapid.T) {
				own := turns.next(weight)
				if own == nil {
					for _, name := range names {
						require.False(t, has(name))
					}
					return
				}
				all := waits[own.shop]
				require.Same(t, all[own.class][0], own)
				since := sinceTurn[own.shop]
				if other := 1 - own.class; len(all[other]) > 0 {
					since[other]++
					require.LessOrEqual(t, since[classRequested], weight)
					require.LessOrEqual(t, since[classDue], 1)
				}
				since[own.class] = 0
				all[own.class] = all[own.class][1:]
				waits[own.shop], sinceTurn[own.shop], passed[own.shop] = all, since, map[string]int{}
				for _, name := range names {
					if name != own.shop && has(name) {
						passed[name][own.shop]++
						require.LessOrEqual(t, passed[name][own.shop], 1, "shop %s waits for two tasks of %s", name, own.shop)
					}
				}
			},
			"": func(t *rapid.T) {
				var ready [classes]int
				for _, name := range names {
					for c := range ready {
						ready[c] += len(waits[name][c])
						require.Equal(t, len(waits[name][c]), turns.waiting(name, class(c)))
					}
				}
				require.Equal(t, ready, turns.ready)
			},
		})
	})
}
