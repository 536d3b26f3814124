package run_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/run"
)

func TestSleepEndsWithTheTimeOrTheContext(t *testing.T) {
	for name, c := range map[string]struct {
		ctx, sleep, want time.Duration
		slept            bool
	}{
		"the time":    {ctx: time.Minute, sleep: time.Second, want: time.Second, slept: true},
		"the context": {ctx: time.Second, sleep: time.Minute, want: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
				defer cancel()
				began := time.Now()
				require.Equal(t, c.slept, run.Sleep(ctx, c.sleep))
				require.Equal(t, c.want, time.Since(began))
			})
		})
	}
}

func TestBackoffDoublesUpToItsMaximum(t *testing.T) {
	b := run.Backoff{Min: time.Second, Max: 5 * time.Second}
	var waits []time.Duration
	for range 5 {
		waits = append(waits, b.Next())
	}
	require.Equal(t, []time.Duration{1e9, 2e9, 4e9, 5e9, 5e9}, waits)
	b.Reset()
	require.Equal(t, time.Second, b.Next())
}

func TestAnOutageIsLoggedOnceWhenItBeginsAndOnceWhenItEnds(t *testing.T) {
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	o := run.Outage{Began: "away", Ended: "back", Fields: []any{"dependency", "kafka"}}
	for _, err := range []error{nil, errors.New("no"), errors.New("no again"), nil, nil} {
		o.Report(log, err)
	}
	require.Equal(t, "level=WARN msg=away error=no dependency=kafka\nlevel=INFO msg=back dependency=kafka\n", lines.String())
}
