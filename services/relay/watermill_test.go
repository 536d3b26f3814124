package relay_test

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	stockkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// watermill-kafka's own subscriber (sarama), with its default unmarshaler, reads what the relay writes. With an option it
// reads committed records only; by itself it would not.
func TestTheStockKafkaSubscriberReadsWhatTheRelayWrites(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		config := stockkafka.DefaultSaramaSubscriberConfig()
		config.Consumer.Offsets.Initial = sarama.OffsetOldest
		config.Consumer.IsolationLevel = sarama.ReadCommitted
		subscriber, err := stockkafka.NewSubscriber(stockkafka.SubscriberConfig{
			Brokers: b.brokers, ConsumerGroup: b.prefix + "stock", Unmarshaler: stockkafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
		}, watermill.NopLogger{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, subscriber.Close()) })
		messages, err := subscriber.Subscribe(b.ctx, b.prefix+event.TopicRequested)
		require.NoError(t, err)

		const n = 300
		b.start(t)
		b.write(t, n)
		seen := map[string]bool{}
		for len(seen) < n {
			msg := next(t, b, messages)
			require.Equal(t, msg.UUID, msg.Metadata.Get(event.HeaderID))
			require.Equal(t, msg.UUID, string(msg.Payload[:len(msg.UUID)]))
			key, ok := stockkafka.MessageKeyFromCtx(msg.Context())
			require.True(t, ok)
			require.NotEmpty(t, key)
			require.NotContains(t, msg.Metadata, event.MetadataPartitionKey, "the key is no header")
			seen[msg.UUID] = true
			require.True(t, msg.Ack())
		}
	})
}

// Watermill's Forwarder can replace the relay: our outbox publisher and subscriber on its one side, our Kafka publisher
// on the other. It must not run at the same time as a relay, which would want a topic for the envelopes.
func TestTheStockForwarderForwardsOurOutbox(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		publisher, err := pubsub.NewPublisher(pubsub.PublisherConfig{Config: kafka.Config{Brokers: b.brokers, Prefix: b.prefix}})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, publisher.Close()) })
		runForwarder(t, b, publisher)

		var want []string
		for i := range 20 {
			id := fmt.Sprint(i)
			rec := event.Record{
				Topic: event.TopicRequested, Key: "k" + id, UUID: id, Value: []byte("v" + id), Headers: map[string]string{event.HeaderID: id},
			}
			want = append(want, "k"+id+"=v"+id)
			publishEnveloped(t, b, rec)
		}
		consumer := b.consumer(t)
		var got []string
		for len(got) < len(want) {
			fetches := consumer.PollFetches(b.ctx)
			require.NoError(t, fetches.Err())
			for _, r := range fetches.Records() {
				got = append(got, string(r.Key)+"="+string(r.Value))
				msg, err := pubsub.Unmarshal(r)
				require.NoError(t, err)
				require.Equal(t, "v"+msg.UUID, string(msg.Payload))
				require.Equal(t, msg.UUID, msg.Metadata.Get(event.HeaderID))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		require.Equal(t, want, got)
	})
}

// All topics share one table: a row for a topic that Kafka does not have waits until somebody makes it, and holds up no
// other.
func TestARowOfATopicThatIsMissingWaitsUntilItIsThere(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		b.add(t, event.Record{Topic: "missing", Key: "k", Value: []byte("1")})
		b.write(t, 10)
		b.start(t)
		consumer, seen := b.consumer(t), map[string]int{}
		b.read(t, consumer, seen, 10)
		b.add(t, event.Record{Topic: "missing", Key: "k", Value: []byte("2")})
		b.write(t, 10)
		b.read(t, consumer, seen, 20)
		b.make(t, "missing", nil)
		late, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.ConsumeTopics(b.prefix+"missing"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		require.NoError(t, err)
		defer late.Close()
		var values []string
		for len(values) < 2 {
			fetches := late.PollFetches(b.ctx)
			require.NoError(t, fetches.Err())
			fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
		}
		require.Equal(t, []string{"1", "2"}, values)
	})
}

func publishEnveloped(t *testing.T, b *bundle, recs ...event.Record) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
		inner, err := outbox.NewTxPublisher(b.ctx, tx)
		if err != nil {
			return err
		}
		var messages []*message.Message
		for _, rec := range recs {
			messages = append(messages, outbox.Message(rec))
		}
		return forwarder.NewPublisher(inner, forwarder.PublisherConfig{}).Publish(event.TopicRequested, messages...)
	}))
}

// runForwarder forwards until the test ends.
func runForwarder(t *testing.T, b *bundle, publisher message.Publisher) {
	t.Helper()
	db := stdlib.OpenDBFromPool(b.pool)
	subscriber, err := outbox.NewSubscriber(db, outbox.SubscriberConfig{Group: "forwarder", PollInterval: 10 * time.Millisecond}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	f, err := forwarder.NewForwarder(subscriber, publisher, watermill.NopLogger{}, forwarder.Config{})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- f.Run(b.ctx) }()
	t.Cleanup(func() {
		require.NoError(t, f.Close())
		require.NoError(t, <-done)
		require.NoError(t, db.Close())
	})
	<-f.Running()
}

func next(t *testing.T, b *bundle, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, ok := <-messages:
		require.True(t, ok, "the subscription ended")
		return msg
	case <-b.ctx.Done():
		require.Fail(t, "waited in vain for a message")
		panic("unreachable")
	}
}
