package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

const (
	defaultNackPause = 100 * time.Millisecond
	defaultStopWait  = 5 * time.Second
	maxStopWait      = 15 * time.Second // leaves the group's rebalance time-out enough for the commit
)

// ErrSubscriberClosed is what Subscribe returns after Close.
var ErrSubscriberClosed = errors.New("the subscriber is closed")

// SubscriberConfig is what a Subscriber is made of.
type SubscriberConfig struct {
	kafka.Config

	// Group, without the prefix, is the consumer group that shares the partitions and keeps the positions. A group that has
	// none begins with the first record there is. Empty: each subscription reads all partitions, and nothing is kept.
	Group string
	// Start is where a subscription without a group begins: with the first record of that time or later. Zero: with the
	// first record there is.
	Start time.Time

	NackPause time.Duration // before a message that was nacked comes again; default 100 ms
	StopWait  time.Duration // what a message in hand gets when its partition is taken away, or on Close; default 5 s, at most 15 s

	// Create makes topics that are missing. Nil: subscribing to a missing topic is an error.
	Create *NewTopic

	// Unmarshal makes a message of a record; Unmarshal of this package by default, which takes any. What it refuses goes to
	// Refused (see deadletter.Hook), with its error. Once that returns nil the record is done; on an error both are called
	// again after NackPause. The two are set together.
	Unmarshal func(*kgo.Record) (*message.Message, error)
	Refused   func(context.Context, *kgo.Record, error) error

	Log *slog.Logger // slog.Default() when nil
}

func (c *SubscriberConfig) complete() error {
	if (c.Unmarshal == nil) != (c.Refused == nil) {
		return errors.New("a subscriber's Unmarshal and Refused are set together: what cannot be read must not be dropped")
	}
	if c.Unmarshal == nil {
		c.Unmarshal = Unmarshal
	}
	if c.NackPause <= 0 {
		c.NackPause = defaultNackPause
	}
	if c.StopWait <= 0 {
		c.StopWait = defaultStopWait
	}
	if c.StopWait > maxStopWait {
		return fmt.Errorf("a subscriber's StopWait is at most %s, not %s", maxStopWait, c.StopWait)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}

// Subscriber is Watermill's message.Subscriber on franz-go, for committed records only. It is safe for concurrent use.
//
// Each partition has one message in hand: the next one comes after its ack, and a partition whose message is not acked
// holds up no other. A nack brings the same message again after NackPause, as often as it takes. An ack moves the
// partition's position, which is committed within a second, on revocation and on Close. So messages are delivered at
// least once, in the order of their partition.
//
// When a partition goes to another member, the message in hand gets StopWait for its ack; what was acked is committed
// before the other member begins. An ack that comes later counts for nothing: the message comes again there.
type Subscriber struct {
	cfg    SubscriberConfig
	client *kgo.Client // for topics; each subscription has a client of its own

	mu      sync.Mutex
	closed  bool
	stops   map[*subscription]context.CancelFunc
	running sync.WaitGroup
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// NewSubscriber makes a subscriber; it connects at the first use. Close gives it up.
func NewSubscriber(cfg SubscriberConfig) (*Subscriber, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(cfg.Options(), kgo.DisableClientMetrics())...)
	if err != nil {
		return nil, fmt.Errorf("connecting the subscriber to Kafka: %w", err)
	}
	return &Subscriber{cfg: cfg, client: client, stops: map[*subscription]context.CancelFunc{}}, nil
}

// SubscribeInitialize makes the topic when it is missing and Create says how; else it is an error. Subscribe does so too.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	return s.initialize(context.Background(), topic)
}

func (s *Subscriber) initialize(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, kafka.SettleTimeout, fmt.Errorf("no broker answered within %s", kafka.SettleTimeout))
	defer cancel()
	if err := ensureTopic(ctx, kadm.NewClient(s.client), s.cfg.Topic(topic), s.cfg.Create); err != nil {
		return fmt.Errorf("subscribing to %s: %w", topic, err)
	}
	return nil
}

// Subscribe reads the topic (without the prefix) until ctx ends or Close; then the channel is closed. The end of ctx ends
// it at once, whatever is in hand; Close waits for that. The messages' contexts come from ctx, and each ends with its
// message's ack or nack.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.initialize(ctx, topic); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrSubscriberClosed
	}
	sub, err := newSubscription(ctx, s.cfg, topic)
	if err != nil {
		return nil, fmt.Errorf("subscribing to %s: %w", topic, err)
	}
	polling, stop := context.WithCancel(ctx)
	s.stops[sub] = stop
	s.running.Go(func() {
		sub.run(polling)
		s.mu.Lock()
		defer s.mu.Unlock()
		stop()
		delete(s.stops, sub)
	})
	return sub.out, nil
}

// Close ends all subscriptions. Messages in hand get StopWait for their ack; what was acked is committed when it returns.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	for _, stop := range s.stops {
		stop()
	}
	s.mu.Unlock()
	s.running.Wait()
	if first {
		s.client.Close()
	}
	return nil
}
