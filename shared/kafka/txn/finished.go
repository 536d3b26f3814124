package txn

import "sync"

// finished collects the tasks that have come to their end, until they are committed. Putting never blocks; what is in hand
// bounds it.
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

// putFirst lets tasks stand before all others again; they wait for something else than this.
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

// take is the oldest tasks, up to the limits and at least one, without those that must wait.
func (f *finished) take(maxTasks, maxBytes int, waits func(*Task) bool) (taken []*Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left, bytes, full := f.tasks[:0:0], 0, false
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
	return taken
}
