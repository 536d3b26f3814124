package reconcile_test

import (
	"context"
	"fmt"
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
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/reconcile"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// world is an outbox and its topics, written apart from each other.
type world struct {
	t      *testing.T
	cfg    kafka.Config
	pool   *pgxpool.Pool
	client *kgo.Client
	at     time.Time // of the next message; each is a second later
}

func setup(t *testing.T) *world {
	t.Helper()
	cfg := testkit.EmbeddedBroker(t)
	admin, err := topics.NewAdmin(cfg, 2)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	client, err := kgo.NewClient(append(cfg.Options(), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &world{t: t, cfg: cfg, pool: testkit.Postgres(t).Pool, client: client, at: time.Now().UTC().Add(-time.Hour).Truncate(time.Millisecond)}
}

// message is the n-th event of an order of its own.
func message(n int) event.Record {
	e := event.Commerce{EventID: fmt.Sprint("e", n), Type: event.OrderPlaced, Source: "default"}
	return event.NewCommerce(e, refOf(n), []byte(`{}`), time.Now(), "")
}

func refOf(n int) domain.OrderRef {
	return domain.OrderRef{Source: "default", IncrementID: fmt.Sprint(n)}
}

// note is something that was said of an order and may be said again.
func note() event.Record {
	rec, err := event.NewNote(event.Sync{Sync: domain.Sync{
		SyncID: 1, Source: "default", OrderIncrementID: "1", Status: domain.Queued, Generation: 1, Version: domain.RequestVersion(1, 0),
	}}, "processing", event.Context{At: time.Now()})
	if err != nil {
		panic(err)
	}
	return rec
}

func (w *world) stamped(rec event.Record) event.Record {
	rec.Headers[event.HeaderTime] = w.at.Format(time.RFC3339Nano)
	return rec
}

// row writes a row, as of now in the world's time.
func (w *world) row(rec event.Record) (id int64) {
	w.t.Helper()
	require.NoError(w.t, pgx.BeginFunc(w.t.Context(), w.pool, func(tx pgx.Tx) error {
		if err := outbox.Publish(w.t.Context(), tx, []event.Record{w.stamped(rec)}); err != nil {
			return err
		}
		return tx.QueryRow(w.t.Context(), `UPDATE erp_outbox SET created_at = $1 WHERE id = currval('erp_outbox_id_seq') RETURNING id`, w.at).Scan(&id)
	}))
	return id
}

// relay writes a record, as of now in the world's time.
func (w *world) relay(rec event.Record) {
	w.t.Helper()
	r := w.cfg.Record(w.stamped(rec))
	r.Timestamp = w.at
	require.NoError(w.t, w.client.ProduceSync(w.t.Context(), r).FirstErr())
}

// both writes messages, each as a row that is relayed; it gives the last id.
func (w *world) both(from, to int) (last int64) {
	w.t.Helper()
	for n := from; n <= to; n++ {
		m := message(n)
		last = w.row(m)
		w.relay(m)
		w.at = w.at.Add(time.Second)
	}
	return last
}

func (w *world) compare(last int64) *reconcile.Comparison {
	w.t.Helper()
	return w.compareAt(checkpoint.Position{LastID: last})
}

func (w *world) compareAt(p checkpoint.Position) *reconcile.Comparison {
	w.t.Helper()
	conn, err := w.pool.Acquire(w.t.Context())
	require.NoError(w.t, err)
	defer conn.Release()
	c, err := reconcile.Compare(w.t.Context(), reconcile.Params{Kafka: w.cfg, On: conn, Position: p})
	require.NoError(w.t, err)
	return c
}

// forget takes rows away, as a standby that lagged never had them.
func (w *world) forget(from int64) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), `DELETE FROM erp_outbox WHERE id >= $1`, from)
	require.NoError(w.t, err)
}

func TestCompareFindsNothingWhereAllIsWell(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.False(t, w.compare(0).Differs())
	last := w.both(1, 20)
	w.row(message(21)) // not relayed yet
	c := w.compare(last)
	require.False(t, c.Differs(), "%+v", c)
	require.Equal(t, 20, c.Records)
}

func TestCompareFindsWhatAStandbyLacks(t *testing.T) {
	t.Parallel()
	w := setup(t)
	last := w.both(1, 20)
	w.forget(15)
	w.at = w.at.Add(time.Minute)
	again := w.row(message(18)) // the shop sent it once more
	w.row(message(30))
	c := w.compare(last)
	require.Len(t, c.Lost, 6)
	require.Equal(t, []reconcile.Row{{ID: again, Topic: event.TopicSalesOrder, Key: "18"}}, c.Repeated)
	require.Empty(t, c.Reused)
}

// Symptom: a row with a lower id than the last one was committed after it, and is lost alone. The last row tells nothing of it.
func TestCompareFindsARowThatWasOvertaken(t *testing.T) {
	t.Parallel()
	w := setup(t)
	last := w.both(1, 20)
	_, err := w.pool.Exec(t.Context(), `DELETE FROM erp_outbox WHERE id = $1`, last-1)
	require.NoError(t, err)
	require.Len(t, w.compare(last).Lost, 1)
}

// A database that was restored in its place, and has given ids a second time: to other messages, and to one of the same.
func TestCompareFindsIdsThatWereGivenASecondTime(t *testing.T) {
	t.Parallel()
	w := setup(t)
	last := w.both(1, 20)
	w.forget(15)
	_, err := w.pool.Exec(t.Context(), `SELECT setval('erp_outbox_id_seq', 14)`)
	require.NoError(t, err)
	other, same := w.row(message(31)), w.row(message(16))
	require.Equal(t, "15 16", fmt.Sprint(other, same))
	c := w.compare(last)
	require.Len(t, c.Lost, 6)
	require.Equal(t, []reconcile.Row{{ID: other, Topic: event.TopicSalesOrder, Key: "31"}}, c.Reused)
	require.Equal(t, []reconcile.Row{{ID: same, Topic: event.TopicSalesOrder, Key: "16"}}, c.Repeated)
}

// A record that somebody has sent once more, as it was, is no loss.
func TestCompareForgivesCopiesInKafka(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := message(1)
	last := w.row(m)
	w.relay(m)
	w.relay(m)
	require.False(t, w.compare(last).Differs())
}

// Rows that were passed over, as their partition took no records, are in their place and not in Kafka: after a failover that lost
// nothing the relay must go on. Those that came a second time are found there too.
func TestCompareKnowsWhatWaitsForItsPartition(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.both(1, 20)
	lane := func(n int) string { return checkpoint.Lane(w.cfg, event.TopicSalesOrder, message(n).Key, 2) }
	var waiting, last int64
	for n := 21; n <= 40; n++ {
		m := message(n)
		id := w.row(m)
		if waiting == 0 && lane(n) == lane(21) {
			waiting = id
		}
		if lane(n) != lane(21) {
			w.relay(m)
		}
		w.at = w.at.Add(time.Second)
		last = id
	}
	at := checkpoint.Position{LastID: last, Behind: map[string]int64{lane(21): waiting - 1}}
	require.False(t, w.compareAt(at).Differs())
	require.NotEmpty(t, w.compare(last).Reused, "nothing waits, and what is missing is found")

	w.relay(message(21))
	require.Equal(t, []reconcile.Row{{ID: waiting, Topic: event.TopicSalesOrder, Key: message(21).Key}}, w.compareAt(at).Repeated)
}

// A row that came late, in a gap of the position, is not in Kafka. After a failover that lost nothing the relay must go on.
func TestCompareKnowsWhatComesLate(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.both(1, 5)
	late := w.row(message(6))
	last := w.both(7, 20)
	at := checkpoint.Position{LastID: last, Open: outbox.Gaps{{First: late, Last: late}}}
	require.False(t, w.compareAt(at).Differs())
	require.NotEmpty(t, w.compare(last).Reused, "no gap, and what is missing is found")
}

// A row that the brokers take nowhere has a dead letter in place of its record.
func TestCompareKnowsWhatWasRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.both(1, 5)
	id := w.row(message(6))
	require.NotEmpty(t, w.compare(id).Reused)
	letter := deadletter.Unrelayed(w.cfg, event.TopicSalesOrder, message(6).Key, id, "too large")
	letter.Timestamp = w.at
	require.NoError(t, w.client.ProduceSync(t.Context(), letter).FirstErr())
	require.False(t, w.compare(id).Differs())
}

// A dead letter that was sent back is the same record once more, and is to be relayed.
func TestCompareLetsGoWhatWasSentBack(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m := message(1)
	last := w.row(m)
	w.relay(m)
	w.row(m)
	require.False(t, w.compare(last).Differs())
}

// What may be said twice is counted: two records want two rows.
func TestCompareCountsNotes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.both(1, 3)
	for range 2 {
		n := note()
		w.row(n)
		w.relay(n)
	}
	w.relay(note())
	last := w.both(4, 5)
	w.row(note()) // said once more, and to be relayed
	c := w.compare(last)
	require.Len(t, c.Lost, 1)
	require.Empty(t, c.Repeated)
	require.Empty(t, c.Reused)
}

// The log is not read from its start when there is no need, and is when there is.
func TestCompareReadsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var last int64
	ctx := context.WithoutCancel(t.Context())
	w.at = w.at.Add(-2 * time.Hour)
	var recs []event.Record
	for n := range 3000 {
		recs = append(recs, w.stamped(message(n)))
		r := w.cfg.Record(recs[n])
		r.Timestamp = w.at
		w.client.Produce(ctx, r, nil)
		w.at = w.at.Add(time.Second)
	}
	require.NoError(t, w.client.Flush(ctx))
	require.NoError(t, pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		return outbox.Publish(ctx, tx, recs)
	}))
	start := w.at.Add(-3000 * time.Second)
	require.NoError(t, w.pool.QueryRow(ctx, `WITH u AS (UPDATE erp_outbox SET created_at = $1::timestamptz + (id - 1) * interval '1 second' RETURNING id)
		SELECT max(id) FROM u`, start).Scan(&last))
	c := w.compare(last)
	require.False(t, c.Differs())
	require.Less(t, c.Records, 1200)

	w.forget(2001)
	c = w.compare(last)
	require.Len(t, c.Lost, 1000)
	require.Less(t, c.Records, 2200)
	w.forget(1)
	c = w.compare(last)
	require.Len(t, c.Lost, 3000)
}
