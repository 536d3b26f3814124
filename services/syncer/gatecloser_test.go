package syncer

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/run"
)

// After a pause a gate is closed at once. Those that come in the rest after that share a transaction.
func TestGatesThatComeInARestAreClosedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type closing struct {
			at    time.Duration
			gates int
		}
		var closed []closing
		began := time.Now()
		g := newGateCloser(func(_ context.Context, ends []GenerationEnd) error {
			closed = append(closed, closing{time.Since(began), len(ends)})
			return nil
		}, slog.New(slog.DiscardHandler), &run.Outage{})
		done, ended := make(chan struct{}), make(chan struct{})
		go func() { defer close(ended); g.run(done) }()
		for range 3 {
			g.put(make([]GenerationEnd, 1))
			time.Sleep(10 * time.Millisecond) // virtual
		}
		time.Sleep(time.Minute)
		g.put(make([]GenerationEnd, 1))
		synctest.Wait()
		close(done)
		<-ended
		require.Equal(t, []closing{{0, 1}, {closeGateRest, 2}, {time.Minute + 30*time.Millisecond, 1}}, closed)
	})
}
