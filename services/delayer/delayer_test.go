package delayer

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestRetriesAreForwardedWhenDueAndNeverBefore(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, forwardsWhenDue)
}

func forwardsWhenDue(t *testing.T, cfg kafka.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	admin, err := topics.NewAdmin(cfg, 4)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(ctx, false)
	require.NoError(t, err)

	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	d := New(Params{Kafka: cfg, LeaseID: "delayer-0", Log: slog.New(slog.DiscardHandler)})
	go func() { done <- d.Run(running) }()

	cl, err := kgo.NewClient(append(cfg.Options(), kgo.ConsumeTopics(cfg.Topic(event.TopicDue)), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	require.NoError(t, err)
	defer cl.Close()
	delays := []time.Duration{0, 200 * time.Millisecond, 900 * time.Millisecond, 1500 * time.Millisecond, 4200 * time.Millisecond, 5100 * time.Millisecond}
	due := map[string]time.Time{}
	for i := range 60 {
		at := time.Now()
		when := at.Add(delays[i%len(delays)]).Truncate(time.Millisecond)
		key := fmt.Sprintf("order-%d", i)
		due[key] = when
		r := &kgo.Record{
			Topic: cfg.Topic(event.RetryTierFor(when, at)), Key: []byte(key), Value: []byte("as it was"),
			Headers: []kgo.RecordHeader{{Key: event.HeaderDue, Value: []byte(strconv.FormatInt(when.UnixMilli(), 10))}},
		}
		require.NoError(t, cl.ProduceSync(ctx, r).FirstErr())
	}
	for seen := 0; seen < 60; {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			seen++
			when, ok := due[string(r.Key)]
			require.True(t, ok, "order %s was forwarded twice", r.Key)
			delete(due, string(r.Key))
			require.Equal(t, "as it was", string(r.Value))
			require.False(t, now.Before(when), "order %s is %s early", r.Key, when.Sub(now))
			t.Logf("%s late by %s", r.Key, now.Sub(when))
		})
	}
	require.Empty(t, due)
	stop()
	require.NoError(t, <-done)
}
