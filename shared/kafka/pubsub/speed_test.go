//go:build speed

package pubsub_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestSpeedOfPublisherAndSubscriber prints figures and claims none; it is built with the tag speed only: messages of 1 KiB
// per second, published one by one, in batches and in transactions, and received and acked one by one.
func TestSpeedOfPublisherAndSubscriber(t *testing.T) {
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		create := &pubsub.NewTopic{Partitions: 8}
		for _, way := range []struct {
			name            string
			transactionalID string
			calls, size     int
		}{
			{"one by one", "", 5_000, 1},
			{"batches of 100", "", 500, 100},
			{"batches of 1,000", "", 100, 1000},
			{"transactions of 1", "t1", 500, 1},
			{"transactions of 100", "t100", 500, 100},
			{"transactions of 1,000", "t1000", 100, 1000},
		} {
			publisher, err := pubsub.NewPublisher(pubsub.PublisherConfig{Config: cfg, Create: create, TransactionalID: way.transactionalID})
			require.NoError(t, err)
			require.NoError(t, publisher.Publish("in", message.NewMessage("first", nil))) // makes the topic
			batch := make([]*message.Message, way.size)
			for i := range batch {
				batch[i] = keyedMessage(fmt.Sprint(i), fmt.Sprint(i), strings.Repeat("x", 1024))
			}
			began := time.Now()
			for range way.calls {
				require.NoError(t, publisher.Publish("in", batch...))
			}
			t.Logf("%s: %s: %.0f messages/s", t.Name(), way.name, float64(way.calls*way.size)/time.Since(began).Seconds())
			require.NoError(t, publisher.Close())
		}
		subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Config: cfg, Group: "g"})
		require.NoError(t, err)
		messages, err := subscriber.Subscribe(t.Context(), "in")
		require.NoError(t, err)
		const n = 300_000
		(<-messages).Ack()
		began := time.Now()
		for range n {
			(<-messages).Ack()
		}
		t.Logf("%s: received and acked: %.0f messages/s", t.Name(), n/time.Since(began).Seconds())
		require.NoError(t, subscriber.Close())
	})
}
