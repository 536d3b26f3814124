package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// projection is rows that a test changes, and how often they were looked at.
type projection struct {
	mu    sync.Mutex
	rows  map[string]projected
	err   error
	looks int
	keys  int // of the last look
}

func (p *projection) read(_ context.Context, keys []string) (map[string]projected, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks++
	p.keys = len(keys)
	out := map[string]projected{}
	for _, key := range keys {
		if row, known := p.rows[key]; known {
			out[key] = row
		}
	}
	return out, p.err
}

func (p *projection) set(change func(p *projection)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func gateOf(n int) domain.Gate {
	return open(domain.OrderRef{Source: "default", IncrementID: fmt.Sprint(n)}, int64(n))
}

// project puts a row for the first orders, as of their requests.
func project(orders int) *projection {
	p := &projection{rows: map[string]projected{}}
	for n := range orders {
		g := gateOf(n)
		p.rows[g.Ref.Key()] = projected{number: 1, stamp: domain.Stamp{Version: g.Version, Time: g.UpdatedAt}, row: generation{status: domain.Queued}}
	}
	return p
}

// gone waits until nobody looks any more.
func (w *waiters) gone(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Nil(t, w.poller)
	require.Empty(t, w.waiting)
}

// Each of 500 callers that waited asked Postgres 40 times a second.
func TestAllWhoWaitShareOneLook(t *testing.T) {
	t.Parallel()
	const callers = 500
	p := project(callers / 2) // two of each order
	w := newWaiters(p.read)
	var waiting sync.WaitGroup
	for n := range callers {
		waiting.Go(func() {
			got, err := w.await(t.Context(), gateOf(n/2), 20*time.Second)
			if err != nil || got.status != domain.Success {
				t.Errorf("order %d: %v, %v", n/2, got, err)
			}
		})
	}
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.keys == callers/2
	}, time.Minute, time.Millisecond, "one look at all orders that are waited for")
	p.set(func(p *projection) {
		for key, row := range p.rows {
			row.row.status, row.stamp.Version = domain.Success, domain.AttemptVersion(1, 1, domain.PhaseTerminal)
			p.rows[key] = row
		}
	})
	waiting.Wait()
	w.gone(t)
}

func TestAwait(t *testing.T) {
	t.Parallel()
	ended := func(p *projection) {
		p.rows["0"] = projected{number: 1, stamp: domain.Stamp{Version: domain.AttemptVersion(1, 1, domain.PhaseTerminal)}, row: generation{status: domain.Failed, attempts: 1}}
	}
	later := func(p *projection, change func(*projection)) {
		for looks := 0; looks < 3; { // the first is the caller's own
			p.set(func(p *projection) { looks = p.looks })
		}
		p.set(change)
	}
	for name, c := range map[string]struct {
		wait    time.Duration
		before  func(p *projection)
		after   func(p *projection)
		want    generation
		wantErr string
	}{
		"it_has_ended":                        {wait: time.Minute, before: ended, want: generation{status: domain.Failed, attempts: 1}},
		"it_ends":                             {wait: time.Minute, after: ended, want: generation{status: domain.Failed, attempts: 1}},
		"the_time_is_over":                    {wait: 3 * pollInterval, want: generation{status: domain.Queued}},
		"nobody_waits":                        {want: generation{status: domain.Queued}},
		"the_projection_knows_nothing":        {before: func(p *projection) { p.rows["0"] = projected{stamp: domain.Stamp{Version: -1}} }, want: generation{status: domain.Queued}},
		"a_newer_one_came":                    {wait: time.Minute, after: func(p *projection) { p.rows["0"] = projected{number: 2} }, want: generation{newer: true}},
		"postgres_goes_away":                  {wait: time.Minute, after: func(p *projection) { p.err = errors.New("away") }, want: generation{status: domain.Queued}, wantErr: "away"},
		"postgres_is_away":                    {wait: time.Minute, before: func(p *projection) { p.err = errors.New("away") }, wantErr: "away"},
		"the_gate_is_deleted":                 {wait: time.Minute, after: func(p *projection) { delete(p.rows, "0") }, want: generation{status: domain.Queued}, wantErr: "no gate"},
		"the_row_is_of_the_generation_before": {before: func(p *projection) { p.rows["0"] = projected{row: generation{status: domain.Success}} }, want: generation{status: domain.Queued}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := project(1)
			if c.before != nil {
				c.before(p)
			}
			w := newWaiters(p.read)
			var changing sync.WaitGroup
			if c.after != nil {
				changing.Go(func() { later(p, c.after) })
			}
			got, err := w.await(t.Context(), gateOf(0), c.wait)
			changing.Wait()
			if c.wantErr == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.wantErr)
			}
			require.Equal(t, c.want, got)
			w.gone(t)
		})
	}
}

// Callers come and leave at all times; each is told of its own order.
func TestCallersComeAndLeave(t *testing.T) {
	t.Parallel()
	p := project(8)
	w := newWaiters(p.read)
	var waiting sync.WaitGroup
	for n := range 64 {
		waiting.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%5)*pollInterval)
			defer cancel()
			_, err := w.await(ctx, gateOf(n%8), time.Duration(n%3)*pollInterval)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("caller %d: %v", n, err)
			}
		})
	}
	waiting.Wait()
	w.gone(t)
}
