package syncer

import "sync"

// class is a work's place in the queue: what is due goes before what was just requested.
type class int

const (
	classDue class = iota
	classRequested
	classes
)

// queue hands works to the callers: of one order one at a time, due ones first, in order of arrival otherwise.
// An order is busy from next until release, so that a second record of it waits for the first one's commit.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	ready   [classes][]*work
	waiting map[string][]*work // works of busy orders, by key; present (perhaps empty) while the order is busy
	closed  bool
}

func newQueue() *queue {
	q := &queue{waiting: map[string][]*work{}}
	q.changed = sync.NewCond(&q.mu)
	return q
}

func (q *queue) push(w *work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if waiting, busy := q.waiting[w.key]; busy {
		q.waiting[w.key] = append(waiting, w)
		return
	}
	q.waiting[w.key] = nil
	q.makeReady(w)
}

func (q *queue) makeReady(w *work) {
	q.ready[w.class] = append(q.ready[w.class], w)
	q.changed.Signal()
}

// next blocks until a work is ready; ok is false once the queue is closed.
func (q *queue) next() (w *work, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return nil, false
		}
		for c := range q.ready {
			if len(q.ready[c]) > 0 {
				w, q.ready[c] = q.ready[c][0], q.ready[c][1:]
				return w, true
			}
		}
		q.changed.Wait()
	}
}

// release ends the order's turn and makes its next work ready.
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

// drop forgets every work that has not been handed out and is of the assignment.
func (q *queue) drop(a *assignment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := func(w *work) bool { return w.part.assignment == a }
	for key, waiting := range q.waiting {
		q.waiting[key] = without(waiting, gone)
	}
	var freed []string
	for c := range q.ready {
		for _, w := range q.ready[c] {
			if gone(w) {
				freed = append(freed, w.key)
			}
		}
		q.ready[c] = without(q.ready[c], gone)
	}
	for _, key := range freed {
		q.end(key)
	}
	q.changed.Broadcast()
}

func without(works []*work, gone func(*work) bool) []*work {
	kept := works[:0:0]
	for _, w := range works {
		if !gone(w) {
			kept = append(kept, w)
		}
	}
	return kept
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

// length is how many works of a class are ready.
func (q *queue) length(c class) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready[c])
}
