package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// ledger is a database and a Kafka in which a test writes what the services would have written, without any service: so nothing
// moves while it is audited.
type ledger struct {
	t      *testing.T
	cfg    kafka.Config
	pool   *pgxpool.Pool
	client *kgo.Client
	admin  *kadm.Client

	syncs  map[string]domain.Sync // as the order's last record has it, by order
	lastID int64                  // of the outbox
	passed int64                  // the relay's position
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	cfg, client := testkit.WithTopics(t, 2)
	return &ledger{
		t: t, cfg: cfg, pool: testkit.Postgres(t).Pool, client: client, admin: kadm.NewClient(client), syncs: map[string]domain.Sync{},
	}
}

func ref(order string) domain.OrderRef {
	return domain.OrderRef{Source: domain.DefaultSource, IncrementID: order}
}

// accept writes what ingest writes of an order and its invoice: event, gate and outbox rows.
func (l *ledger) accept(orders ...string) {
	l.t.Helper()
	for _, order := range orders {
		l.acceptAs(ref(order), domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5})
	}
}

func (l *ledger) acceptAs(of domain.OrderRef, policy domain.RequestPolicy) {
	l.t.Helper()
	now, ctx := time.Now(), l.t.Context()
	require.NoError(l.t, pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		gates, err := gate.Lock(ctx, tx, []domain.OrderRef{of}, now)
		if err != nil {
			return err
		}
		g, _ := gates[of.Key()].Request(int64(len(l.syncs)+1), policy, now)
		if err := gate.Save(ctx, tx, []domain.Gate{g}); err != nil {
			return err
		}
		l.syncs[of.Key()] = g.RequestedSync(nil, "e")
		return l.publish(tx, of, event.InvoiceCreated, l.request(of.Key()))
	}))
	l.read(&l.lastID, `SELECT max(id) FROM erp_outbox`)
}

// place writes what ingest writes of an order that has no invoice yet.
func (l *ledger) place(order string) {
	l.t.Helper()
	require.NoError(l.t, pgx.BeginFunc(l.t.Context(), l.pool, func(tx pgx.Tx) error {
		if _, err := gate.Lock(l.t.Context(), tx, []domain.OrderRef{ref(order)}, time.Now()); err != nil {
			return err
		}
		return l.publish(tx, ref(order), event.OrderPlaced)
	}))
	l.read(&l.lastID, `SELECT max(id) FROM erp_outbox`)
}

// publish writes an order's event, and rows that follow from it.
func (l *ledger) publish(tx pgx.Tx, of domain.OrderRef, ofType event.Type, more ...event.Record) error {
	id := "e-" + of.Key()
	_, err := tx.Exec(l.t.Context(), `INSERT INTO accepted_event (source, event_id, order_key, digest, accepted_at) VALUES ($1, $2, $3, '', now())`,
		of.Source, id, of.Key())
	if err != nil {
		return err
	}
	body := fmt.Appendf(nil, `{"event_id":%q,"order":{}}`, id)
	e := event.NewCommerce(event.Commerce{EventID: id, Type: ofType, Source: of.Source}, of, body, time.Now(), "")
	return outbox.Publish(l.t.Context(), tx, append([]event.Record{e}, more...))
}

func (l *ledger) request(key string) event.Record {
	l.t.Helper()
	return l.fact(event.TopicRequested, l.syncs[key])
}

func (l *ledger) fact(topic string, s domain.Sync) event.Record {
	l.t.Helper()
	r, err := event.NewSync(topic, event.Sync{Sync: s, Order: json.RawMessage(`{}`)}, event.Context{At: time.Now()})
	require.NoError(l.t, err)
	return r
}

// relay brings all rows of the outbox beyond the relay's position to Kafka, and moves it.
func (l *ledger) relay() {
	l.t.Helper()
	conn, err := l.pool.Acquire(l.t.Context())
	require.NoError(l.t, err)
	defer conn.Release()
	batch, err := outbox.NewReader(conn.Conn(), outbox.Limits{Rows: 1000}).Next(l.t.Context(), outbox.Cursor{After: l.passed})
	require.NoError(l.t, err)
	for _, row := range batch.Rows {
		l.produce(l.cfg.Record(outbox.FromMessage(row.Topic, row.Message())))
	}
	l.position(l.lastID)
}

// position says that the relay has come to this row.
func (l *ledger) position(id int64) {
	l.t.Helper()
	at, err := checkpoint.Position{LastID: id, At: time.Now()}.Record()
	require.NoError(l.t, err)
	at.Topic = l.cfg.Topic(event.TopicPosition)
	l.produce(at)
	l.passed = id
}

func (l *ledger) produce(records ...*kgo.Record) {
	l.t.Helper()
	require.NoError(l.t, l.client.ProduceSync(l.t.Context(), records...).FirstErr())
}

// write produces a fact of an order as it is now.
func (l *ledger) write(topic, order string, s domain.Sync) {
	l.t.Helper()
	l.produce(l.cfg.Record(l.fact(topic, s)))
	l.syncs[order] = s
}

// call writes what the syncer writes of an order's next call: the intent, the outcome, and the end or the parked retry.
func (l *ledger) call(order string, kind domain.OutcomeKind) {
	l.t.Helper()
	now := time.Now()
	s := l.syncs[order]
	s.Released = nil
	l.write(event.TopicBeforeSend, order, domain.Sending(s, now))
	d := domain.Decide(s, domain.Outcome{Kind: kind}, domain.RetryPolicy{BaseDelay: time.Hour}, now, 0)
	l.write(event.TopicAfterSend, order, d.After)
	if d.Retry != nil {
		r, err := event.NewRetry(event.Sync{Sync: d.After, Order: json.RawMessage(`{}`)}, *d.Retry, event.Context{At: now})
		require.NoError(l.t, err)
		l.produce(l.cfg.Record(r))
		return
	}
	topic, closedBy := event.TopicFailed, domain.ClosedByFailure
	if kind == domain.OutcomeSuccess {
		topic, closedBy = event.TopicSuccess, domain.ClosedByAnswer
	}
	l.write(topic, order, *d.Terminal)
	l.exec(`UPDATE erp_sync_gate SET state = 'closed', closed_by = $2 WHERE order_key = $1`, order, string(closedBy))
}

// consumed moves the syncer over all that its topics hold.
func (l *ledger) consumed() {
	l.t.Helper()
	ends, err := l.admin.ListEndOffsets(l.t.Context(), l.cfg.Topics([]string{event.TopicRequested, event.TopicDue})...)
	require.NoError(l.t, err)
	require.NoError(l.t, l.admin.CommitAllOffsets(l.t.Context(), l.cfg.Group(string(event.GroupSyncer)), ends.Offsets()))
}

// applied says that the projection has read all of the log.
func (l *ledger) applied() {
	l.t.Helper()
	for _, topic := range event.TopicsOf(event.GroupProjector) {
		ends, err := l.admin.ListEndOffsets(l.t.Context(), l.cfg.Topic(topic))
		require.NoError(l.t, err)
		ends.Each(func(o kadm.ListedOffset) {
			l.exec(`INSERT INTO projector_position (topic, partition, next_offset) VALUES ($1, $2, $3)
				ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset`, topic, o.Partition, o.Offset)
		})
	}
}

// deadLetter puts an order's request among the dead letters, as it was consumed.
func (l *ledger) deadLetter(order string) {
	l.t.Helper()
	l.produce(deadletter.Record(l.cfg, l.cfg.Record(l.request(order)), deadletter.Cause{By: deadletter.BySyncer, Reason: "a test"}))
}

func (l *ledger) exec(statement string, args ...any) {
	l.t.Helper()
	_, err := l.pool.Exec(l.t.Context(), statement, args...)
	require.NoError(l.t, err)
}

func (l *ledger) read(into any, query string, args ...any) {
	l.t.Helper()
	require.NoError(l.t, l.pool.QueryRow(l.t.Context(), query, args...).Scan(into))
}

// audit audits. Gates are given no time to close: no projector runs.
func (l *ledger) audit(change ...func(*Params)) *Report {
	l.t.Helper()
	p := Params{Kafka: l.cfg, Pool: l.pool}
	for _, c := range change {
		c(&p)
	}
	r, err := audit(l.t.Context(), p, atOnce)
	require.NoError(l.t, err)
	return r
}

// kinds are the violations by order.
func kinds(r *Report) map[string][]Kind {
	out := map[string][]Kind{}
	for _, v := range r.Violations {
		out[v.Order] = append(out[v.Order], v.Kind)
	}
	for _, k := range out {
		slices.Sort(k)
	}
	return out
}
