package delayer

import (
	"context"
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

// The answer to a commit is lost, and for a while it cannot be found out whether it was committed. Until then nothing
// may be forwarded again, as the retry may be in its next topic already.
func TestNothingIsForwardedAgainBeforeItIsKnownWhetherItWas(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		admin, err := topics.NewAdmin(cfg, 4)
		require.NoError(t, err)
		defer admin.Close()
		_, err = admin.Ensure(ctx, false)
		require.NoError(t, err)
		cl, err := kgo.NewClient(append(cfg.Options(), kgo.ConsumeTopics(cfg.Topic(event.TopicDue)), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
		require.NoError(t, err)
		defer cl.Close()
		park := func(key string) {
			r := &kgo.Record{
				Topic: cfg.Topic(event.RetryTiers[0].Topic), Key: []byte(key), Value: []byte("as it was"),
				Headers: []kgo.RecordHeader{{Key: event.HeaderDue, Value: []byte(strconv.FormatInt(time.Now().UnixMilli(), 10))}},
			}
			require.NoError(t, cl.ProduceSync(ctx, r).FirstErr())
		}

		network := &testkit.Network{}
		log, failed := testkit.Said("retries cannot be forwarded; trying until Kafka answers")
		own := cfg
		own.Dial = network.Dial
		refused := network.LoseAnswer(testkit.EndTxn)
		d := New(Params{Kafka: own, LeaseID: "delayer-0", Log: log})
		running, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- d.Run(running) }()
		park("first")
		testkit.Await(t, failed)
		testkit.Await(t, refused)
		network.Up()
		park("second")
		seen := map[string]int{}
		for seen["second"] == 0 || seen["first"] == 0 {
			fetches := cl.PollFetches(ctx)
			require.NoError(t, ctx.Err(), "seen so far: %v", seen)
			fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Key)]++ })
		}
		require.Equal(t, map[string]int{"first": 1, "second": 1}, seen)
		stop()
		require.NoError(t, <-done)
	})
}
