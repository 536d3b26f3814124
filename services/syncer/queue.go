package syncer

import "sync"

// class is what a task is: a due retry or a new request.
type class int

const (
	classDue class = iota
	classRequested
	classes
)

func (c class) String() string { return [classes]string{"due", "requested"}[c] }

// queue gives tasks to the callers: by turns, and one task of an order at a time. An order is busy from its first task's
// push until release, so a second record of it waits until the first one is committed.
//
// A caller first waits for any task, then for its right to call, and only then takes one. So whatever waits for the ERP,
// the next call is for the shop whose turn it is then.
type queue struct {
	retryWeight func() int
	more        func() // has tasks pushed that found no room; it must not block

	mu      sync.Mutex
	changed *sync.Cond
	turns   *turns             // the tasks that are ready
	callers int                // that wait for their right to call, each with a ready task in view
	waiting map[string][]*task // tasks of busy orders, by key; the key exists, perhaps with no tasks, while the order is busy
	held    map[int32][]*task  // tasks that callers gave back, by lane, until the lane resumes
	low     [classes]int       // after a task found no room: with so few ready ones more is called; 0: none did
	closed  bool
}

func newQueue(retryWeight func() int, more func()) *queue {
	q := &queue{retryWeight: retryWeight, more: more, turns: newTurns(), waiting: map[string][]*task{}, held: map[int32][]*task{}}
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
	q.turns.push(t)
	q.changed.Signal()
}

// await waits until there is a ready task for one more caller. It is not ok once the queue is closed. The caller then
// calls take or leave.
func (q *queue) await() (ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && q.ready() <= q.callers {
		q.changed.Wait()
	}
	if q.closed {
		return false
	}
	q.callers++
	return true
}

// isShort reports whether there are fewer ready tasks than callers that wait: some were taken away. Then a caller should
// leave.
func (q *queue) isShort() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed || q.ready() < q.callers
}

// leave is called by a caller that does not take a task.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.callers--
	q.changed.Signal()
}

// take returns the next task. Those of held lanes wait until their lane resumes. It is not ok when there is none any more.
func (q *queue) take(isHeld func(*task) bool) (t *task, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.callers--
	for t = q.turns.next(q.retryWeight()); t != nil && isHeld(t); t = q.turns.next(q.retryWeight()) {
		q.held[t.Lane()] = append(q.held[t.Lane()], t)
	}
	for c, low := range q.low {
		if low > 0 && q.turns.ready[c] <= low {
			q.low[c] = 0
			q.more()
		}
	}
	return t, t != nil
}

// ready returns how many tasks are ready. The lock is held.
func (q *queue) ready() int { return q.turns.ready[classDue] + q.turns.ready[classRequested] }

// hasRoom reports whether a task of a shop and class may be pushed. After a task that may not, more is called before the callers
// have nothing to do.
func (q *queue) hasRoom(shop string, c class, room int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	has := q.turns.hasRoom(shop, c, room)
	if !has {
		q.low[c] = max(1, room/lowRoom)
	}
	return has
}

// lowRoom is the part of the room that is left when more tasks are asked for: with 8 tasks for each call, those of two calls.
const lowRoom = 4

// giveBack takes a task back that its caller does not bring to an end. It is the next of its shop, once its lane is not
// held. Its order stays busy. When its partition is taken away, giveBack is false.
func (q *queue) giveBack(t *task, isHeld func(*task) bool) (kept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case t.Stopping():
		return false
	case isHeld(t):
		q.held[t.Lane()] = append(q.held[t.Lane()], t)
	default:
		q.turns.pushFirst(t)
		q.changed.Signal()
	}
	return true
}

// resume makes the tasks of the lanes ready, before all others of their shop and class.
func (q *queue) resume(lanes []int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, lane := range lanes {
		q.turns.pushFirst(q.held[lane]...)
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
	q.turns.push(waiting[0])
	q.changed.Signal()
}

// drain removes and returns every task that no caller has. An order stays busy while a caller has a task of it.
func (q *queue) drain() (all []*task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.turns.drain() // the tasks that make their orders busy
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
	return q.turns.ready[c]
}
