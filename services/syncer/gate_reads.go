package syncer

import (
	"context"
	"time"

	"github.com/erpconnector/erpconnector/shared/coalesce"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// gateReads lets orders that go out at the same time share a query of their gates. Each query begins after its orders asked.
type gateReads struct {
	shared coalesce.Group[*gateRead]
}

// gateRead is the question about one order, and the answer.
type gateRead struct {
	of     domain.Sync
	advice domain.Advice
}

func newGateReads(g gates) *gateReads {
	work := func(ctx context.Context, reads []*gateRead) error {
		syncs := make([]domain.Sync, len(reads))
		for i, r := range reads {
			syncs[i] = r.of
		}
		advice, err := g.Advise(ctx, syncs)
		for i := range advice {
			reads[i].advice = advice[i]
		}
		return err
	}
	return &gateReads{coalesce.Group[*gateRead]{Work: work, Running: 1, SlowRunning: 4, MaxWait: 50 * time.Millisecond, MaxItems: commitTasks}}
}

// advise is gates.Advise of one order.
func (g *gateReads) advise(ctx context.Context, s domain.Sync) (domain.Advice, error) {
	read := &gateRead{of: s}
	err := g.shared.Do(ctx, read)
	return read.advice, err
}
