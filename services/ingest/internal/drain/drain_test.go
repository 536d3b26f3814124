package drain

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// bench is a drainer that does not run, on a database of its own, and a feed to read with.
type bench struct {
	*Drainer
	t    *testing.T
	feed *feed
	log  *testkit.Log
}

func setup(t *testing.T) bench {
	t.Helper()
	pool, text := testkit.Postgres(t).Pool, &testkit.Log{}
	conn, err := pgx.ConnectConfig(t.Context(), pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	f, err := newFeed(t.Context(), conn, batchRows)
	require.NoError(t, err)
	log := slog.New(slog.NewTextHandler(text, nil))
	return bench{New(pool, accept.New(pool, setting.Fixed(setting.Defaults()), log), setting.Fixed(setting.Defaults()), log), t, f, text}
}

func placed(eventID, order string) string {
	return fmt.Sprintf(`{"event_id": %q, "type": "order.placed", "order": {"order_increment_id": %q, "currency": "EUR",
		"items": [{"sku": "A", "name": "A", "qty": 1, "price": 1, "row_total": 1}],
		"totals": {"subtotal": 1, "tax": 0, "shipping": 0, "discount": 0, "grand_total": 1}}}`, eventID, order)
}

func (b bench) publish(payloads ...string) {
	b.t.Helper()
	for _, p := range payloads {
		_, err := b.pool.Exec(b.t.Context(), `INSERT INTO commerce_outbox (source, payload) VALUES ('default', $1)`, []byte(p))
		require.NoError(b.t, err)
	}
}

// once takes what the feed finds at one time.
func (b bench) once() {
	b.t.Helper()
	rows, _, err := b.feed.next(b.t.Context())
	require.NoError(b.t, err)
	require.NoError(b.t, b.acceptAll(b.t.Context(), b.feed, rows))
}

func (b bench) read(query string) []string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), query)
	require.NoError(b.t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(b.t, err)
	return out
}

// A batch is bounded by its rows and its bytes. One row is taken whatever its size, and too large ones count as what is fetched.
func TestBatchSize(t *testing.T) {
	t.Parallel()
	rows := func(count, bytes int) []row {
		out := make([]row, count)
		for i := range out {
			out[i].bytes = bytes
		}
		return out
	}
	perBatch := batchBytes / event.MaxEventBytes
	for name, c := range map[string]struct {
		rows []row
		want int
	}{
		"none":               {nil, 0},
		"few":                {rows(3, 100), 3},
		"as_many_as_rows":    {rows(batchRows, 1), batchRows},
		"one_row_more":       {rows(batchRows+1, 1), batchRows},
		"as_many_as_bytes":   {rows(8, batchBytes/8), 8},
		"one_more_than_fits": {rows(perBatch+1, event.MaxEventBytes), perBatch},
		"too_large_ones":     {rows(batchRows, math.MaxInt32), max(1, perBatch)},
		"one_that_is_large":  {rows(1, math.MaxInt32), 1},
	} {
		require.Equal(t, c.want, batchSize(c.rows), name)
	}
}

func TestPollsOftenWhileEventsCome(t *testing.T) {
	t.Parallel()
	require.Equal(t, pollBusy, pollAfter(0))
	require.Equal(t, pollBusy, pollAfter(busyFor-1))
	require.Equal(t, pollIdle, pollAfter(busyFor))
	require.Equal(t, pollIdle, pollAfter(idleFor-1))
	require.Equal(t, pollQuiet, pollAfter(idleFor))
}

// Each row leaves the outbox once: as an accepted event, or into the quarantine with its reason.
func TestABatchEndsAcceptedOrInTheQuarantine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(placed("e1", "1"), strings.Replace(placed("e2", "2"), "order.placed", "order.deleted", 1), strings.Repeat(" ", event.MaxEventBytes+1), placed("e1", "1"))
	b.once()
	require.Empty(t, b.read(`SELECT id::text FROM commerce_outbox`))
	require.Equal(t, []string{"e1"}, b.read(`SELECT event_id FROM accepted_event`))
	require.Equal(t, []string{"refused e2", "too_large "}, b.read(`SELECT code || ' ' || coalesce(event_id, '') FROM commerce_quarantine ORDER BY code`))
	require.Contains(t, b.log.String(), `msg="events quarantined: see erpconnector quarantine list" events=2 first_code=refused first_event_id=e2`)
}

// Halving finds the one row that the database refuses. The log names the constraint and not the content.
func TestTheRowThatTheDatabaseRefusesIsSetAside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.pool.Exec(t.Context(), `ALTER TABLE sales_order ADD CHECK (increment_id <> 'poison')`)
	require.NoError(t, err)
	b.publish(placed("e1", "1"), placed("e2", "2"), placed("p", "poison"), placed("e3", "3"), placed("e4", "4"))
	b.once()
	require.Equal(t, []string{"e1", "e2", "e3", "e4"}, b.read(`SELECT event_id FROM accepted_event ORDER BY 1`))
	require.Equal(t, []string{placed("p", "poison")}, b.read(`SELECT convert_from(payload, 'UTF8') FROM commerce_quarantine WHERE code = 'failed'`))
	require.Contains(t, b.log.String(), "constraint=sales_order_increment_id_check")
}

// A row that somebody holds is passed over, and comes again once it is free.
func TestAHeldRowComesAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(placed("held", "1"), placed("free", "2"))
	holder, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `SELECT FROM commerce_outbox ORDER BY id LIMIT 1 FOR UPDATE`)
	require.NoError(t, err)
	b.once()
	require.Equal(t, []string{"free"}, b.read(`SELECT event_id FROM accepted_event`))
	b.once()
	require.NoError(t, holder.Rollback(t.Context()))
	b.once()
	require.Equal(t, []string{"free", "held"}, b.read(`SELECT event_id FROM accepted_event ORDER BY 1`))
}

// While the outbox cannot be read, the check says why.
func TestCheckSaysWhyTheOutboxIsNotDrained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Check(t.Context()))
	_, err := b.pool.Exec(t.Context(), `ALTER TABLE commerce_outbox RENAME TO gone`)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.keepDraining(ctx) }()
	testkit.Eventually(t, func() bool { return b.Check(ctx) != nil }, "the check fails")
	require.ErrorContains(t, b.Check(ctx), "commerce_outbox")
	cancel()
	<-done
	require.Equal(t, 1, strings.Count(b.log.String(), "the commerce outbox is not drained"), "once, and not at each try")
}
