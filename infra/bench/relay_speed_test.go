//go:build speed

package bench

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// stock rows are enough for Watermill's path, which takes some hundred a second.
const stock = 5_000

// relay measures rows of 1 KiB from the outbox to a reader that sees what is committed, from the first to the last.
func relay(t *testing.T, r *rig) []Figure {
	t.Helper()
	return r.onEach(t, func(t *testing.T, on string) (figures []Figure) {
		for rows := range strings.SplitSeq(*rowsFlag, ",") {
			t.Run(rows, func(t *testing.T) { figures = append(figures, relayOf(t, r, on, rows)...) })
		}
		return figures
	})
}

// relayOf lets each way take the same rows, to a broker of its own.
func relayOf(t *testing.T, r *rig, on, number string) []Figure {
	t.Helper()
	rows, err := strconv.Atoi(number)
	require.NoError(t, err)
	d := &drain{rig: r}
	d.url, d.pool = r.database(t)
	d.fill(t, rows)
	var ours, bare, watermill drained
	t.Run("relay", func(t *testing.T) { ours = d.run(t, on, rows, runRelay) })
	t.Run(bareLoop, func(t *testing.T) { bare = d.run(t, on, rows, runOther(bareLoop)) })
	t.Run(stockPath, func(t *testing.T) { watermill = d.run(t, on, min(rows, stock), runOther(stockPath)) })
	what := "relay, " + text(float64(rows)) + " rows of 1 KiB"
	return append([]Figure{
		{Case: what, On: on, What: "rows/s", Ours: ours.rate, Base: bare.rate, Beside: bareLoop},
		{Case: what, On: on, What: "rows/s, Watermill's of " + text(stock), Ours: ours.rate, Base: watermill.rate, Beside: stockPath},
	}, ofUse(
		Figure{Case: what, On: on, What: "CPU seconds per million, with Postgres, broker and reader", Lower: true, Ours: ours.cpu, Base: bare.cpu, Beside: bareLoop},
		Figure{Case: what, On: on, What: "peak memory, MB", Lower: true, Ours: ours.memory},
	)...)
}

// drain is one way to move the rows.
type drain struct {
	rig     *rig
	url     string
	pool    *pgxpool.Pool
	brokers kafka.Config // of this way alone
	env     []string
}

// drained is what one way came to.
type drained struct {
	rate   float64 // rows a second that the reader sees
	cpu    float64 // seconds of everything, per million rows
	memory float64 // peak of its process, in MB
}

// run starts a way, and waits for the rows.
func (d *drain) run(t *testing.T, on string, rows int, begin func(*testing.T, *drain) *program) (of drained) {
	t.Helper()
	d.at(t, on)
	reader := d.reader(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*testkit.Patience)
	defer cancel()
	process := begin(t, d)
	read := func(at int) int {
		fetches := reader.PollFetches(ctx)
		require.NoError(t, fetches.Err(), "%d of %d", at, rows)
		return at + fetches.NumRecords()
	}
	early := read(0)
	first, before := time.Now(), used(t)
	for at, tenth, since, from := early, 1, first, early; at < rows; {
		if at = read(at); at >= tenth*rows/10 {
			t.Logf("tenth %d: %.0f rows/s", tenth, float64(at-from)/time.Since(since).Seconds())
			tenth, since, from = at*10/rows+1, time.Now(), at
		}
	}
	took, use := time.Since(first), used(t).Since(before)
	t.Logf("%d rows in %s, seconds of CPU: %+v", rows, took, use)
	moved := float64(rows - early)
	peak, err := PeakMemory(process.cmd.Process.Pid)
	require.NoError(t, err)
	return drained{rate: moved / took.Seconds(), cpu: (use.All() + use.Self) * 1e6 / moved, memory: peak}
}

// at starts a broker for a way.
func (d *drain) at(t *testing.T, on string) {
	t.Helper()
	d.brokers = broker(t, on)
	d.env = append(product(d.url, d.brokers), "HTTP_ADDR="+testkit.FreeAddr(t))
	d.rig.prepare(t, d.env, "topics", "ensure")
}

// reader sees the records that are committed.
func (d *drain) reader(t *testing.T) *kgo.Client {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(d.brokers.Brokers...), kgo.ConsumeTopics(d.brokers.Prefix+event.TopicRequested), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	t.Cleanup(reader.Close)
	return reader
}

// fill writes rows of 1 KiB of a thousand orders, and cleans up after that, so that no way has to do it on its way.
func (d *drain) fill(t *testing.T, rows int) {
	t.Helper()
	_, err := d.pool.Exec(t.Context(), `SELECT erp_outbox_extend(10000000, $1)`, rows+1)
	require.NoError(t, err)
	for left := rows; left > 0; left -= 1_000_000 {
		_, err = d.pool.Exec(t.Context(), `INSERT INTO erp_outbox (topic, key, uuid, metadata, payload)
			SELECT $1, 'default:' || i % 1000, gen_random_uuid()::text, '{}', convert_to(repeat(md5(i::text), 32), 'UTF8') FROM generate_series(1, $2) AS i`,
			event.TopicRequested, min(left, 1_000_000))
		require.NoError(t, err)
	}
	for _, statement := range []string{`VACUUM ANALYZE erp_outbox`, `CHECKPOINT`} {
		_, err = d.pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
}

func runRelay(t *testing.T, d *drain) *program {
	t.Helper()
	return start(t, d.env, d.rig.binary, "run", "relay")
}

// runOther starts this program again, as that relay.
func runOther(relay string) func(*testing.T, *drain) *program {
	return func(t *testing.T, d *drain) *program {
		t.Helper()
		self, err := os.Executable()
		require.NoError(t, err)
		return start(t, append(d.env, otherRelay+"="+relay), self)
	}
}
