package relay_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/relay"
	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// pair is a primary with a standby that follows it, a relay on the two, and a reader of what it relays. The URL names
// the standby first.
type pair struct {
	*bundle
	primary, standby *testkit.Server
	relay            *running
	consumer         *kgo.Client
	seen             map[string]int
}

// setupPair starts a relay and lets it relay n rows.
func setupPair(t *testing.T, n int) *pair {
	t.Helper()
	p := &pair{bundle: setup(t, testkit.EmbeddedBroker(t)), primary: testkit.OwnPostgres(t)}
	p.standby = p.primary.Standby(t)
	p.pool = testkit.PoolOf(t, p.standby.Both(t, p.primary))
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopics(p.ctx, 8, 1, nil, p.prefix+event.TopicSalesOrder, p.prefix+event.TopicCallback)
	require.NoError(t, err)
	p.make(t, event.TopicDeadLetter, nil)
	p.consumer, p.seen = p.bundle.consumer(t), map[string]int{}
	p.relay = p.run(t)
	p.write(t, n)
	p.reads(t, n)
	return p
}

// reads waits until n rows were relayed in all, each once.
func (p *pair) reads(t *testing.T, n int) {
	t.Helper()
	p.read(t, p.consumer, p.seen, n)
}

// row returns a record for the outbox.
func row(key, id string) []event.Record {
	return []event.Record{{Topic: event.TopicRequested, Key: key, UUID: id, Value: []byte("0"), Headers: map[string]string{event.HeaderID: id}}}
}

// running is a relay with its log.
type running struct {
	ended chan error
	lines *testkit.Log
}

func (p *pair) run(t *testing.T) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(p.ctx)
	r := &running{ended: make(chan error, 1), lines: &testkit.Log{}}
	made := relay.New(relay.Params{
		Pool: p.pool, Kafka: kafka.Config{Brokers: p.brokers, Prefix: p.prefix, ClientID: "test"}, Log: slog.New(slog.NewTextHandler(r.lines, nil)),
	})
	over := make(chan struct{})
	go func() { defer close(over); r.ended <- made.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-over
		t.Log(r.lines)
	})
	return r
}

func (r *running) stops(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(testkit.Patience):
		require.Fail(t, "the relay goes on", "%s", r.lines)
		return nil
	}
}

// failOver kills the primary and promotes the standby.
func (p *pair) failOver(t *testing.T) {
	t.Helper()
	p.primary.Kill(t)
	p.standby.Promote(t)
	testkit.Eventually(t, func() bool { return p.pool.Ping(p.ctx) == nil }, "the pool finds the new primary")
}

// Symptom: the relay took its lease on the standby, which DATABASE_URL named first. It led at the same time as the real
// leader, saw no writers, and skipped a row for ever.
func TestTheRelayLeadsOnThePrimaryWhenAStandbyAnswersFirst(t *testing.T) {
	t.Parallel()
	p := setupPair(t, 10)
	tx, err := p.pool.Begin(p.ctx) // a standby does not show this writer
	require.NoError(t, err)
	require.NoError(t, outbox.Publish(p.ctx, tx, row("k", "1000")))
	p.write(t, 10)
	p.standby.Follows(t, p.primary)
	require.NoError(t, tx.Commit(p.ctx))
	p.reads(t, 21)
}

// After a failover to a standby that had everything the relay goes on: each row goes out once, and the new server's
// rows too. The log says so once.
func TestTheRelayGoesOnWithAStandbyThatHadEverything(t *testing.T) {
	t.Parallel()
	p := setupPair(t, 2500)
	p.standby.Follows(t, p.primary)
	p.failOver(t)
	p.write(t, 2500)
	p.reads(t, 5000)
	require.Equal(t, 1, strings.Count(p.relay.lines.String(), "another Postgres server has taken over"), "%s", p.relay.lines)
	at, err := checkpoint.Read(p.ctx, kafka.Config{Brokers: p.brokers, Prefix: p.prefix})
	require.NoError(t, err)
	require.Equal(t, 2, at.Timeline)
	require.Equal(t, int64(1), at.LastID>>40)

	// The former primary comes back, and a process's DATABASE_URL still names it.
	p.primary.Restart(t)
	p.pool = p.primary.Pool(t)
	old := p.run(t)
	_, err = p.standby.Pool(t).Exec(p.ctx, `SELECT 1`)
	require.NoError(t, err)
	require.ErrorContains(t, old.stops(t), "another server has taken this one's place")
}

// Symptom: a promoted standby that lagged accepted 50 rows before the relay connected, and only 16 of them were
// relayed. The others had ids that were relayed before.
func TestTheRelayStopsAtAStandbyThatLagged(t *testing.T) {
	t.Parallel()
	p := setupPair(t, 10)
	p.standby.Follows(t, p.primary)
	p.standby.StopReceiving(t)
	p.write(t, 34)
	p.reads(t, 44)
	p.primary.Kill(t)
	p.standby.Promote(t)
	direct := p.standby.Pool(t)
	require.NoError(t, pgx.BeginFunc(p.ctx, direct, func(tx pgx.Tx) error {
		for range 50 {
			if err := outbox.Publish(p.ctx, tx, row("k", "new")); err != nil {
				return err
			}
		}
		return nil
	}))
	err := p.relay.stops(t)
	require.ErrorIs(t, err, checkpoint.ErrMismatch)
	require.ErrorContains(t, err, "row 44 is not here")
	require.ErrorContains(t, err, "`erpconnector repair`")
	require.NotContains(t, p.relay.lines.String(), "taken over")
}

// Symptom: a row was committed after one with a higher id. The standby lacked it but had the position's row, and nobody
// noticed the loss.
func TestTheRelayStopsAtAStandbyThatLacksAnOvertakenRow(t *testing.T) {
	t.Parallel()
	p := setupPair(t, 10)
	tx, err := p.pool.Begin(p.ctx)
	require.NoError(t, err)
	require.NoError(t, outbox.Publish(p.ctx, tx, row("late", "1000")))
	p.write(t, 10)
	p.standby.Follows(t, p.primary)
	p.standby.StopReceiving(t)
	require.NoError(t, tx.Commit(p.ctx))
	p.reads(t, 21)
	p.failOver(t)
	err = p.relay.stops(t)
	require.ErrorIs(t, err, checkpoint.ErrMismatch)
	require.ErrorContains(t, err, "1 message of those that Kafka has is not here")
}
