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
	"github.com/twmb/franz-go/pkg/kgo"

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

// TestSteps runs each step by itself. They take turns on one database, each on an empty one, and each at a position of its own: to
// make a database takes longer than any of them.
func TestSteps(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	for _, step := range []struct {
		name string
		last int64 // id that was relayed
		test func(t *testing.T, b *bench)
	}{
		{"a_repair_is_remembered", 1, testARepairIsRemembered},
		{"ctrl_c_while_a_relay_works", 1, testCtrlCWhileARelayWorks},
		{"rows_with_ids_of_others_move", 10, testRowsWithIdsOfOthersMove},
		{"ids_go_on_beyond_the_position", 5_000, testIdsGoOnBeyondThePosition},
		{"rows_that_kafka_has_go", 10, testRowsThatKafkaHasGo},
		{"the_new_position", 10, testTheNewPosition},
		{"which_rows_wait", 10, testWhichRowsWait},
		{"invoiced_orders_are_requested_once", 10, testInvoicedOrdersAreRequestedOnce},
		{"a_sync_id_goes_back_to_its_order", 10, testASyncIdGoesBackToItsOrder},
		{"a_record_that_cannot_be_read", 5, testARecordThatCannotBeRead},
		{"a_database_that_is_another", 10, testADatabaseThatIsAnother},
		{"a_batch_is_restored_twice", 10, testABatchIsRestoredTwice},
		{"what_failed_is_named", 10, testWhatFailedIsNamed},
	} {
		t.Run(step.name, func(t *testing.T) {
			_, err := pool.Exec(t.Context(), `TRUNCATE erp_outbox, erp_sync_gate, sales_order, accepted_event, erp_callback, erp_reference, erp_repair`)
			require.NoError(t, err)
			_, err = pool.Exec(t.Context(), `SELECT setval('erp_outbox_id_seq', 1, false), setval('erp_sync_id_seq', 1, false)`)
			require.NoError(t, err)
			step.test(t, &bench{t, pool, &repairer{
				Params: Params{Pool: pool, Kafka: kafka.Config{Partitions: 2}, Log: slog.New(slog.DiscardHandler), MaxAttempts: 5},
				report: &Report{Position: checkpoint.Position{LastID: step.last}}, orders: map[string]*Order{},
			}})
		})
	}
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
func testARepairIsRemembered(t *testing.T, b *bench) {
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
func testCtrlCWhileARelayWorks(t *testing.T, b *bench) {
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
	asked := b.pool.Stat().AcquireCount()
	testkit.Eventually(t, func() bool { return b.pool.Stat().AcquireCount() > asked+1 }, "it never asked for the lease")
	cancel()
	require.ErrorIs(t, <-said, context.Canceled)
	release()
	free, err := b.lease(t.Context())
	require.NoError(t, err, "the lease is free again")
	free()
}

// Rows whose ids Kafka has seen go to the front of a new epoch in their order, with all that is to be relayed behind them; rows
// of other topics between them go along, and none is relayed twice.
func testRowsWithIdsOfOthersMove(t *testing.T, b *bench) {
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
func testIdsGoOnBeyondThePosition(t *testing.T, b *bench) {
	var next int64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT setval('erp_outbox_id_seq', 4000)`).Scan(&next))
	require.NoError(t, b.freeIDs(t.Context(), &reconcile.Comparison{}))
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT nextval('erp_outbox_id_seq')`).Scan(&next))
	require.Greater(t, next, int64(1)<<40)
}

func testRowsThatKafkaHasGo(t *testing.T, b *bench) {
	b.rows(event.TopicRequested, "1", 1, 2, 3)
	require.NoError(t, b.dropAgain(t.Context(), nil))
	require.Len(t, b.texts(`SELECT uuid FROM erp_outbox`), 3)
	for range 2 { // an interrupted one is made again
		require.NoError(t, b.dropAgain(t.Context(), []reconcile.Row{{ID: 1}, {ID: 3}, {ID: 99}}))
		require.Equal(t, []string{"2"}, b.texts(`SELECT uuid FROM erp_outbox`))
	}
}

// The relay's new position names the last row that is there, or the beginning.
func testTheNewPosition(t *testing.T, b *bench) {
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
func testWhichRowsWait(t *testing.T, b *bench) {
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
	b.report.Position.Behind = nil
	require.NoError(t, b.moveWaiting(t.Context(), nil), "where none waits nothing is written")
}

// An order whose invoice was accepted and that nobody has requested is requested once, as by its invoice; others stay as they are.
func testInvoicedOrdersAreRequestedOnce(t *testing.T, b *bench) {
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
func testASyncIdGoesBackToItsOrder(t *testing.T, b *bench) {
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

// A record that nobody can read gets its row back, as it was relayed, and is no more than a line in the log; the others of its
// batch are restored whole.
func testARecordThatCannotBeRead(t *testing.T, b *bench) {
	ctx := t.Context()
	var said testkit.Log
	b.Log = slog.New(slog.NewTextHandler(&said, nil))
	_, recs := sold(t, 1)
	good := b.Kafka.Record(recs[0])
	bad := &kgo.Record{Topic: event.TopicSalesOrder, Key: []byte("000000007"), Value: []byte("no JSON"), Partition: 1, Offset: 7, Timestamp: good.Timestamp, Headers: good.Headers}
	keyless := &kgo.Record{Topic: event.TopicSalesOrder, Key: []byte("a/b/c"), Value: good.Value, Offset: 8, Timestamp: good.Timestamp, Headers: good.Headers}
	b.rows("mails", "x", 3)
	free, err := b.freePlaces(ctx, 3)
	require.NoError(t, err)
	require.NoError(t, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		batch := &batch{r: b.repairer, tx: tx, topic: event.TopicSalesOrder, now: time.Now(), records: []lostRecord{
			{bad, event.TopicSalesOrder, 0}, {good, event.TopicSalesOrder, 1}, {keyless, event.TopicSalesOrder, 2},
		}}
		return batch.run(ctx, free)
	}))
	require.Equal(t, []string{"2 000000007 no JSON", "4 " + refOf(1).Key(), "5 a/b/c"},
		b.texts(`SELECT id || ' ' || key || CASE WHEN length(payload) < 10 THEN ' ' || convert_from(payload, 'UTF8') ELSE '' END FROM erp_outbox WHERE id <> 3 ORDER BY id`),
		"the last places that are free, in the order in which they were relayed")
	require.Equal(t, []string{"default e" + refOf(1).IncrementID}, b.texts(`SELECT source || ' ' || event_id FROM accepted_event`))
	require.Equal(t, []string{refOf(1).Key()}, b.texts(`SELECT order_key FROM sales_order`))
	require.Equal(t, []string{refOf(1).Key()}, b.texts(`SELECT order_key FROM erp_sync_gate`))
	require.Len(t, said.Lines(), 2)
	require.Contains(t, said.Lines()[0], `msg="record cannot be read; its row alone is restored" topic=sales_order_event partition=1 offset=7`)

	// The rows are as they were: with the uuid and the headers that their readers know them by.
	var uuid, metadata string
	require.NoError(t, b.pool.QueryRow(ctx, `SELECT uuid, metadata::text FROM erp_outbox WHERE id = 4`).Scan(&uuid, &metadata))
	require.Equal(t, recs[0].UUID, uuid)
	require.Contains(t, metadata, `"ce_id"`)
	require.NotContains(t, metadata, event.MetadataPartitionKey, "the key has a column of its own")
}

// More records than free ids cannot have been of this database.
func testADatabaseThatIsAnother(t *testing.T, b *bench) {
	b.rows("mails", "x", 1, 2, 4, 5)
	free, err := b.freePlaces(t.Context(), 6)
	require.NoError(t, err)
	require.Equal(t, []int64{3, 6, 7, 8, 9, 10}, []int64{free.at(0), free.at(1), free.at(2), free.at(3), free.at(4), free.at(5)})
	_, err = b.freePlaces(t.Context(), 9)
	require.EqualError(t, err, "3 more records are lost than ids are free up to row 10: is DATABASE_URL the database of this Kafka?")
	none, err := b.freePlaces(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, none)
}

// A fact that the gate has heard already changes nothing; so a batch that is restored a second time gives the same.
func testABatchIsRestoredTwice(t *testing.T, b *bench) {
	ctx := t.Context()
	_, recs := sold(t, 1)
	const stand = `SELECT order_key || sync_id || generation || state || version || coalesce(idempotency_key, '') FROM erp_sync_gate
		UNION ALL SELECT order_key || encode(digest, 'hex') || accepted_at FROM accepted_event UNION ALL SELECT order_key || snapshot::text || updated_at FROM sales_order ORDER BY 1`
	var before []string
	for round := range 2 {
		for i, topic := range []string{event.TopicSalesOrder, event.TopicRequested} {
			require.NoError(t, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
				batch := &batch{r: b.repairer, tx: tx, topic: topic, now: time.Now(), records: []lostRecord{{b.Kafka.Record(recs[i]), topic, 0}}}
				return batch.run(ctx, places{{first: int64(1 + 2*round + i)}})
			}))
		}
		if round == 0 {
			before = b.texts(stand)
			require.Len(t, before, 3)
			require.Contains(t, before[1]+before[0]+before[2], "open")
		}
	}
	require.Equal(t, before, b.texts(stand))
	require.Zero(t, b.report.Renamed, "its sync id is its own")
}

// A database that goes away amid a repair is told with what was being done: the operator sees how far it came.
func testWhatFailedIsNamed(t *testing.T, b *bench) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	b.open = &openRepair{time.Now()}
	b.report.Position.Behind = map[string]int64{"0": 1}
	for want, step := range map[string]func() error{
		"looking for a repair that was interrupted": func() error { _, err := b.readOpen(ended); return err },
		"beginning the repair":                      func() error { _, err := b.begin(ended, time.Now()); return err },
		"moving the ids on; a repair runs as the owner of the schema, as migrate does": func() error { return b.freeIDs(ended, &reconcile.Comparison{}) },
		"moving 1 rows whose ids were given before":                                    func() error { return b.moveRows(ended, []reconcile.Row{{ID: 9}}, 1<<40) },
		"looking for rows that wait to be relayed":                                     func() error { return b.moveWaiting(ended, nil) },
		"taking 2 rows out that are in Kafka already":                                  func() error { return b.dropAgain(ended, make([]reconcile.Row, 2)) },
		"looking for free ids":                                                         func() error { _, err := b.freePlaces(ended, 1); return err },
		"reading the last relayed row":                                                 func() error { _, err := b.newPosition(ended); return err },
		"looking for invoices without a request":                                       func() error { return b.requestInvoiced(ended) },
	} {
		err := step()
		require.ErrorIs(t, err, context.Canceled, want)
		require.ErrorContains(t, err, want+": ")
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		batch := &batch{r: b.repairer, tx: tx, topic: event.TopicSalesOrder, now: time.Now()}
		_, err := batch.storedStates(t.Context(), nil) // a connection that knows a statement fails later: with the rows
		require.NoError(t, err)
		for want, step := range map[string]func() error{
			"noting 1 events":                     func() error { return batch.restoreAccepted(ended, make([]accepted, 1)) },
			"reading 1 snapshots":                 func() error { _, err := batch.storedStates(ended, []string{"1"}); return err },
			"giving new sync ids":                 func() error { _, err := batch.giveWay(ended, nil); return err },
			"reading what 1 orders have to relay": func() error { return batch.rename(ended, []string{"1"}) },
			"writing 0 rows of the outbox":        func() error { return batch.restoreRows(ended, nil) },
		} {
			require.ErrorContains(t, step(), want+": ")
		}
		return nil
	}))
}
