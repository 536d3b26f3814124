package relay_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
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

// pair is a primary and a standby that follows it, and a relay's bundle on the two; the standby is named first.
type pair struct {
	*bundle
	primary, standby *testkit.Server
}

func setupPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{bundle: setup(t, testkit.EmbeddedBroker(t)), primary: testkit.OwnPostgres(t)}
	p.standby = p.primary.Standby(t)
	p.pool = testkit.PoolOf(t, p.standby.Both(t, p.primary))
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopics(p.ctx, 8, 1, nil, p.prefix+event.TopicSalesOrder, p.prefix+event.TopicCallback)
	require.NoError(t, err)
	return p
}

// running is a relay with its log.
type running struct {
	ended chan error
	lines *lines
}

func (p *pair) run(t *testing.T) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(p.ctx)
	r := &running{ended: make(chan error, 1), lines: &lines{}}
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
	case <-time.After(30 * time.Second):
		require.Fail(t, "the relay goes on", "%s", r.lines)
		return nil
	}
}

type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// failOver kills the primary and puts the standby in its place.
func (p *pair) failOver(t *testing.T) {
	t.Helper()
	p.primary.Kill(t)
	p.standby.Promote(t)
	require.Eventually(t, func() bool { return p.pool.Ping(p.ctx) == nil }, 30*time.Second, 10*time.Millisecond)
}

// Symptom: named first, the standby was what the relay took its lock on: it led beside the real leader, saw no writers, and
// skipped a row for ever.
func TestTheRelayLeadsOnThePrimaryThoughAStandbyAnswersFirst(t *testing.T) {
	t.Parallel()
	p := setupPair(t)
	consumer, seen := p.consumer(t), map[string]int{}
	p.run(t)
	p.write(t, 10)
	tx, err := p.pool.Begin(p.ctx) // a standby does not show who writes
	require.NoError(t, err)
	require.NoError(t, outbox.Publish(p.ctx, tx, []event.Record{{Topic: event.TopicRequested, Key: "k", UUID: "0", Value: []byte("0"), Headers: map[string]string{event.HeaderID: "1000"}}}))
	p.write(t, 10)
	p.read(t, consumer, seen, 10)
	p.standby.Follows(t, p.primary)
	require.NoError(t, tx.Commit(p.ctx))
	p.read(t, consumer, seen, 21)
}

// A failover to a standby that had everything is noted once, and the relay goes on: each row once, and the new server's too.
func TestTheRelayGoesOnWithAStandbyThatHadEverything(t *testing.T) {
	t.Parallel()
	p := setupPair(t)
	consumer, seen := p.consumer(t), map[string]int{}
	r := p.run(t)
	p.write(t, 2500)
	p.read(t, consumer, seen, 2500)
	p.standby.Follows(t, p.primary)
	p.failOver(t)
	p.write(t, 2500)
	p.read(t, consumer, seen, 5000)
	require.Equal(t, 1, strings.Count(r.lines.String(), "another Postgres server has taken over"), "%s", r.lines)
	at, err := checkpoint.Read(p.ctx, kafka.Config{Brokers: p.brokers, Prefix: p.prefix})
	require.NoError(t, err)
	require.Equal(t, 2, at.Timeline)
	require.Equal(t, int64(1), at.LastID>>40)

	// The primary of before comes back, and somebody's DATABASE_URL still names it.
	p.primary.Restart(t)
	p.pool = p.primary.Pool(t)
	old := p.run(t)
	_, err = p.standby.Pool(t).Exec(p.ctx, `SELECT 1`)
	require.NoError(t, err)
	require.ErrorContains(t, old.stops(t), "another server has taken this one's place")
}

// Symptom: 50 rows were accepted by a standby that lagged before the relay looked, and 16 of them relayed: the others had ids
// that Kafka had seen.
func TestTheRelayStopsAtAStandbyThatLagged(t *testing.T) {
	t.Parallel()
	p := setupPair(t)
	consumer, seen := p.consumer(t), map[string]int{}
	r := p.run(t)
	p.write(t, 10)
	p.read(t, consumer, seen, 10)
	p.standby.Follows(t, p.primary)
	p.standby.StopReceiving(t)
	p.write(t, 34)
	p.read(t, consumer, seen, 44)
	p.primary.Kill(t)
	p.standby.Promote(t)
	direct := p.standby.Pool(t)
	require.NoError(t, pgx.BeginFunc(p.ctx, direct, func(tx pgx.Tx) error {
		for range 50 {
			rec := event.Record{Topic: event.TopicRequested, Key: "k", UUID: "new", Value: []byte("0"), Headers: map[string]string{event.HeaderID: "new"}}
			if err := outbox.Publish(p.ctx, tx, []event.Record{rec}); err != nil {
				return err
			}
		}
		return nil
	}))
	err := r.stops(t)
	require.ErrorIs(t, err, checkpoint.ErrMismatch)
	require.ErrorContains(t, err, "row 44 is not here")
	require.ErrorContains(t, err, "`erpconnector repair`")
	require.NotContains(t, r.lines.String(), "taken over")
}

// Symptom: a row that was committed after one with a higher id is lost, the row of the position is there, and all seems well.
func TestTheRelayStopsAtAStandbyThatLacksAnOvertakenRow(t *testing.T) {
	t.Parallel()
	p := setupPair(t)
	consumer, seen := p.consumer(t), map[string]int{}
	r := p.run(t)
	p.write(t, 10)
	p.read(t, consumer, seen, 10)
	tx, err := p.pool.Begin(p.ctx)
	require.NoError(t, err)
	require.NoError(t, outbox.Publish(p.ctx, tx, []event.Record{{Topic: event.TopicRequested, Key: "late", UUID: "late", Value: []byte("0"), Headers: map[string]string{event.HeaderID: "1000"}}}))
	p.write(t, 10)
	p.standby.Follows(t, p.primary)
	p.standby.StopReceiving(t)
	require.NoError(t, tx.Commit(p.ctx))
	p.read(t, consumer, seen, 21)
	p.failOver(t)
	err = r.stops(t)
	require.ErrorIs(t, err, checkpoint.ErrMismatch)
	require.ErrorContains(t, err, "1 message of those that Kafka has is not here")
}
