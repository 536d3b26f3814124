package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
)

// NewPublisher is Watermill's SQL publisher on erp_outbox: db is a *sql.DB of pgx's driver, which commits each call of
// Publish by itself, or a *sql.Tx, whose commit decides. The publisher runs its statements without a context; where
// that matters, NewTxPublisher takes one.
//
// A message reaches Kafka by the relay, on the topic it is published to, with its metadata as headers; its key is the
// metadata MetadataPartitionKey. The relay finds it within 50 ms, and at once after Wake.
func NewPublisher(db wsql.ContextExecutor, log *slog.Logger) (*wsql.Publisher, error) {
	p, err := wsql.NewPublisher(db, wsql.PublisherConfig{SchemaAdapter: Schema{}}, watermillLogger(log))
	if err != nil {
		return nil, fmt.Errorf("making the outbox publisher: %w", err)
	}
	return p, nil
}

// SubscriberConfig is what a subscriber of the outbox may be told; zero values mean the defaults.
type SubscriberConfig struct {
	Group string // keeps its position in watermill_offsets_<topic>; all subscribers of a group take turns

	BatchSize    int           // rows per transaction; default 100
	AckDeadline  time.Duration // a message that is not acked comes again; default 30 s. There is no "never"
	NackPause    time.Duration // before a message that was nacked comes again; default 1 s, and Close waits for it
	PollInterval time.Duration // between two looks when there is nothing new, and after an error; default 1 s
}

// NewSubscriber is Watermill's SQL subscriber on erp_outbox: db is a *sql.DB of pgx's driver. It reads beside the relay
// and takes nothing away from it. Each subscription makes its topic's offsets table when it is missing.
//
// It holds a transaction open while its batch is worked off, one message after the other, and a handler can write in it
// (wsql.TxFromContext). That alone is not exactly once: what a handler wrote before a nack, or before Close without an
// ack, commits too, and the message comes again. So handlers must bear repetition.
func NewSubscriber(db wsql.Beginner, cfg SubscriberConfig, log *slog.Logger) (*Subscriber, error) {
	config := wsql.SubscriberConfig{
		ConsumerGroup: cfg.Group, ResendInterval: cfg.NackPause, PollInterval: cfg.PollInterval, RetryInterval: cfg.PollInterval,
		SchemaAdapter: Schema{BatchSize: cfg.BatchSize}, OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{},
		InitializeSchema: true,
	}
	if cfg.AckDeadline != 0 {
		config.AckDeadline = &cfg.AckDeadline
	}
	s, err := wsql.NewSubscriber(db, config, watermillLogger(log))
	if err != nil {
		return nil, fmt.Errorf("making the outbox subscriber: %w", err)
	}
	return &Subscriber{Subscriber: s, closing: make(chan struct{})}, nil
}

// Subscriber is Watermill's, whose Close may return a moment before the channels of its messages are closed
// (watermill-sql v3, subscribeWg). This one's returns afterwards.
type Subscriber struct {
	*wsql.Subscriber

	open    sync.WaitGroup
	once    sync.Once
	closing chan struct{}
}

// Subscribe gives the messages of the topic until ctx ends or the subscriber is closed.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	s.open.Go(func() {
		defer close(out)
		for msg := range in {
			select {
			case out <- msg:
			case <-msg.Context().Done(): // nobody took it: it was neither acked nor nacked, and comes again
			case <-s.closing:
			}
		}
	})
	return out, nil
}

// Close ends all subscriptions. Messages that were not acked come again.
func (s *Subscriber) Close() error {
	s.once.Do(func() { close(s.closing) })
	err := s.Subscriber.Close()
	s.open.Wait()
	return err
}

func watermillLogger(log *slog.Logger) watermill.LoggerAdapter {
	if log == nil {
		log = slog.Default()
	}
	return watermill.NewSlogLogger(log)
}
