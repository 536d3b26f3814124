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
	maxStopWait      = 15 * time.Second // the rest of the rebalance time-out is for the commit
)

// ErrSubscriberClosed is what Subscribe returns after Close.
var ErrSubscriberClosed = errors.New("the subscriber is closed")

// SubscriberConfig describes a Subscriber.
type SubscriberConfig struct {
	kafka.Config

	// Group, without the prefix, is the consumer group that shares the partitions and keeps the positions. A new group
	// begins at the start of the log. Without a group each subscription reads all partitions, and no position is kept.
	Group string
	// Start is where a subscription without a group begins: at the first record of that time or later. Zero means the
	// start of the log.
	Start time.Time

	NackPause time.Duration // until a nacked message is delivered again; default 100 ms
	StopWait  time.Duration // for the ack of a delivered message when its partition is taken away, or on Close; default 5 s, at most 15 s

	// Create says how to create a missing topic. When it is nil, subscribing to a missing topic is an error.
	Create *NewTopic

	// Unmarshal makes a message of a record. The default is Unmarshal of this package, which takes every record. A
	// record that it refuses goes to Refused (see deadletter.Hook), with the error. When Refused returns nil the record
	// is done; otherwise both are called again after NackPause. Set both or none.
	Unmarshal func(*kgo.Record) (*message.Message, error)
	Refused   func(context.Context, *kgo.Record, error) error

	Log *slog.Logger // slog.Default() when nil
}

// complete sets the defaults and checks the limits.
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

// Subscriber is Watermill's message.Subscriber on franz-go. It reads committed records only, and is safe for concurrent use.
//
// It delivers one message of a partition at a time. The next one comes after the ack; other partitions do not wait for
// it. After a nack the same message comes again after NackPause, as often as it is nacked. An ack moves the partition's
// position. Positions are committed once a second, on revocation and on Close. So messages are delivered at least once,
// in the order of their partition.
//
// When a partition goes to another member, a delivered message gets StopWait for its ack. The position is committed
// before the other member begins. A later ack has no effect: the message is delivered again there.
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

// NewSubscriber returns a subscriber, which connects at its first use. Call Close in the end.
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

// SubscribeInitialize creates the topic when it is missing and Create is set; without Create a missing topic is an
// error. Subscribe does the same.
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

// Subscribe reads the topic (without the prefix) until ctx ends or Close is called; then the channel is closed. The end
// of ctx does not wait for acks, Close does. The messages' contexts are made from ctx. Each ends with its message's ack
// or nack.
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

// Close ends all subscriptions. Delivered messages get StopWait for their ack. When it returns, the positions are committed.
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
