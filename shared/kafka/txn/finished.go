package txn

import "sync"

// finished collects finished tasks until they are committed. Putting never blocks. It needs no limit: the handler
// limits how many tasks it takes.
type finished struct {
	mu     sync.Mutex
	tasks  []*Task
	signal chan struct{}
}

func newFinished() *finished { return &finished{signal: make(chan struct{}, 1)} }

func (f *finished) put(tasks ...*Task) {
	f.mu.Lock()
	f.tasks = append(f.tasks, tasks...)
	f.mu.Unlock()
	f.wake()
}

// putFirst puts tasks back before all others. It gives no signal: they wait for their lane.
func (f *finished) putFirst(tasks []*Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tasks = append(tasks, f.tasks...)
}

func (f *finished) wake() {
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// has reports whether so many tasks could be taken.
func (f *finished) has(n int, waits func(*Task) bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.tasks) < n {
		return false
	}
	for _, t := range f.tasks {
		if !waits(t) {
			n--
		}
	}
	return n <= 0
}

// take removes and returns the oldest tasks, up to the limits but at least one. Tasks that must wait stay. full reports whether
// others stay too.
func (f *finished) take(maxTasks, maxBytes int, waits func(*Task) bool) (taken []*Task, full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left, bytes := f.tasks[:0:0], 0
	for _, t := range f.tasks {
		switch size := t.size(); {
		case waits(t):
			left = append(left, t)
			continue
		case full || len(taken) == maxTasks || (len(taken) > 0 && bytes+size > maxBytes):
			full = true
			left = append(left, t)
		default:
			taken, bytes = append(taken, t), bytes+size
		}
	}
	f.tasks = left
	if full {
		f.wake()
	}
	return taken, full
}
