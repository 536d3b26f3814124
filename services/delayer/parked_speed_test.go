//go:build speed

package delayer

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var (
	parkedRecords = flag.Int("parked.records", 1_000_000, "retries that are parked in the longest tier")
	parkedRate    = flag.Int("parked.rate", 2_000, "of them come due each second")
	parkedTime    = flag.Duration("parked.time", time.Minute, "how long")
	parkedBytes   = flag.Int("parked.bytes", 1_000, "bytes of an order")
)

// TestSpeedOfParkedRetries prints figures and claims none: how late retries come into the due topic, of a million that are parked in one
// tier, and how much memory this process holds meanwhile. The records' times are set so that their hour has nearly passed.
func TestSpeedOfParkedRetries(t *testing.T) {
	testkit.OnApache(t, func(t *testing.T, cfg kafka.Config) {
		ctx := t.Context()
		admin, err := topics.NewAdmin(cfg, 4)
		require.NoError(t, err)
		defer admin.Close()
		_, err = admin.Ensure(ctx, false)
		require.NoError(t, err)
		began := time.Now()
		first := began.Add(parking())
		park(t, cfg, first)
		t.Logf("%d retries parked in %s", *parkedRecords, time.Since(began).Round(time.Second))
		require.Less(t, time.Since(first), time.Duration(0), "parking took too long: the first are due")

		running, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			done <- New(Params{Kafka: cfg, LeaseID: "delayer-0", Log: slog.New(slog.DiscardHandler)}).Run(running)
		}()
		late, peak := follow(t, cfg, *parkedRate*int(parkedTime.Seconds()))
		stop()
		require.NoError(t, <-done)
		slices.Sort(late)
		at := func(q float64) time.Duration { return late[int(q*float64(len(late)-1))].Round(time.Millisecond) }
		t.Logf("%d came due, %d/s: late by p50 %s, p99 %s, at most %s; heap of the delayer and the reader together: %d MiB at most",
			len(late), *parkedRate, at(0.5), at(0.99), at(1), peak>>20)
	})
}

// parking is the time that parking may take, with much to spare.
func parking() time.Duration {
	return 20*time.Second + time.Duration(*parkedRecords)*100*time.Microsecond
}

// park fills the longest tier. The retries come due one after the other from a time on.
func park(t *testing.T, cfg kafka.Config, first time.Time) {
	t.Helper()
	client, err := kgo.NewClient(append(cfg.Options(), kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchMaxBytes(1<<20))...)
	require.NoError(t, err)
	defer client.Close()
	tier := event.RetryTiers[len(event.RetryTiers)-1]
	value := make([]byte, *parkedBytes)
	for i := range *parkedRecords {
		due := first.Add(time.Duration(i) * time.Second / time.Duration(*parkedRate)).Truncate(time.Millisecond)
		client.Produce(t.Context(), &kgo.Record{
			Topic: cfg.Topic(tier.Topic), Key: fmt.Appendf(nil, "order-%d", i), Value: value, Timestamp: due.Add(-tier.Delay),
			Headers: []kgo.RecordHeader{{Key: event.HeaderDue, Value: []byte(millis(due))}},
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	require.NoError(t, client.Flush(t.Context()))
}

// follow reads the due topic until so many retries have come.
func follow(t *testing.T, cfg kafka.Config, wanted int) (late []time.Duration, peak uint64) {
	t.Helper()
	client, err := kgo.NewClient(append(cfg.Options(), kgo.ConsumeTopics(cfg.Topic(event.TopicDue)), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	require.NoError(t, err)
	defer client.Close()
	var watching sync.WaitGroup
	end := make(chan bool)
	watching.Go(func() {
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Second):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
	})
	for len(late) < wanted {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			due, err := cfg.Event(r).Due()
			require.NoError(t, err)
			late = append(late, now.Sub(due))
		})
	}
	close(end)
	watching.Wait()
	return late, peak
}
