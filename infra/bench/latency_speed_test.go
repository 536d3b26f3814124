//go:build speed

package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Rows come steadily, from writers side by side, a transaction of rowsOfCommit at a time. What comes in the first seconds is not counted:
// a broker that has just started is still being compiled.
const (
	steady       = 2_000 // rows a second
	steadyTime   = 10 * time.Second
	warmTime     = 5 * time.Second
	writers      = 16
	rowsOfCommit = 2 // what an invoice's acceptance writes
)

// latency measures how long after its commit a row is a record that a reader of committed records has.
func latency(t *testing.T, r *rig) []Figure {
	t.Helper()
	return r.onEach(t, func(t *testing.T, on string) []Figure {
		d := &drain{rig: r}
		d.url, d.pool = r.database(t)
		d.at(t, on)
		runRelay(t, d)
		took, commits := d.steadily(t)
		what := fmt.Sprintf("commit to record, %s rows a second of 1 KiB", text(steady))
		return []Figure{
			{Case: what, On: on, What: "p50, ms", Lower: true, Ours: milliseconds(quantile(took, 0.5))},
			{Case: what, On: on, What: "p99, ms", Lower: true, Ours: milliseconds(quantile(took, 0.99))},
			{Case: what, On: on, What: "the commit itself, p99, ms", Lower: true, Ours: milliseconds(quantile(commits, 0.99))},
		}
	})
}

// steadily writes the rows. It gives how long they took from the commit to the record, and the commits from when they were due, both sorted:
// where commits are late the machine has no time, and the rest says nothing of the relay.
func (d *drain) steadily(t *testing.T) (took, written []time.Duration) {
	t.Helper()
	const commits = int((warmTime + steadyTime) / time.Second * steady / rowsOfCommit)
	const warm = int(warmTime / time.Second * steady / rowsOfCommit)
	reader := d.reader(t)
	var due, committed, seen [commits]time.Time // when a commit was to begin, when it was answered, and when the last of its records came
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	work, ctx := errgroup.WithContext(ctx)
	began, before := time.Now(), used(t)
	for n := range due {
		due[n] = began.Add(time.Duration(n) * time.Second * rowsOfCommit / steady)
	}
	for w := range writers {
		work.Go(func() error {
			for n := w; n < commits; n += writers {
				run.Sleep(ctx, time.Until(due[n]))
				if err := d.commit(ctx, n); err != nil {
					return err
				}
				committed[n] = time.Now()
				outbox.Wake(ctx, d.pool)
			}
			return nil
		})
	}
	work.Go(func() error {
		for left := commits * rowsOfCommit; left > 0; {
			fetches := reader.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return fmt.Errorf("%d records are missing: %w", left, err)
			}
			now := time.Now()
			fetches.EachRecord(func(r *kgo.Record) {
				n, _ := strconv.Atoi(string(r.Key))
				seen[n] = now
				left--
			})
		}
		return nil
	})
	require.NoError(t, work.Wait())
	use := used(t).Since(before)
	for n := warm; n < commits; n++ {
		took = append(took, max(0, seen[n].Sub(committed[n]))) // the answer to the commit may come after the record
		written = append(written, committed[n].Sub(due[n]))
	}
	slices.Sort(took)
	slices.Sort(written)
	t.Logf("seconds of CPU in %s: %+v", time.Since(began), use)
	return took, written
}

var kibibyte = []byte(strings.Repeat("0123456789abcdef", 64))

func (d *drain) commit(ctx context.Context, n int) error {
	rows := make([]event.Record, rowsOfCommit)
	for i := range rows {
		rows[i] = event.Record{Topic: event.TopicRequested, Key: strconv.Itoa(n), UUID: fmt.Sprintf("%d-%d", n, i), Value: kibibyte}
	}
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error { return outbox.Publish(ctx, tx, rows) })
}
