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

// NewPublisher returns Watermill's SQL publisher on erp_outbox. db is a *sql.DB of pgx's driver, which commits each
// call of Publish, or a *sql.Tx, which commits all calls together. The publisher runs its statements without a context;
// NewTxPublisher takes one.
//
// The relay brings each message to Kafka, to the topic of Publish. Its metadata become headers, and the metadata
// MetadataPartitionKey becomes the key. The relay finds it within 50 ms, after a quiet minute within 250 ms, and at once after Wake.
func NewPublisher(db wsql.ContextExecutor, log *slog.Logger) (*wsql.Publisher, error) {
	p, err := wsql.NewPublisher(db, wsql.PublisherConfig{SchemaAdapter: Schema{}}, watermillLogger(log))
	if err != nil {
		return nil, fmt.Errorf("making the outbox publisher: %w", err)
	}
	return p, nil
}

// SubscriberConfig describes a subscriber of the outbox. Zero values mean the defaults.
type SubscriberConfig struct {
	Group string // its position is in watermill_offsets_<topic>; all subscribers of a group take turns

	BatchSize    int           // rows per transaction; default 100
	AckDeadline  time.Duration // after it a message without ack comes again; default 30 s; it cannot be switched off
	NackPause    time.Duration // until a nacked message comes again; default 1 s; Close waits for it
	PollInterval time.Duration // when there is nothing new, and after an error; default 1 s
}

// NewSubscriber returns Watermill's SQL subscriber on erp_outbox. db is a *sql.DB of pgx's driver. It does not disturb
// the relay, which reads the same rows. Each subscription creates its topic's offsets table when that is missing.
//
// It keeps a transaction open while it delivers its batch, one message after the other. A handler can write in this
// transaction (wsql.TxFromContext). That does not make it exactly once: writes before a nack, or before Close without
// an ack, commit too, and the message comes again. So a handler's effects must allow for repetition.
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

// Subscriber is Watermill's SQL subscriber, with one change: Close returns after the channels of messages are closed.
// Watermill's may return a moment before (watermill-sql v3, subscribeWg).
type Subscriber struct {
	*wsql.Subscriber

	open    sync.WaitGroup
	once    sync.Once
	closing chan struct{}
}

// Subscribe returns the messages of the topic, until ctx ends or the subscriber is closed.
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
			case <-msg.Context().Done(): // nobody has received it, so it has no ack and comes again
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
