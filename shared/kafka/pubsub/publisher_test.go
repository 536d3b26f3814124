package pubsub_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func publisher(b *testkit.Bench, transactionalID string) *pubsub.Publisher {
	b.Helper()
	p, err := pubsub.NewPublisher(pubsub.PublisherConfig{Config: b.Cfg, TransactionalID: transactionalID})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, p.Close()) })
	return p
}

func keyedMessage(uuid, key, payload string) *message.Message {
	msg := message.NewMessage(uuid, []byte(payload))
	msg.Metadata.Set(event.MetadataPartitionKey, key)
	return msg
}

// first returns the first record of a topic with one partition.
func first(b *testkit.Bench, topic string) *kgo.Record {
	b.Helper()
	reader, err := kgo.NewClient(append(b.Cfg.Options(), kgo.ConsumeTopics(b.Cfg.Topic(topic)))...)
	require.NoError(b, err)
	defer reader.Close()
	fetches := reader.PollRecords(b.Ctx, 1)
	require.NoError(b, fetches.Err())
	return fetches.Records()[0]
}

func TestAPublishedMessageIsARecordOfOurForm(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 1)
		msg := keyedMessage("u1", "order 7", `{"a":1}`)
		msg.Metadata.Set("ce_id", "x")
		msg.Metadata.Set("a_first", "y")
		require.NoError(b, publisher(b, "").Publish("in", msg))
		got := first(b, "in")
		want := b.Cfg.Record(event.Record{
			Topic: "in", Key: "order 7", UUID: "u1", Value: []byte(`{"a":1}`), Headers: map[string]string{"ce_id": "x", "a_first": "y"},
		})
		require.Equal(b, want.Key, got.Key)
		require.Equal(b, want.Value, got.Value)
		require.Equal(b, want.Headers, got.Headers)
		back, err := pubsub.Unmarshal(got)
		require.NoError(b, err)
		require.True(b, back.Equals(msg), "%v is not %v", back, msg)
	})
}

func TestAMessageWithoutKeyIsARecordWithoutKey(t *testing.T) {
	record, err := pubsub.Marshal(kafka.Config{Prefix: "p."}, "in", keyedMessage("u1", "", "x"))
	require.NoError(t, err)
	require.Nil(t, record.Key)
	require.Equal(t, "p.in", record.Topic)
	msg, err := pubsub.Unmarshal(record)
	require.NoError(t, err)
	require.NotContains(t, msg.Metadata, event.MetadataPartitionKey)
}

func TestMetadataCannotTakeTheUUIDsPlace(t *testing.T) {
	msg := message.NewMessage("u1", nil)
	msg.Metadata.Set(event.HeaderUUID, "u2")
	_, err := pubsub.Marshal(kafka.Config{}, "in", msg)
	require.ErrorContains(t, err, event.HeaderUUID)
}

// The last of three messages is too large. With a transaction none is written, without one the others are.
func TestATransactionalPublishIsAllOrNothing(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("out", 1)
		batch := func(name string) []*message.Message {
			large := message.NewMessage("large", bytes.Repeat([]byte("x"), 9<<20))
			return []*message.Message{message.NewMessage("u1", []byte(name+"1")), message.NewMessage("u2", []byte(name+"2")), large}
		}
		transactional, plain := publisher(b, "pub"), publisher(b, "")
		require.ErrorIs(b, transactional.Publish("out", batch("t")...), kerr.MessageTooLarge)
		require.NoError(b, transactional.Publish("out", batch("u")[:2]...))
		err := plain.Publish("out", batch("p")...)
		require.ErrorIs(b, err, kerr.MessageTooLarge)
		require.ErrorContains(b, err, "message large")
		require.NotContains(b, err.Error(), "u1")
		require.Equal(b, []string{"u1", "u2", "p1", "p2"}, b.Visible())
	})
}

func TestEveryMessageThatFailsIsNamed(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		err := publisher(b, "").Publish("missing", message.NewMessage("u1", nil), message.NewMessage("u2", nil))
		require.ErrorContains(b, err, "message u1")
		require.ErrorContains(b, err, "message u2")
		require.ErrorContains(b, err, "publishing 2 messages to missing")
	})
}

func TestPublishEndsWithTheMessagesContext(t *testing.T) {
	p, err := pubsub.NewPublisher(pubsub.PublisherConfig{Config: kafka.Config{Brokers: []string{"127.0.0.1:1"}}}) // nobody listens
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	ctx, cancel := context.WithCancelCause(t.Context())
	msg := message.NewMessageWithContext(ctx, "u1", nil)
	failed := make(chan error)
	go func() { failed <- p.Publish("in", message.NewMessage("u0", nil), msg) }()
	cancel(fmt.Errorf("the caller went away"))
	require.ErrorContains(t, <-failed, "the caller went away")
}

func TestAClosedPublisherPublishesNothing(t *testing.T) {
	p, err := pubsub.NewPublisher(pubsub.PublisherConfig{Config: kafka.Config{Brokers: []string{"127.0.0.1:1"}}})
	require.NoError(t, err)
	waiting := make(chan error)
	go func() { waiting <- p.Publish("in", message.NewMessage("u1", nil)) }()
	require.NoError(t, p.Close())
	require.ErrorIs(t, <-waiting, pubsub.ErrPublisherClosed)
	require.ErrorIs(t, p.Publish("in", message.NewMessage("u2", nil)), pubsub.ErrPublisherClosed)
	require.NoError(t, p.Close())
}
