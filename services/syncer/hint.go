package syncer

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// hints are endings on their way to the gates. They are advice that spares others a wait for the projection; the
// projector makes sure that gates are closed.
type hints struct {
	mu      sync.Mutex
	endings []Ending
	signal  chan struct{}
}

const hintsMost = 10_000 // beyond this, endings are left to the projector

func newHints() *hints { return &hints{signal: make(chan struct{}, 1)} }

func (h *hints) put(endings []Ending) {
	if len(endings) == 0 {
		return
	}
	h.mu.Lock()
	if len(h.endings) < hintsMost {
		h.endings = append(h.endings, endings...)
	}
	h.mu.Unlock()
	select {
	case h.signal <- struct{}{}:
	default:
	}
}

func (h *hints) take() []Ending {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := h.endings
	h.endings = nil
	return taken
}

func (s *Syncer) hinter(done <-chan struct{}) {
	for {
		select {
		case <-s.hints.signal:
		case <-done:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		s.postgresDown.report(s.log, s.tell(ctx, s.hints.take()))
		cancel()
	}
}

// outage logs when a dependency goes away and when it is back, not at each failure between.
type outage struct {
	what string
	mu   sync.Mutex
	down bool
}

func (o *outage) report(log *slog.Logger, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && !o.down:
		log.Warn("dependency failing; retrying until it answers", "dependency", o.what, "error", err)
	case err == nil && o.down:
		log.Info("dependency answers again", "dependency", o.what)
	}
	o.down = err != nil
}
