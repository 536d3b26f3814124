package syncer

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// newTestQueue returns a queue that gives three retries of a shop for each request.
func newTestQueue() *queue { return newQueue(func() int { return 3 }, func() {}) }

// next waits for a task and takes it.
func (q *queue) next() (t *task, ok bool) {
	if !q.await() {
		return nil, false
	}
	return q.take(func(*task) bool { return false })
}

// nextOf takes the next task, which must be ready.
func nextOf(t require.TestingT, q *queue) *task {
	require.NotZero(t, q.length(classDue)+q.length(classRequested), "no task is ready")
	own, ok := q.next()
	require.True(t, ok)
	return own
}

// Callers that wait for the ERP have taken nothing: what comes meanwhile has its turn at once.
func TestACallerTakesTheTaskWhoseTurnItIsWhenItMayCall(t *testing.T) {
	q := newTestQueue()
	for _, key := range []string{"1", "2", "3"} {
		q.push(&task{key: key, shop: "noisy"})
	}
	require.True(t, q.await())
	require.True(t, q.await())
	q.push(&task{key: "b/1", shop: "b"})
	first, _ := q.take(func(*task) bool { return false })
	second, _ := q.take(func(*task) bool { return false })
	require.Equal(t, []string{"1", "b/1"}, []string{first.key, second.key})
}

func TestCallersLeaveWhenTheirTasksAreTakenAway(t *testing.T) {
	q := newTestQueue()
	q.push(&task{key: "1"})
	q.push(&task{key: "2"})
	require.True(t, q.await())
	require.True(t, q.await())
	require.False(t, q.isShort())
	q.drain()
	require.True(t, q.isShort())
	_, ok := q.take(func(*task) bool { return false })
	require.False(t, ok)
	q.leave()
	require.False(t, q.isShort())
	q.push(&task{key: "3"})
	require.Equal(t, "3", nextOf(t, q).key)
}

// A task finds no room, and its shop's others are taken. More is asked for before the last one, and once: callers do not wait for the next
// transaction, which would offer tasks too.
func TestMoreIsAskedForBeforeCallersHaveNothingToDo(t *testing.T) {
	t.Parallel()
	asked := 0
	q := newQueue(func() int { return 3 }, func() { asked++ })
	fill := func() (n int) {
		for ; q.hasRoom("a", classRequested, 16); n++ {
			q.push(&task{key: fmt.Sprint(n, asked), shop: "a", class: classRequested})
		}
		return n
	}
	takeUntil := func(left int) {
		for q.length(classRequested) > left {
			nextOf(t, q)
		}
	}
	require.Equal(t, 8, fill())
	takeUntil(5)
	require.Zero(t, asked, "there is enough to do")
	takeUntil(4)
	require.Equal(t, 1, asked)
	takeUntil(0)
	require.Equal(t, 1, asked, "nothing has found no room since")
	require.Equal(t, 8, fill())
	require.True(t, q.hasRoom("a", classDue, 16))
	takeUntil(0)
	require.Equal(t, 2, asked)
}

func TestDrainReturnsWhatNoCallerHas(t *testing.T) {
	q := newTestQueue()
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
	q := newTestQueue()
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
		q := newTestQueue()
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
