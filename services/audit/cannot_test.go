package audit

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// atOnce waits for no projector, divides even a few orders, splits each bucket as often as may be, and keeps nothing in memory.
var atOnce = tuning{bucketOrders: 1}

// run audits, and may fail.
func (l *ledger) run(ctx context.Context, change ...func(*Params)) (*Report, error) {
	p := Params{Kafka: l.cfg, Pool: l.pool}
	for _, c := range change {
		c(&p)
	}
	return audit(ctx, p, atOnce)
}

// An audit that cannot tell fails, and says what is in its way and which command mends it. It never says that all is well.
func TestAnAuditThatCannotTell(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	hasEnded(l, "1")
	l.consumed()
	l.applied()
	_, err := l.run(t.Context())
	require.NoError(t, err)

	stopped, stop := context.WithCancel(t.Context())
	stop()
	_, err = l.run(stopped)
	require.ErrorIs(t, err, context.Canceled, "Ctrl-C")

	_, err = l.run(t.Context(), func(p *Params) { p.Kafka.Prefix += "other." })
	require.ErrorContains(t, err, "are KAFKA_BROKERS and KAFKA_TOPIC_PREFIX those of the connector? `erpconnector topics check` tells")

	closed, err := pgxpool.NewWithConfig(t.Context(), l.pool.Config())
	require.NoError(t, err)
	closed.Close()
	_, err = l.run(t.Context(), func(p *Params) { p.Pool = closed })
	require.Error(t, err)
	_, err = readSnapshot(t.Context(), Params{Pool: closed}, 1, atOnce, &store{})
	require.ErrorContains(t, err, "reading gates, events and outbox: ")
	_, err = (&auditor{Params: Params{Pool: closed}}).readNow(t.Context(), []*order{{key: "1"}, {key: "2"}}, 0)
	require.ErrorContains(t, err, "reading 2 orders again: ")
	lost := &judgement{o: &order{key: "1"}, violations: []Violation{{Kind: EventNotPublished}}}
	require.ErrorContains(t, (&auditor{Params: Params{Pool: closed}}).nameEvents(t.Context(), []*judgement{lost}), "looking up 1 events: ")
	nobodys := map[string]unknownOrder{"1": {}}
	require.ErrorContains(t, (&auditor{Params: Params{Pool: closed}}).judgeUnknownOrders(t.Context(), 0, nobodys), "looking for the gates of 1 orders: ")

	answer, err := l.admin.UpdatePartitions(t.Context(), 3, l.cfg.Topic(event.TopicDue))
	require.NoError(t, err)
	require.NoError(t, answer.Error())
	_, err = l.run(t.Context())
	require.ErrorContains(t, err, " has 3 partitions, ")
	require.ErrorContains(t, err, ": run `erpconnector topics check`")
	r, err := l.run(t.Context(), func(p *Params) { p.Kafka.Partitions = 2 })
	require.NoError(t, err, "partitions beyond the setting are used by nobody")
	require.Equal(t, 1, r.Total().Success)

	_, err = l.admin.DeleteOffsets(t.Context(), l.cfg.Group(string(event.GroupSyncer)), kadm.TopicsSet{l.cfg.Topic(event.TopicDue): {0: {}}})
	require.NoError(t, err)
	_, err = l.run(t.Context(), func(p *Params) { p.Kafka.Partitions = 2 })
	require.ErrorContains(t, err, "group erpconnector-syncer has no position in ")
	require.ErrorContains(t, err, " partition 0: run `erpconnector topics check`")
}

// The bar of the command goes on, never back, and comes to its end.
func TestProgressComesToItsEnd(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.consumed()
	var done, of []int64
	watch := func(p *Params) { p.OnProgress = func(d, all int64) { done, of = append(done, d), append(of, all) } }
	r, err := l.run(t.Context(), watch)
	require.NoError(t, err)
	require.Empty(t, r.Sources, "nothing was accepted")
	require.Equal(t, Counts{}, r.Total())
	require.True(t, r.Conserved())

	for _, order := range []string{"1", "2", "3", "4"} {
		hasEnded(l, order)
	}
	l.consumed()
	l.applied()
	done, of = nil, nil
	r, err = l.run(t.Context(), watch)
	require.NoError(t, err)
	require.Equal(t, 4, r.Total().Success)
	require.IsNonDecreasing(t, done)
	require.Positive(t, of[0])
	require.Equal(t, of[0], done[len(done)-1])
	require.Equal(t, of[0], of[len(of)-1])
	require.WithinDuration(t, time.Now(), r.At, time.Hour, "by the clock of Postgres")
	require.Equal(t, l.lastID, r.Relayed)
}

// Records of orders that no table knows. Who asks for one shop or a range of time is not told of others.
func TestRecordsOfNobody(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	isRequested(l, "1")
	home := partitionOf("1", 2)
	misplaced := l.find(event.TopicSalesOrder, "1")
	l.produceTo(1-home, &kgo.Record{Topic: misplaced.Topic, Key: misplaced.Key, Value: misplaced.Value, Headers: misplaced.Headers})
	for _, key := range []string{"9", "outlet/9", "%"} {
		l.again(event.TopicSalesOrder, "1", func(r *kgo.Record) { r.Key = []byte(key) })
	}
	r := l.audit()
	require.Equal(t, map[string][]Kind{"1": {RecordUnknown}, "9": {LogWithoutGate}, "%": {LogWithoutGate}}, merged(r))
	for _, v := range r.Violations {
		if v.Kind == RecordUnknown {
			require.Equal(t, "records of this order belong into partition "+string('0'+rune(home)), v.Found)
			require.Equal(t, 1-home, *v.Partition)
		}
	}
	require.Len(t, l.audit(func(p *Params) { p.Source = "outlet" }).Violations, 2, "the shop's, and one whose shop nobody knows")
	require.Empty(t, l.audit(func(p *Params) { p.From = time.Now().Add(time.Hour) }).Violations)
	require.Empty(t, l.audit(func(p *Params) { p.To = time.Now().Add(-time.Hour) }).Violations)
}

// merged are the kinds by increment id, each once.
func merged(r *Report) map[string][]Kind {
	out := map[string][]Kind{}
	for order, all := range kinds(r) {
		out[order] = all[:1]
	}
	return out
}

func (l *ledger) produceTo(partition int32, r *kgo.Record) {
	l.t.Helper()
	client, err := kgo.NewClient(append(l.cfg.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(l.t, err)
	defer client.Close()
	r.Partition = partition
	require.NoError(l.t, client.ProduceSync(l.t.Context(), r).FirstErr())
}

// atSecondLook is called when an audit looks at Postgres for the second time after a suspicion.
type atSecondLook struct {
	mu    sync.Mutex
	looks int
	do    func()
}

func (a *atSecondLook) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.Contains(q.SQL, "FROM projector_position") {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.looks++; a.looks == 2 {
			a.do()
		}
	}
	return ctx
}

func (a *atSecondLook) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// The projector may close a gate some seconds after it has applied the end: the audit waits for that, and stops at Ctrl-C.
func TestAGateIsGivenTimeToClose(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	hasEnded(l, "1")
	l.consumed()
	l.applied()
	gateIs(`state = 'open', closed_by = NULL`)(l, "1")
	look := func(ctx context.Context, do func()) (*Report, int, error) {
		second := &atSecondLook{do: do}
		config := l.pool.Config()
		config.ConnConfig.Tracer = second
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		defer pool.Close()
		r, err := audit(ctx, Params{Kafka: l.cfg, Pool: pool}, tuning{gateTimeout: testkit.Patience, bucketOrders: 1})
		return r, second.looks, err
	}
	ctx, interrupt := context.WithCancel(t.Context())
	_, _, err := look(ctx, interrupt)
	require.ErrorIs(t, err, context.Canceled)
	r, looks, err := look(t.Context(), func() { gateIs(`state = 'closed', closed_by = 'answer'`)(l, "1") })
	require.NoError(t, err)
	require.Empty(t, r.Violations)
	require.Equal(t, 2, looks)
	require.Equal(t, 1, r.Total().Success)
}

// Before the relay has come to a first row there is no position of it: then nothing is said to be lost.
func TestBeforeTheRelaysFirstRow(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.consumed()
	l.accept("1")
	l.place("2")
	l.acceptAs(ref("3"), domain.RequestPolicy{MaxAttempts: 5})
	r, err := l.run(t.Context())
	require.NoError(t, err)
	require.Empty(t, r.Violations)
	require.Equal(t, Counts{Accepted: 3, UnderWay: 3, NotRequested: 1, Alive: Alive{Outbox: 2}}, r.Total())
}
