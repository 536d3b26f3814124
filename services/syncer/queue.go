package syncer

import "sync"

// class is a task's place in the queue: what is due goes before what was just requested.
type class int

const (
	classDue class = iota
	classRequested
	classes
)

func (c class) String() string { return [classes]string{"due", "requested"}[c] }

// queue hands tasks to the callers: of one order one at a time, due ones first, in order of arrival otherwise. An order is
// busy from next until release, so that a second record of it waits for the first one's commit.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	ready   [classes][]*task
	waiting map[string][]*task // tasks of busy orders, by key; present (perhaps empty) while the order is busy
	aside   map[int32][]*task  // handed out and given back, by lane: they wait until it takes records
	closed  bool
}

func newQueue() *queue {
	q := &queue{waiting: map[string][]*task{}, aside: map[int32][]*task{}}
	q.changed = sync.NewCond(&q.mu)
	return q
}

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

func (q *queue) makeReady(t *task) {
	q.ready[t.class] = append(q.ready[t.class], t)
	q.changed.Signal()
}

// next blocks until a task is ready; ok is false once the queue is closed.
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

// setAside keeps a task that was handed out until its lane resumes; its order stays busy. When the lane is not held any more
// it is ready again at once, and it is refused when its assignment ends.
func (q *queue) setAside(t *task, isHeld func(lane int32) bool) (kept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case t.Stopping():
		return false
	case isHeld(t.Lane()):
		q.aside[t.Lane()] = append(q.aside[t.Lane()], t)
	default:
		q.makeReady(t)
	}
	return true
}

// resume makes the tasks ready that wait for the lanes, before all others of their class.
func (q *queue) resume(lanes []int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, lane := range lanes {
		var again [classes][]*task
		for _, t := range q.aside[lane] {
			again[t.class] = append(again[t.class], t)
		}
		for c := range again {
			q.ready[c] = append(again[c], q.ready[c]...)
		}
		delete(q.aside, lane)
	}
	q.changed.Broadcast()
}

// release ends the order's turn and makes its next task ready.
func (q *queue) release(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end(key)
}

func (q *queue) end(key string) {
	waiting := q.waiting[key]
	if len(waiting) == 0 {
		delete(q.waiting, key)
		return
	}
	q.waiting[key] = waiting[1:]
	q.makeReady(waiting[0])
}

// drain forgets every task that no caller has, and returns them. Orders stay busy of which a caller has one.
func (q *queue) drain() (all []*task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var free []*task // whose order nobody else has
	for c := range q.ready {
		free = append(free, q.ready[c]...)
		q.ready[c] = nil
	}
	for _, aside := range q.aside {
		free = append(free, aside...)
	}
	q.aside = map[int32][]*task{}
	for key, waiting := range q.waiting {
		all = append(all, waiting...)
		q.waiting[key] = nil
	}
	for _, t := range free {
		delete(q.waiting, t.key)
	}
	return append(all, free...)
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

// length is how many tasks of a class are ready.
func (q *queue) length(c class) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready[c])
}
