package syncer

import "sync"

// inbox collects finished works for the committer. Putting never blocks; its size is bounded by what is in memory.
type inbox struct {
	mu     sync.Mutex
	works  []*work
	signal chan struct{}
}

func newInbox() *inbox { return &inbox{signal: make(chan struct{}, 1)} }

func (i *inbox) put(w *work) {
	i.mu.Lock()
	i.works = append(i.works, w)
	i.mu.Unlock()
	i.wake()
}

func (i *inbox) wake() {
	select {
	case i.signal <- struct{}{}:
	default:
	}
}

// take is up to most works, oldest first.
func (i *inbox) take(most int) []*work {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := min(most, len(i.works))
	taken := i.works[:n:n]
	i.works = i.works[n:]
	if len(i.works) > 0 {
		i.wake()
	}
	return taken
}
