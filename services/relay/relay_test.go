package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/relay"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

type bundle struct {
	pool    *pgxpool.Pool
	brokers []string
	ctx     context.Context
	written int
}

func setup(t *testing.T) *bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	b := &bundle{ctx: ctx, pool: testkit.Postgres(t).Pool}
	if brokers := os.Getenv("KAFKA_BROKERS"); brokers != "" {
		b.brokers = strings.Split(brokers, ",")
	} else {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(t.TempDir()))
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		b.brokers = cluster.ListenAddrs()
	}
	return b
}

func (b *bundle) prefix(t *testing.T) string {
	t.Helper()
	prefix := fmt.Sprintf("t%d.", time.Now().UnixNano())
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopics(b.ctx, 8, 1, nil, prefix+event.TopicRequested)
	require.NoError(t, err)
	_, err = admin.CreateTopics(b.ctx, 1, 1, nil, prefix+event.TopicPosition)
	require.NoError(t, err)
	return prefix
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
func (b *bundle) start(t *testing.T, prefix string) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	r := relay.New(relay.Params{Pool: b.pool, Brokers: b.brokers, Prefix: prefix, ClientID: "test", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
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
func (b *bundle) read(t *testing.T, prefix string, consumer *kgo.Client, seen map[string]int, n int) {
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

func (b *bundle) consumer(t *testing.T, prefix string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(prefix+event.TopicRequested),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func TestRelay(t *testing.T) {
	t.Run("goes_on_where_it_stopped", func(t *testing.T) {
		b := setup(t)
		prefix := b.prefix(t)
		consumer, seen := b.consumer(t, prefix), map[string]int{}
		for round := range 3 {
			b.write(t, 2500)
			stop := b.start(t, prefix)
			b.read(t, prefix, consumer, seen, 2500*(round+1))
			require.NoError(t, stop())
		}
	})
	t.Run("a_successor_takes_over_when_the_leaders_session_is_gone", func(t *testing.T) {
		b := setup(t)
		prefix := b.prefix(t)
		consumer, seen := b.consumer(t, prefix), map[string]int{}
		b.start(t, prefix)
		b.start(t, prefix)
		for range 8 {
			b.write(t, 3000)
			_, err := b.pool.Exec(b.ctx, `SELECT pg_terminate_backend(pid) FROM pg_locks
				WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
			require.NoError(t, err)
			b.write(t, 100)
		}
		b.read(t, prefix, consumer, seen, b.written)
	})
	t.Run("wakes_in_milliseconds", func(t *testing.T) {
		b := setup(t)
		prefix := b.prefix(t)
		consumer, seen := b.consumer(t, prefix), map[string]int{}
		b.start(t, prefix)
		b.write(t, 1)
		b.read(t, prefix, consumer, seen, 1)
		slowest := time.Duration(0)
		for range 50 {
			b.write(t, 1)
			began := time.Now()
			b.read(t, prefix, consumer, seen, b.written)
			slowest = max(slowest, time.Since(began))
		}
		t.Logf("slowest of 50 wake-ups to delivery: %s", slowest)
	})
	t.Run("stops_when_the_database_is_older_than_the_position", func(t *testing.T) {
		b := setup(t)
		prefix := b.prefix(t)
		consumer, seen := b.consumer(t, prefix), map[string]int{}
		b.write(t, 10)
		stop := b.start(t, prefix)
		b.read(t, prefix, consumer, seen, 10)
		require.NoError(t, stop())
		_, err := b.pool.Exec(b.ctx, "TRUNCATE erp_outbox; SELECT setval('erp_outbox_id_seq', 3)")
		require.NoError(t, err)
		r := relay.New(relay.Params{Pool: b.pool, Brokers: b.brokers, Prefix: prefix, Log: slog.New(slog.DiscardHandler)})
		require.ErrorContains(t, r.Run(b.ctx), "was the database restored")
	})
}

// The drain rate, for docs: go test -run xxx -bench Drain -benchtime 1x.
func TestDrain100k(t *testing.T) {
	if os.Getenv("TEST_DRAIN") == "" {
		t.Skip("TEST_DRAIN is not set")
	}
	b := setup(t)
	prefix := b.prefix(t)
	for range 20 {
		b.write(t, 5000)
	}
	began := time.Now()
	b.start(t, prefix)
	b.read(t, prefix, b.consumer(t, prefix), map[string]int{}, 100_000)
	t.Logf("100,000 rows in %s", time.Since(began))
}
