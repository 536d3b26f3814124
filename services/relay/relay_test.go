package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/relay"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

type bundle struct {
	pool    *pgxpool.Pool
	brokers []string
	prefix  string
	ctx     context.Context //nolint:containedctx // the test's own
	written int
}

func TestMain(m *testing.M) { testkit.Main(m) }

func setup(t *testing.T, cfg kafka.Config) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	b := &bundle{ctx: ctx, pool: testkit.Postgres(t).Pool, brokers: cfg.Brokers, prefix: cfg.Prefix + strings.NewReplacer("/", ".").Replace(t.Name()) + "."}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopics(b.ctx, 8, 1, nil, b.prefix+event.TopicRequested)
	require.NoError(t, err)
	_, err = admin.CreateTopics(b.ctx, 1, 1, nil, b.prefix+event.TopicPosition)
	require.NoError(t, err)
	return b
}

func (b *bundle) write(t *testing.T, n int) {
	t.Helper()
	recs := make([]event.Record, 0, n)
	for range n {
		b.written++
		id := fmt.Sprint(b.written)
		recs = append(recs, event.Record{
			Topic: event.TopicRequested, Key: fmt.Sprint(b.written % 50), UUID: id, Value: []byte(id + strings.Repeat("x", 1024)),
			Headers: map[string]string{event.HeaderID: id},
		})
	}
	require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error { return outbox.Publish(b.ctx, tx, recs) }))
	outbox.Wake(b.ctx, b.pool)
}

// start runs a relay; stop ends it as SIGTERM does.
func (b *bundle) start(t *testing.T) (stop func() error) {
	t.Helper()
	return b.startWith(t, kafka.Config{Brokers: b.brokers, Prefix: b.prefix, ClientID: "test"})
}

func (b *bundle) startWith(t *testing.T, cfg kafka.Config) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	r := relay.New(relay.Params{Pool: b.pool, Kafka: cfg, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	go func() { done <- r.Run(ctx) }()
	var result error
	ended := false
	stop = func() error {
		if !ended {
			cancel()
			result, ended = <-done, true
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// read consumes committed records until n distinct ones have come, and checks that each came once and in order per key.
func (b *bundle) read(t *testing.T, consumer *kgo.Client, seen map[string]int, n int) {
	t.Helper()
	last := map[string]int{}
	for len(seen) < n {
		fetches := consumer.PollFetches(b.ctx)
		require.NoError(t, fetches.Err(), "%d of %d records", len(seen), n)
		for _, r := range fetches.Records() {
			id := string(r.Headers[0].Value)
			seen[id]++
			require.Equal(t, 1, seen[id], "record %s came twice", id)
			var number int
			_, err := fmt.Sscan(id, &number)
			require.NoError(t, err)
			require.Greater(t, number, last[string(r.Key)])
			last[string(r.Key)] = number
		}
	}
}

func (b *bundle) consumer(t *testing.T) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(b.prefix+event.TopicRequested),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func TestRelay(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, testRelay)
}

func testRelay(t *testing.T, cfg kafka.Config) {
	t.Helper()
	t.Run("goes_on_where_it_stopped", func(t *testing.T) {
		b := setup(t, cfg)
		consumer, seen := b.consumer(t), map[string]int{}
		for round := range 3 {
			b.write(t, 2500)
			stop := b.start(t)
			b.read(t, consumer, seen, 2500*(round+1))
			require.NoError(t, stop())
		}
	})
	t.Run("a_successor_takes_over_when_the_leaders_session_is_gone", func(t *testing.T) {
		b := setup(t, cfg)
		consumer, seen := b.consumer(t), map[string]int{}
		b.start(t)
		b.start(t)
		for range 8 {
			b.write(t, 3000)
			_, err := b.pool.Exec(b.ctx, `SELECT pg_terminate_backend(pid) FROM pg_locks
				WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
			require.NoError(t, err)
			b.write(t, 100)
		}
		b.read(t, consumer, seen, b.written)
	})
	t.Run("each_row_goes_out_by_itself_when_no_other_follows", func(t *testing.T) {
		b := setup(t, cfg)
		consumer, seen := b.consumer(t), map[string]int{}
		b.start(t)
		b.write(t, 1)
		b.read(t, consumer, seen, 1)
		for range 50 {
			b.write(t, 1)
			b.read(t, consumer, seen, b.written)
		}
	})
	t.Run("stops_when_the_database_is_older_than_the_position", func(t *testing.T) {
		b := setup(t, cfg)
		consumer, seen := b.consumer(t), map[string]int{}
		b.write(t, 10)
		stop := b.start(t)
		b.read(t, consumer, seen, 10)
		require.NoError(t, stop())
		_, err := b.pool.Exec(b.ctx, "TRUNCATE erp_outbox; SELECT setval('erp_outbox_id_seq', 3)")
		require.NoError(t, err)
		r := relay.New(relay.Params{Pool: b.pool, Kafka: kafka.Config{Brokers: b.brokers, Prefix: b.prefix}, Log: slog.New(slog.DiscardHandler)})
		require.ErrorContains(t, r.Run(b.ctx), "`erpconnector repair`")
	})
}
