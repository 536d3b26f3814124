package syncer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	maxUntoldEnds    = 10_000 // beyond this, ends are left to the projector
	closeGateTimeout = time.Second
)

// gateCloser tells gates which generations have ended. That is advice that spares others a wait for the projection; the
// projector makes sure that gates are closed.
type gateCloser struct {
	tell     func(ctx context.Context, ends []GenerationEnd) error
	log      *slog.Logger
	postgres *run.Outage

	mu     sync.Mutex
	ends   []GenerationEnd
	signal chan struct{}
}

func newGateCloser(tell func(ctx context.Context, ends []GenerationEnd) error, log *slog.Logger, postgres *run.Outage) *gateCloser {
	return &gateCloser{tell: tell, log: log, postgres: postgres, signal: make(chan struct{}, 1)}
}

func (g *gateCloser) put(ends []GenerationEnd) {
	if len(ends) == 0 {
		return
	}
	g.mu.Lock()
	if len(g.ends) < maxUntoldEnds {
		g.ends = append(g.ends, ends...)
	}
	g.mu.Unlock()
	select {
	case g.signal <- struct{}{}:
	default:
	}
}

func (g *gateCloser) take() []GenerationEnd {
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := g.ends
	g.ends = nil
	return taken
}

func (g *gateCloser) run(done <-chan struct{}) {
	for {
		select {
		case <-g.signal:
		case <-done:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeGateTimeout)
		g.postgres.Report(g.log, g.tell(ctx, g.take()))
		cancel()
	}
}
