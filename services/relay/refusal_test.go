package relay_test

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/relay"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// add writes rows to the outbox.
func (b *bundle) add(t *testing.T, recs ...event.Record) {
	t.Helper()
	for i := range recs {
		b.written++
		recs[i].UUID = fmt.Sprint(b.written)
		recs[i].Headers = map[string]string{event.HeaderID: recs[i].UUID}
	}
	require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error { return outbox.Publish(b.ctx, tx, recs) }))
	outbox.Wake(b.ctx, b.pool)
}

func noise(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.Read(out)
	return out
}

// deadLetters reads n dead letters, each as "key row reason".
func (b *bundle) deadLetters(t *testing.T, n int) (found []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(b.prefix+event.TopicDeadLetter), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer client.Close()
	for len(found) < n {
		fetches := client.PollFetches(b.ctx)
		require.NoError(t, fetches.Err(), "%d of %d dead letters", len(found), n)
		fetches.EachRecord(func(r *kgo.Record) {
			found = append(found, fmt.Sprintf("%s %s %.60s", r.Key, kafka.Header(r, event.HeaderOriginRow), kafka.Header(r, event.HeaderReason)))
			require.Empty(t, r.Value)
		})
	}
	return found
}

func (b *bundle) make(t *testing.T, topic string, config map[string]*string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(b.ctx, 1, 1, config, b.prefix+topic)
	require.NoError(t, err)
}

// Symptom: a row that no broker takes stopped all rows after it for ever, as the relay retried the same batch.
func TestARowThatIsRefusedBecomesADeadLetterAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.make(t, event.TopicDeadLetter, nil)
		b.make(t, "mails", map[string]*string{"max.message.bytes": kadm.StringPtr("20000")})
		b.write(t, 20)
		b.add(t, event.Record{Topic: "mails", Key: "large", Value: noise(50_000)})
		large := b.written
		b.write(t, 20)
		b.start(t)
		consumer, seen := b.consumer(t), map[string]int{}
		b.read(t, consumer, seen, 40)
		require.Contains(t, b.deadLetters(t, 1)[0], fmt.Sprintf("large %d MESSAGE_TOO_LARGE", large))
		b.write(t, 20)
		b.read(t, consumer, seen, 60)
	})
}

// Small rows make a batch that is too large for a topic with the brokers' default limit.
func TestABatchIsMadeSmallerForATopicThatTakesLittle(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.make(t, event.TopicDeadLetter, nil)
		b.make(t, "mails", map[string]*string{"max.message.bytes": kadm.StringPtr("20000")})
		for range 40 {
			b.add(t, event.Record{Topic: "mails", Key: "k", Value: noise(3_000)})
		}
		b.start(t)
		client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(b.prefix+"mails"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		require.NoError(t, err)
		defer client.Close()
		for n := 0; n < 40; {
			fetches := client.PollFetches(b.ctx)
			require.NoError(t, fetches.Err())
			fetches.EachRecord(func(r *kgo.Record) {
				n++
				require.Equal(t, fmt.Sprint(n), string(kafka.Header(r, event.HeaderID)))
			})
		}
	})
}

// The relay stops with one error, and does not log an error each second.
func TestAMissingTopicOfOursStopsTheRelay(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.add(t, event.Record{Topic: event.TopicCallback, Key: "k", Value: []byte("x")})
		r := relay.New(relay.Params{Pool: b.pool, Kafka: kafka.Config{Brokers: b.brokers, Prefix: b.prefix}, Log: slog.New(slog.DiscardHandler)})
		began := time.Now()
		require.ErrorContains(t, r.Run(b.ctx), "a topic is missing: run `erpconnector topics ensure`")
		t.Logf("it stopped after %s", time.Since(began).Round(time.Millisecond))
	})
}
