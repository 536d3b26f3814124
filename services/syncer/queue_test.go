package syncer

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// nextOf takes the next task, which must be ready.
func nextOf(t require.TestingT, q *queue) *task {
	require.NotZero(t, q.length(classDue)+q.length(classRequested), "no task is ready")
	own, ok := q.next()
	require.True(t, ok)
	return own
}

func TestDueTasksGoFirstEachClassInItsOrder(t *testing.T) {
	q := newQueue()
	for _, own := range []*task{
		{key: "1", class: classRequested}, {key: "2", class: classDue}, {key: "3", class: classRequested}, {key: "4", class: classDue},
	} {
		q.push(own)
	}
	require.Equal(t, 2, q.length(classDue))
	var keys []string
	for range 4 {
		keys = append(keys, nextOf(t, q).key)
	}
	require.Equal(t, []string{"2", "4", "1", "3"}, keys)
}

func TestDrainReturnsWhatNoCallerHas(t *testing.T) {
	q := newQueue()
	inCall, second, other := &task{key: "1"}, &task{key: "1"}, &task{key: "2"}
	q.push(inCall)
	q.push(second)
	q.push(other)
	require.Same(t, inCall, nextOf(t, q))
	require.ElementsMatch(t, []*task{second, other}, q.drain())
	require.Contains(t, q.waiting, "1", "a caller has a task of it")
	require.NotContains(t, q.waiting, "2")
	q.release("1")
	require.NotContains(t, q.waiting, "1")
}

func TestCloseWakesEveryCaller(t *testing.T) {
	q := newQueue()
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() {
			_, ok := q.next()
			require.False(t, ok)
		})
	}
	q.close()
	callers.Wait()
}

// Whatever is pushed, taken, released and drained, an order has one task in a call at a time, its tasks begin in their
// order, and no task is lost or given twice.
func TestTheQueueGivesEachOrderOneTaskAtATime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		inCall := map[string]bool{}
		pushed, begun := map[string][]*task{}, map[string]int{}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				own := &task{key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"), class: class(rapid.IntRange(0, 1).Draw(t, "class"))}
				pushed[own.key] = append(pushed[own.key], own)
				q.push(own)
			},
			"next": func(t *rapid.T) {
				if q.length(classDue)+q.length(classRequested) == 0 {
					return // next would wait
				}
				own := nextOf(t, q)
				require.False(t, inCall[own.key], "order %s has two tasks in a call", own.key)
				require.Same(t, pushed[own.key][begun[own.key]], own, "the first task of order %s that has not begun", own.key)
				begun[own.key]++
				inCall[own.key] = true
			},
			"release": func(t *rapid.T) {
				key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
				if inCall[key] {
					inCall[key] = false
					q.release(key)
				}
			},
			"drain": func(t *rapid.T) {
				left := 0
				for key, all := range pushed {
					left += len(all) - begun[key]
					pushed[key] = all[:begun[key]]
				}
				require.Len(t, q.drain(), left)
			},
			"": func(t *rapid.T) {
				for key, all := range pushed {
					require.Equal(t, inCall[key] || begun[key] < len(all), busy(q, key), "order %s", key)
				}
			},
		})
	})
}

func busy(q *queue, key string) bool {
	_, is := q.waiting[key]
	return is
}
