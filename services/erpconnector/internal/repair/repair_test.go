package repair

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// shop is a database and its Kafka, which drift apart by what a test takes away.
type shop struct {
	t      *testing.T
	cfg    kafka.Config
	pool   *pgxpool.Pool
	client *kgo.Client
}

func newShop(t *testing.T) *shop {
	t.Helper()
	cfg, client := testkit.WithTopics(t, 2)
	return &shop{t, cfg, testkit.Postgres(t).Pool, client}
}

// sell accepts orders, as ingest does: their events, snapshots and requests.
func (s *shop) sell(numbers ...int) {
	s.t.Helper()
	for _, n := range numbers {
		require.NoError(s.t, pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error {
			g, recs := sold(s.t, n)
			if _, err := gate.Lock(s.t.Context(), tx, []domain.OrderRef{g.Ref}, g.UpdatedAt); err != nil {
				return err
			}
			if err := gate.Save(s.t.Context(), tx, []domain.Gate{g}); err != nil {
				return err
			}
			return outbox.Publish(s.t.Context(), tx, recs)
		}))
	}
}

func refOf(n int) domain.OrderRef {
	return domain.OrderRef{Source: domain.DefaultSource, IncrementID: fmt.Sprint(100_000_000 + n)}
}

// sold is an order's gate, and what the outbox gets of it.
func sold(t *testing.T, n int) (domain.Gate, []event.Record) {
	t.Helper()
	now, ref := time.Now(), refOf(n)
	order := []byte(`{"order_increment_id":"` + ref.IncrementID + `","order_id":` + fmt.Sprint(n+1) + `,"updated_at":"2026-01-02 03:04:05",` +
		`"items":[{"sku":"A","name":"` + fmt.Sprintf("%900d", n) + `","qty":"1"}]}`)
	body := []byte(`{"event_id":"e` + ref.IncrementID + `","type":"invoice.created","invoice":{"increment_id":"i"},"order":` + string(order) + `}`)
	e := event.Commerce{EventID: "e" + ref.IncrementID, Type: event.InvoiceCreated, Source: ref.Source}
	g, _ := domain.Gate{Ref: ref, State: domain.GateNone}.Request(int64(n+1), domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, now)
	requested, err := event.NewSync(event.TopicRequested, event.Sync{Sync: g.RequestedSync(nil, e.EventID), Order: order}, event.Context{At: now})
	require.NoError(t, err)
	return g, []event.Record{event.NewCommerce(e, ref, body, now, ""), requested}
}

// relay brings the rows that pass to Kafka, and gives the position behind all of them.
func (s *shop) relay(pass func(key string) bool) (at checkpoint.Position) {
	s.t.Helper()
	ctx := s.t.Context()
	conn, err := s.pool.Acquire(ctx)
	require.NoError(s.t, err)
	defer conn.Release()
	batch, err := outbox.NewReader(conn.Conn(), outbox.Limits{Rows: 1000}).Next(ctx, outbox.Cursor{})
	require.NoError(s.t, err)
	server, err := outbox.ServerOf(ctx, conn)
	require.NoError(s.t, err)
	for _, row := range batch.Rows {
		r := s.cfg.Record(outbox.FromMessage(row.Topic, row.Message()))
		if pass(string(r.Key)) {
			require.NoError(s.t, s.client.ProduceSync(ctx, r).FirstErr())
		}
		at = checkpoint.Position{LastID: row.ID, At: time.Now(), UUID: string(row.UUID), System: server.System, Timeline: server.Timeline}
	}
	return at
}

func all(string) bool { return true }

func (s *shop) stands(at checkpoint.Position) {
	s.t.Helper()
	record, err := at.Record()
	require.NoError(s.t, err)
	record.Topic = s.cfg.Topic(event.TopicPosition)
	require.NoError(s.t, s.client.ProduceSync(s.t.Context(), record).FirstErr())
}

func (s *shop) run(mend bool) *Report {
	s.t.Helper()
	report, err := Run(s.t.Context(), Params{Kafka: s.cfg, Pool: s.pool, Log: slog.New(slog.DiscardHandler), Mend: mend})
	require.NoError(s.t, err)
	return report
}

func (s *shop) exec(sql string, args ...any) {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), sql, args...)
	require.NoError(s.t, err)
}

// column is what a query gives, as text.
func (s *shop) column(sql string, args ...any) []string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), sql, args...)
	require.NoError(s.t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	return out
}

// A row came late, in a gap of the position, and another transaction that may have an id there is open. After the repair the
// row is still to be relayed, and the gap is nobody's.
func TestWhatCameLateIsRelayedAfterARepair(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.sell(0, 1, 2)
	at := s.relay(func(key string) bool { return key != refOf(1).Key() })
	ids := s.column(`SELECT id::text FROM erp_outbox WHERE key = '` + refOf(1).Key() + `' ORDER BY id`)
	require.NotEmpty(t, ids)
	for _, id := range ids {
		var late int64
		_, err := fmt.Sscan(id, &late)
		require.NoError(t, err)
		at.Open = at.Open.And(outbox.GapsOf(late))
	}
	s.stands(at)
	require.True(t, s.run(false).Fits())

	producer := txn.NewProducer(s.cfg, checkpoint.TransactionalID)
	defer producer.Close()
	require.NoError(t, producer.Open(t.Context()))
	r := &repairer{Params: Params{Kafka: s.cfg, Pool: s.pool}, report: &Report{Position: at}}
	want := s.column(`SELECT key || ' ' || topic FROM erp_outbox WHERE key = '` + refOf(1).Key() + `' ORDER BY id`)
	writer, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, outbox.Publish(t.Context(), writer, []event.Record{{Topic: event.TopicRequested, Key: "another", UUID: "u", Value: []byte("{}")}}))
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.moveWaiting(short, producer), context.DeadlineExceeded)
	require.NoError(t, writer.Rollback(t.Context()))

	require.NoError(t, r.moveWaiting(t.Context(), producer))
	now, err := checkpoint.Read(t.Context(), s.cfg)
	require.NoError(t, err)
	require.Empty(t, now.Open)
	require.Equal(t, want, s.column(`SELECT key || ' ' || topic FROM erp_outbox WHERE id > $1 ORDER BY id`, now.LastID))
}

// A partition takes no records when the primary dies, and its rows were passed over. After the repair they are still to be
// relayed, each once and in its order, whatever was restored around them.
func TestWhatWaitsForItsPartitionIsRelayedAfterARepair(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	lane := func(key string) string { return checkpoint.Lane(s.cfg, event.TopicRequested, key, 2) }
	held := lane(refOf(0).Key())
	numbers := make([]int, 20)
	for n := range numbers {
		numbers[n] = n
	}
	s.sell(numbers...)
	at := s.relay(func(key string) bool { return lane(key) != held })
	at.Behind = map[string]int64{held: 0}
	s.stands(at)
	require.True(t, s.run(false).Fits())
	waiting := func() (keys []string) {
		for _, key := range s.column(`SELECT key || ' ' || topic FROM erp_outbox ORDER BY id`) {
			if lane(key[:len(refOf(0).Key())]) == held {
				keys = append(keys, key)
			}
		}
		return keys
	}
	s.exec(`DELETE FROM erp_outbox WHERE id > 30`) // some of either lane
	want := waiting()

	report := s.run(true)
	require.NotZero(t, report.Lost)
	now, err := checkpoint.Read(t.Context(), s.cfg)
	require.NoError(t, err)
	require.Empty(t, now.Behind)
	require.Equal(t, want, s.column(`SELECT key || ' ' || topic FROM erp_outbox WHERE id > $1 ORDER BY id`, now.LastID))
	require.Equal(t, want, waiting())
	require.True(t, s.run(false).Fits())

	// One that was interrupted before it could write the position moves nothing a second time.
	producer := txn.NewProducer(s.cfg, checkpoint.TransactionalID)
	defer producer.Close()
	at.LastID = now.LastID
	r := &repairer{Params: Params{Kafka: s.cfg, Pool: s.pool}, report: &Report{Position: at}}
	s.exec(`DELETE FROM erp_outbox WHERE id <= $1`, now.LastID)
	require.NoError(t, r.moveWaiting(t.Context(), producer))
	require.Equal(t, want, s.column(`SELECT key || ' ' || topic FROM erp_outbox ORDER BY id`))
}

// Seen: the primary died when the relay had brought an invoice's event to Kafka and not its request yet. After the repair the
// event was a duplicate for the shop, and nobody ever requested the order.
func TestAnInvoiceWhoseRequestIsLostIsRequested(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.sell(1, 2)
	torn := refOf(2).Key() + " " + event.TopicRequested
	rows := s.column(`SELECT key || ' ' || topic FROM erp_outbox ORDER BY id`)
	require.Equal(t, torn, rows[len(rows)-1])
	s.exec(`DELETE FROM erp_outbox WHERE id = (SELECT max(id) FROM erp_outbox)`)
	s.stands(s.relay(all))
	s.exec(`TRUNCATE erp_outbox, erp_sync_gate, sales_order, accepted_event, erp_callback, erp_reference`)

	report := s.run(true)
	require.True(t, report.Mended)
	require.Equal(t, 1, report.Requested)
	require.Equal(t, []string{"1 open ", "1 held disabled"}, s.column(`SELECT generation || ' ' || state || ' ' || coalesce(held_by, '') FROM erp_sync_gate ORDER BY order_key`))
	now, err := checkpoint.Read(t.Context(), s.cfg)
	require.NoError(t, err)
	require.Equal(t, []string{torn}, s.column(`SELECT key || ' ' || topic FROM erp_outbox WHERE id > $1`, now.LastID), "the relay brings it to Kafka")
	require.Zero(t, s.run(true).Requested)
	require.True(t, s.run(false).Fits())
}

// What a database has lost beside gates and rows: which callbacks came, what events were, how old snapshots are. And a dead
// letter that was judged while its order's gate was missing stops the order once the gate is there again.
func TestARepairRestoresWhatRequestsAreAnsweredBy(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.sell(1, 2)
	ask := orders.New(s.pool, setting.Fixed(setting.Defaults()))
	for _, body := range []string{
		`{"status":"accepted","erpReference":"ERP-1"}`, `{"status":"working","erpReference":"ERP-0"}`, `{"status":"accepted","erpReference":"ERP-1","idempotencyKey":"other"}`,
	} {
		s.hears(ask, body)
	}
	const remembered = `SELECT order_key || encode(digest, 'hex') || coalesce(encode(reference, 'hex'), '') || generation || heard_in || heard_at FROM erp_callback ORDER BY 1`
	want := s.column(remembered)
	require.Len(t, want, 3)
	s.stands(s.relay(all))
	s.exec(`TRUNCATE erp_outbox, erp_sync_gate, sales_order, accepted_event, erp_callback, erp_reference`)
	s.deadLetterOf(2)
	stopped, _, err := orders.JudgeDeadLetters(t.Context(), s.pool, time.Now)
	require.NoError(t, err)
	require.Empty(t, stopped, "the gate is missing")

	require.NotZero(t, s.run(true).Lost)
	require.Equal(t, want, s.column(remembered))
	require.Equal(t, []string{"invoice.created"}, s.column(`SELECT DISTINCT type FROM accepted_event`))
	require.Equal(t, []string{"2 2026-01-02 03:04:05", "3 2026-01-02 03:04:05"},
		s.column(`SELECT order_id || ' ' || (snapshot_at AT TIME ZONE 'UTC') FROM sales_order ORDER BY order_id`))
	stopped, _, err = orders.JudgeDeadLetters(t.Context(), s.pool, time.Now)
	require.NoError(t, err)
	require.Len(t, stopped, 1)
	require.Equal(t, []string{"webhook", "dead_letter"}, s.column(`SELECT closed_by FROM erp_sync_gate ORDER BY order_key`))
}

func (s *shop) hears(ask *orders.Orders, body string) {
	s.t.Helper()
	a := orders.Command{Ref: refOf(1), Request: domain.RequestAccepted, Who: "webhook", Body: body, Digest: sha256.Sum256([]byte(body))}
	switch body[len(`{"status":"`)] {
	case 'w':
		a.Reference = new("ERP-0")
		_, err := ask.Annotate(s.t.Context(), a, "working")
		require.NoError(s.t, err)
		return
	default:
		a.Reference = new("ERP-1")
	}
	if len(body) > len(`{"status":"accepted","erpReference":"ERP-1"}`) {
		a.IdempotencyKey = "other"
	}
	_, err := ask.Do(s.t.Context(), a)
	require.NoError(s.t, err)
}

// deadLetterOf lists a dead letter of the order's request.
func (s *shop) deadLetterOf(n int) {
	s.t.Helper()
	_, recs := sold(s.t, n)
	original := s.cfg.Record(recs[1])
	letter := deadletter.Record(s.cfg, original, deadletter.Cause{By: deadletter.BySyncer, Reason: "unreadable"})
	require.NoError(s.t, s.client.ProduceSync(s.t.Context(), letter).FirstErr())
	require.NoError(s.t, pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error {
		return deadletter.Add(context.WithoutCancel(s.t.Context()), tx, []deadletter.Letter{deadletter.Read(s.cfg, letter)}, deadletter.ToJudge)
	}))
}
