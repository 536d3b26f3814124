package pubsub_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const suitePartitions = 4

// features describes Publisher and Subscriber to the suite. Order is guaranteed per key only, so it is tested with keys
// (TestWatermillsSuiteInOrder). Delivery is at least once: an ack that comes too late is repeated.
//
// The suite's TestReconnect is left out (no RestartServiceCommand): it compares what was published with what was
// received while another goroutine still adds the last publications, without any lock. So it fails now and then with
// "missing: []" and some ids "extra", and the race detector is right to fail it. To ignore that failure could also hide
// a loss. TestNothingIsLostWhenTheBrokerRestarts does the same (10,000 messages, two restarts) with a lock, and allows
// no message to be missing.
func features() tests.Features {
	return tests.Features{ConsumerGroups: true, Persistent: true, ForceShort: testing.Short()}
}

// pubSub makes publishers and subscribers on one cluster.
type pubSub struct {
	cfg  kafka.Config
	wrap func(message.Publisher) message.Publisher
}

func (p pubSub) group(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	t.Helper()
	create := &pubsub.NewTopic{Partitions: suitePartitions}
	publisher, err := pubsub.NewPublisher(pubsub.PublisherConfig{Config: p.cfg, Create: create})
	require.NoError(t, err)
	subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{
		Config: p.cfg, Group: group, Create: create, NackPause: time.Millisecond, StopWait: 200 * time.Millisecond,
		Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	if p.wrap == nil {
		return publisher, subscriber
	}
	return p.wrap(publisher), subscriber
}

// perTest gives each test a group of its own, as each has its own topics.
func (p pubSub) perTest(t *testing.T) (message.Publisher, message.Subscriber) {
	t.Helper()
	return p.group(t, t.Name())
}

func TestWatermillsSuite(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		p := pubSub{cfg: cfg}
		tests.TestPubSub(t, features(), p.perTest, p.group)
	})
}

// keyed uses the payload as key: in the suite's tests of order, messages that belong together have one payload.
type keyed struct{ message.Publisher }

func (k keyed) Publish(topic string, messages ...*message.Message) error {
	for _, msg := range messages {
		msg.Metadata.Set(event.MetadataPartitionKey, string(msg.Payload))
	}
	return k.Publisher.Publish(topic, messages...)
}

func TestWatermillsSuiteInOrder(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		p := pubSub{cfg: cfg, wrap: func(pub message.Publisher) message.Publisher { return keyed{pub} }}
		ordered := features()
		ordered.GuaranteedOrder = true
		for name, test := range map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
			"TestPublishSubscribeInOrder": tests.TestPublishSubscribeInOrder,
			"TestNoAck":                   tests.TestNoAck,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, tests.TestContext{TestID: tests.NewTestID(), Features: ordered}, p.perTest)
			})
		}
	})
}

// Without a group each subscriber gets everything from the start.
func TestWatermillsSuiteWithoutAGroup(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		p := pubSub{cfg: cfg}
		all := features()
		all.NewSubscriberReceivesOldMessages = true
		tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{TestID: tests.NewTestID(), Features: all},
			func(t *testing.T) (message.Publisher, message.Subscriber) { return p.group(t, "") })
	})
}
