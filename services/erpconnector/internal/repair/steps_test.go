package repair

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/reconcile"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// bench is a database with a repair at work on it. What needs no Kafka is tested here, step by step.
type bench struct {
	t    *testing.T
	pool *pgxpool.Pool
	*repairer
}

func newBench(t *testing.T, last int64) *bench {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	return &bench{t, pool, &repairer{
		Params: Params{Pool: pool, Kafka: kafka.Config{Partitions: 2}, Log: slog.New(slog.DiscardHandler), MaxAttempts: 5},
		report: &Report{Position: checkpoint.Position{LastID: last}}, orders: map[string]*Order{},
	}}
}

// rows writes rows of the outbox with these ids; their uuid is their first id, by which they are known later.
func (b *bench) rows(topic, key string, ids ...int64) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), `INSERT INTO erp_outbox (id, topic, key, uuid, metadata, payload)
		SELECT i, $2, $3, i::text, '{}', '{}' FROM unnest($1::bigint[]) AS i`, ids, topic, key)
	require.NoError(b.t, err)
}

// texts is what a query gives, as text.
func (b *bench) texts(sql string) []string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), sql)
	require.NoError(b.t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(b.t, err)
	return out
}

// An interrupted repair is known by its row, which remembers the earliest moment from which anything is compared.
func TestARepairIsRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1)
	ctx := t.Context()
	open, err := b.readOpen(ctx)
	require.NoError(t, err)
	require.Nil(t, open)
	at := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct{ since, want time.Time }{
		{at, at}, {at.Add(time.Hour), at}, {at.Add(-time.Hour), at.Add(-time.Hour)}, {time.Time{}, time.Unix(0, 0)}, {at, time.Unix(0, 0)},
	} {
		open, err := b.begin(ctx, c.since)
		require.NoError(t, err)
		require.True(t, c.want.Equal(open.since), "%s: %s", c.since, open.since)
		read, err := b.readOpen(ctx)
		require.NoError(t, err)
		require.True(t, c.want.Equal(read.since))
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = b.begin(ended, at)
	require.ErrorIs(t, err, context.Canceled)
	_, err = b.readOpen(ended)
	require.ErrorIs(t, err, context.Canceled)
}

// Ctrl-C while a relay worked was told as a relay that works, as if the wait had been long enough.
func TestCtrlCWhileARelayWorks(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	release, ok, err := postgres.TryLease(ctx, b.pool, postgres.LeaseID(checkpoint.Lease(b.Kafka), 0))
	require.NoError(t, err)
	require.True(t, ok)
	release = sync.OnceFunc(release)
	defer release()
	said := make(chan error, 1)
	go func() {
		_, err := Run(ctx, b.Params)
		said <- err
	}()
	testkit.Eventually(t, func() bool { return b.pool.Stat().AcquireCount() > 3 }, "it never asked for the lease")
	cancel()
	require.ErrorIs(t, <-said, context.Canceled)
	release()
	free, err := b.lease(t.Context())
	require.NoError(t, err, "the lease is free again")
	free()
}

// Rows whose ids Kafka has seen go to the front of a new epoch in their order, with all that is to be relayed behind them; rows
// of other topics between them go along, and none is relayed twice.
func TestRowsWithIdsOfOthersMove(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.rows(event.TopicRequested, "1", 5, 9)   // 9 has the id of another
	b.rows("mails", "1", 7, 10)               // of a topic that is not compared: from 9 on they may not be in Kafka
	b.rows(event.TopicRequested, "2", 11, 12) // to be relayed
	b.rows(event.TopicSalesOrder, "3", 2, 6)  // relayed
	require.NoError(t, b.freeIDs(t.Context(), &reconcile.Comparison{Reused: []reconcile.Row{{ID: 9}}}))
	const epoch = 1 << 40
	require.Equal(t, []string{"2", "5", "6", "7"}, b.texts(`SELECT id::text FROM erp_outbox WHERE id <= 1000 ORDER BY id`))
	require.Equal(t, []string{"9", "10", "11", "12"}, b.texts(`SELECT uuid FROM erp_outbox WHERE id > 1000 ORDER BY id`))
	require.Equal(t, []string{fmt.Sprint(epoch + 1), fmt.Sprint(epoch + 4)}, b.texts(`SELECT id::text FROM (SELECT min(id) AS id FROM erp_outbox WHERE id > 1000
		UNION ALL SELECT max(id) FROM erp_outbox) AS ends ORDER BY 1`))
	var next int64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT nextval('erp_outbox_id_seq')`).Scan(&next))
	require.Greater(t, next, int64(epoch+4), "what is written from now on comes behind them")

	require.NoError(t, b.freeIDs(t.Context(), &reconcile.Comparison{}), "called again it finds an epoch of its own")
	var after int64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT nextval('erp_outbox_id_seq')`).Scan(&after))
	require.Equal(t, next+1, after)
}

// A server that goes on counting below what Kafka has seen would give ids a second time.
func TestIdsGoOnBeyondThePosition(t *testing.T) {
	t.Parallel()
	b := newBench(t, 5_000)
	require.NoError(t, b.freeIDs(t.Context(), &reconcile.Comparison{}))
	var next int64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT nextval('erp_outbox_id_seq')`).Scan(&next))
	require.Greater(t, next, int64(1)<<40)
}

func TestRowsThatKafkaHasGo(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.rows(event.TopicRequested, "1", 1, 2, 3)
	require.NoError(t, b.dropAgain(t.Context(), nil))
	require.Len(t, b.texts(`SELECT uuid FROM erp_outbox`), 3)
	for range 2 { // an interrupted one is made again
		require.NoError(t, b.dropAgain(t.Context(), []reconcile.Row{{ID: 1}, {ID: 3}, {ID: 99}}))
		require.Equal(t, []string{"2"}, b.texts(`SELECT uuid FROM erp_outbox`))
	}
}

// The relay's new position names the last row that is there, or the beginning.
func TestTheNewPosition(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	b.report.Server.System, b.report.Server.Timeline = "7", 2
	p, err := b.newPosition(t.Context())
	require.NoError(t, err)
	require.Equal(t, []any{int64(0), "", "7", 2}, []any{p.LastID, p.UUID, p.System, p.Timeline})
	require.WithinDuration(t, time.Now(), p.At, testkit.Patience)
	b.rows(event.TopicRequested, "1", 4, 8, 11)
	p, err = b.newPosition(t.Context())
	require.NoError(t, err)
	require.Equal(t, []any{int64(8), "8"}, []any{p.LastID, p.UUID}, "11 is not relayed yet")
}

// Of the rows up to the position, those of lanes that took no records wait: from where each lane stands.
func TestWhichRowsWait(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	lanes := map[string]string{}
	for n := range 20 {
		key := refOf(n).Key()
		lanes[checkpoint.Lane(b.Kafka, event.TopicRequested, key, 2)] = key
	}
	require.Len(t, lanes, 2)
	b.rows(event.TopicRequested, lanes["0"], 1, 3, 5, 7, 12)
	b.rows(event.TopicRequested, lanes["1"], 2, 6)
	b.rows("mails", "x", 4, 8)
	ids, err := b.waiting(t.Context())
	require.NoError(t, err)
	require.Empty(t, ids)
	b.report.Position.Behind = map[string]int64{"0": 3, "mails": 0}
	ids, err = b.waiting(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []int64{4, 5, 7, 8}, ids)
	require.NoError(t, newBench(t, 10).moveWaiting(t.Context(), nil), "where none waits nothing is written")
}

// An order whose invoice was accepted and that nobody has requested is requested once, as by its invoice; others stay as they are.
func TestInvoicedOrdersAreRequestedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	ctx := t.Context()
	require.NoError(t, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		_, err := gate.Lock(ctx, tx, []domain.OrderRef{refOf(1), refOf(2), refOf(3)}, time.Now())
		return err
	}))
	_, err := b.pool.Exec(ctx, `INSERT INTO accepted_event (source, event_id, order_key, digest, type, accepted_at)
		SELECT 'default', k || t, k, '', t, now() FROM (VALUES ($1, 'order.placed'), ($1, 'invoice.created'), ($2, 'order.placed'), ($3, 'invoice.created')) AS e (k, t)`,
		refOf(1).Key(), refOf(2).Key(), refOf(3).Key())
	require.NoError(t, err)
	_, err = b.pool.Exec(ctx, `INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, created_at, updated_at)
		SELECT k, 'default', k, 70, ('{"order_increment_id": "' || k || '"}')::json, now(), now() FROM unnest($1::text[]) AS k`, []string{refOf(1).Key(), refOf(2).Key()})
	require.NoError(t, err)

	require.NoError(t, b.requestInvoiced(ctx))
	require.Equal(t, 1, b.report.Requested, "the third has no snapshot: its event was not restored")
	require.Equal(t, []string{"1 held disabled", "0 none ", "0 none "}, b.texts(`SELECT generation || ' ' || state || ' ' || coalesce(held_by, '') FROM erp_sync_gate ORDER BY order_key`))
	require.Equal(t, []string{refOf(1).Key() + " " + event.TopicRequested}, b.texts(`SELECT key || ' ' || topic FROM erp_outbox`))
	var payload []byte
	require.NoError(t, b.pool.QueryRow(ctx, `SELECT payload FROM erp_outbox`).Scan(&payload))
	v, err := event.DecodeSync(payload)
	require.NoError(t, err)
	require.Equal(t, []any{1, 5, new(int64(70))}, []any{v.Sync.Generation, v.Sync.MaxAttempts, v.Sync.OrderID})

	require.NoError(t, b.requestInvoiced(ctx))
	require.Equal(t, 1, b.report.Requested, "no second time")
	require.Len(t, b.texts(`SELECT key FROM erp_outbox`), 1)
}

// A sync id that was given a second time here goes back to the order that has it in the log. The other one gets a new one, and so
// do its records that are still to be relayed.
func TestASyncIdGoesBackToItsOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10)
	ctx := t.Context()
	request := func(n int, id int64) (domain.Gate, event.Record) {
		g, _ := domain.Gate{Ref: refOf(n), State: domain.GateNone}.Request(id, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, time.Now())
		r, err := event.NewSync(event.TopicRequested, event.Sync{Sync: g.RequestedSync(nil, "e")}, event.Context{At: time.Now()})
		require.NoError(t, err)
		return g, r
	}
	other, unsent := request(1, 77)
	require.NoError(t, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		_, err := gate.Lock(ctx, tx, []domain.OrderRef{refOf(1), refOf(2)}, time.Now())
		if err != nil {
			return err
		}
		return gate.Save(ctx, tx, []domain.Gate{other})
	}))
	_, err := b.pool.Exec(ctx, `INSERT INTO erp_outbox (id, topic, key, uuid, metadata, payload) VALUES (11, $1, $2, 'u', '{}', $3), (12, 'mails', $2, 'm', '{}', 'text')`,
		event.TopicRequested, refOf(1).Key(), unsent.Value)
	require.NoError(t, err)

	lost, record := request(2, 77)
	require.NoError(t, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		batch := &batch{r: b.repairer, tx: tx, topic: event.TopicRequested, now: time.Now(), records: []lostRecord{{b.Kafka.Record(record), event.TopicRequested, 0}}}
		readable, err := batch.lock(ctx)
		if err != nil {
			return err
		}
		return batch.restoreGates(ctx, readable)
	}))
	var mine, others int64
	require.NoError(t, b.pool.QueryRow(ctx, `SELECT (SELECT sync_id FROM erp_sync_gate WHERE order_key = $1), (SELECT sync_id FROM erp_sync_gate WHERE order_key = $2)`,
		refOf(2).Key(), refOf(1).Key()).Scan(&mine, &others))
	require.Equal(t, lost.SyncID, mine)
	require.NotEqual(t, lost.SyncID, others)
	require.NotZero(t, others)
	var payload []byte
	require.NoError(t, b.pool.QueryRow(ctx, `SELECT payload FROM erp_outbox WHERE id = 11`).Scan(&payload))
	v, err := event.DecodeSync(payload)
	require.NoError(t, err)
	require.Equal(t, others, v.Sync.SyncID)
	require.Equal(t, 1, b.report.Renamed)
	require.Equal(t, []string{"text"}, b.texts(`SELECT convert_from(payload, 'UTF8') FROM erp_outbox WHERE id = 12`), "what is not ours stays as it is")
}
