package syncer

import "sync"

// class is a task's priority in the queue: due retries go before new requests.
type class int

const (
	classDue class = iota
	classRequested
	classes
)

func (c class) String() string { return [classes]string{"due", "requested"}[c] }

// queue gives tasks to the callers: due ones first, each class in its order of arrival, and one task of an order at a
// time. An order is busy from its first task's push until release, so a second record of it waits until the first one
// is committed.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	ready   [classes][]*task
	waiting map[string][]*task // tasks of busy orders, by key; the key exists, perhaps with no tasks, while the order is busy
	held    map[int32][]*task  // tasks that callers gave back, by lane, until the lane resumes
	closed  bool
}

func newQueue() *queue {
	q := &queue{waiting: map[string][]*task{}, held: map[int32][]*task{}}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// push adds a task. It waits while its order is busy.
func (q *queue) push(t *task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if waiting, busy := q.waiting[t.key]; busy {
		q.waiting[t.key] = append(waiting, t)
		return
	}
	q.waiting[t.key] = nil
	q.makeReady(t)
}

// makeReady wakes one caller. The lock is held.
func (q *queue) makeReady(t *task) {
	q.ready[t.class] = append(q.ready[t.class], t)
	q.changed.Signal()
}

// next waits until a task is ready. It is not ok once the queue is closed.
func (q *queue) next() (t *task, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return nil, false
		}
		for c := range q.ready {
			if len(q.ready[c]) > 0 {
				t, q.ready[c] = q.ready[c][0], q.ready[c][1:]
				return t, true
			}
		}
		q.changed.Wait()
	}
}

// holdBack keeps a task of a held lane until the lane resumes. Its order stays busy. When the lane is not held any
// more, the task is ready at once. When its partition is taken away, holdBack is false.
func (q *queue) holdBack(t *task, isHeld func(lane int32) bool) (kept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case t.Stopping():
		return false
	case isHeld(t.Lane()):
		q.held[t.Lane()] = append(q.held[t.Lane()], t)
	default:
		q.makeReady(t)
	}
	return true
}

// resume makes the tasks of the lanes ready, before all others of their class.
func (q *queue) resume(lanes []int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, lane := range lanes {
		var resumed [classes][]*task
		for _, t := range q.held[lane] {
			resumed[t.class] = append(resumed[t.class], t)
		}
		for c := range resumed {
			q.ready[c] = append(resumed[c], q.ready[c]...)
		}
		delete(q.held, lane)
	}
	q.changed.Broadcast()
}

// release makes the order's next task ready. Without one the order is no longer busy.
func (q *queue) release(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := q.waiting[key]
	if len(waiting) == 0 {
		delete(q.waiting, key)
		return
	}
	q.waiting[key] = waiting[1:]
	q.makeReady(waiting[0])
}

// drain removes and returns every task that no caller has. An order stays busy while a caller has a task of it.
func (q *queue) drain() (all []*task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var first []*task // the tasks that make their orders busy
	for c := range q.ready {
		first = append(first, q.ready[c]...)
		q.ready[c] = nil
	}
	for _, held := range q.held {
		first = append(first, held...)
	}
	q.held = map[int32][]*task{}
	for key, waiting := range q.waiting {
		all = append(all, waiting...)
		q.waiting[key] = nil
	}
	for _, t := range first {
		delete(q.waiting, t.key)
	}
	return append(all, first...)
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

// length returns how many tasks of a class are ready.
func (q *queue) length(c class) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready[c])
}
