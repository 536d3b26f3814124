//go:build speed

package relay_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// drained is how many outbox rows of 1 KiB each way has to bring to a read_committed consumer.
const drained = 50_000

// TestSpeedOfDrainingTheOutbox prints figures and claims none; it is built with the tag speed only: rows per second by the
// relay, and by Watermill's stock SQL subscriber, router or Forwarder, and pubsub.Publisher.
func TestSpeedOfDrainingTheOutbox(t *testing.T) {
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		ways := []struct {
			name  string
			fill  func(*testing.T, *bundle)
			start func(*testing.T, *bundle)
		}{
			{"relay", fill, func(t *testing.T, b *bundle) { b.start(t) }},
			{"stock subscriber and router", fill, runRouter},
			{"stock subscriber and Forwarder", fillEnveloped, func(t *testing.T, b *bundle) { runForwarder(t, b, newPublisher(t, b)) }},
		}
		rates := map[string]float64{}
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				b := setup(t, cfg)
				way.fill(t, b)
				consumer := b.consumer(t)
				began := time.Now()
				way.start(t, b)
				for n := 0; n < drained; {
					fetches := consumer.PollFetches(b.ctx)
					require.NoError(t, fetches.Err(), "%d of %d", n, drained)
					n += fetches.NumRecords()
				}
				rates[way.name] = drained / time.Since(began).Seconds()
			})
		}
		for _, way := range ways {
			t.Logf("%s: %s: %.0f rows/s; the relay is %.1f times as fast", t.Name(), way.name, rates[way.name], rates["relay"]/rates[way.name])
		}
	})
}

func fill(t *testing.T, b *bundle) {
	t.Helper()
	for range drained / 1000 {
		b.write(t, 1000)
	}
}

func fillEnveloped(t *testing.T, b *bundle) {
	t.Helper()
	recs := make([]event.Record, 1000)
	for i := range recs {
		recs[i] = event.Record{Topic: event.TopicRequested, Key: "k", UUID: "u", Value: []byte(strings.Repeat("x", 1024))}
	}
	for range drained / len(recs) {
		publishEnveloped(t, b, recs...)
	}
}

func newPublisher(t *testing.T, b *bundle) *pubsub.Publisher {
	t.Helper()
	publisher, err := pubsub.NewPublisher(pubsub.PublisherConfig{Config: kafka.Config{Brokers: b.brokers, Prefix: b.prefix}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, publisher.Close()) })
	return publisher
}

// runRouter sends the rows on to their own topic until the test ends.
func runRouter(t *testing.T, b *bundle) {
	t.Helper()
	db := stdlib.OpenDBFromPool(b.pool)
	subscriber, err := outbox.NewSubscriber(db, outbox.SubscriberConfig{Group: "router", PollInterval: 10 * time.Millisecond}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	require.NoError(t, err)
	router.AddHandler("relay", event.TopicRequested, subscriber, event.TopicRequested, newPublisher(t, b), message.PassthroughHandler)
	done := make(chan error, 1)
	go func() { done <- router.Run(b.ctx) }()
	t.Cleanup(func() {
		require.NoError(t, router.Close())
		require.NoError(t, <-done)
		require.NoError(t, db.Close())
	})
	<-router.Running()
}
