package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
)

const (
	publishTxnTimeout = 15 * time.Second // a transaction that takes longer has timed out on the broker
	closeTimeout      = 5 * time.Second  // how long Close waits for calls of Publish
)

// ErrPublisherClosed is returned by Publish after Close, and by a Publish that still waited for a broker when Close gave up.
var ErrPublisherClosed = errors.New("the publisher is closed")

// PublisherConfig describes a Publisher.
type PublisherConfig struct {
	kafka.Config

	// TransactionalID, without the prefix, makes each call of Publish one Kafka transaction. Only one process may use
	// it at a time, as a second user fences the first. Empty: no transactions.
	TransactionalID string
	// Create says how to create a missing topic, at its first use. When it is nil, publishing to a missing topic is an error.
	Create *NewTopic
}

// Publisher is Watermill's message.Publisher on franz-go. It is safe for concurrent use.
type Publisher struct {
	cfg    PublisherConfig
	client *kgo.Client
	txn    *txn.Producer
	known  sync.Map // topics that exist

	ctx    context.Context //nolint:containedctx // Watermill's Publish has none; this one ends when Close gives up waiting
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	closed   bool
	inFlight sync.WaitGroup
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher, which connects at its first use. Call Close in the end.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	client, err := kgo.NewClient(append(cfg.Options(), kgo.DisableClientMetrics())...)
	if err != nil {
		return nil, fmt.Errorf("connecting the publisher to Kafka: %w", err)
	}
	p := &Publisher{cfg: cfg, client: client}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	if cfg.TransactionalID != "" {
		p.txn = txn.NewProducer(cfg.Config, cfg.TransactionalID)
	}
	return p, nil
}

// Publish returns when every message is on all in-sync replicas, or with the errors of the messages. Messages with one
// partition key keep their order.
//
// With a transactional id all messages of the call become visible together or not at all; after txn.ErrCommitUnknown
// nobody knows which. Without one, some messages may be written when others fail. The producer is idempotent, so
// retries inside the client write nothing twice. A second call of Publish does.
//
// While no broker answers, Publish waits. It gives up when the context of a message ends. Messages that were sent by
// then may still be written.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if !p.begin() {
		return ErrPublisherClosed
	}
	defer p.inFlight.Done()
	if len(messages) == 0 {
		return nil
	}
	ctx, cancel := p.untilAnyEnds(messages)
	defer cancel()
	records, err := p.marshal(topic, messages)
	if err == nil {
		err = p.ensure(ctx, topic)
	}
	switch {
	case err != nil:
		return fmt.Errorf("publishing to %s: %w", topic, err)
	case p.txn != nil:
		err = p.commit(ctx, records)
	default:
		err = p.produce(ctx, messages, records)
	}
	if err != nil {
		return fmt.Errorf("publishing %d messages to %s: %w", len(messages), topic, err)
	}
	return nil
}

// begin counts a call of Publish, for Close to wait for. It is false after Close.
func (p *Publisher) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.inFlight.Add(1)
	return true
}

// untilAnyEnds returns a context that ends with the first of the messages' contexts, or when Close gives up waiting.
func (p *Publisher) untilAnyEnds(messages []*message.Message) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(p.ctx)
	stops := make([]func() bool, 0, len(messages))
	for _, msg := range messages {
		its := msg.Context()
		stops = append(stops, context.AfterFunc(its, func() { cancel(context.Cause(its)) }))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}

func (p *Publisher) marshal(topic string, messages []*message.Message) ([]*kgo.Record, error) {
	records := make([]*kgo.Record, 0, len(messages))
	for _, msg := range messages {
		record, err := Marshal(p.cfg.Config, topic, msg)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

func (p *Publisher) ensure(ctx context.Context, topic string) error {
	if p.cfg.Create == nil {
		return nil
	}
	if _, done := p.known.Load(topic); done {
		return nil
	}
	if err := ensureTopic(ctx, kadm.NewClient(p.client), p.cfg.Topic(topic), p.cfg.Create); err != nil {
		return err
	}
	p.known.Store(topic, true)
	return nil
}

func (p *Publisher) commit(ctx context.Context, records []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, publishTxnTimeout)
	defer cancel()
	return p.txn.Commit(ctx, txn.Batch{Records: records})
}

// produce gives all records to the client at once, and waits for all of them.
func (p *Publisher) produce(ctx context.Context, messages []*message.Message, records []*kgo.Record) error {
	type result struct {
		uuid string
		err  error
	}
	results := make(chan result, len(records))
	for i, record := range records {
		uuid := messages[i].UUID
		p.client.Produce(ctx, record, func(_ *kgo.Record, err error) { results <- result{uuid, err} })
	}
	var failed []error
	for range records {
		select {
		case r := <-results:
			if r.err != nil {
				failed = append(failed, fmt.Errorf("message %s: %w", r.uuid, r.err))
			}
		case <-ctx.Done():
			return errors.Join(append(failed, context.Cause(ctx))...)
		}
	}
	return errors.Join(failed...)
}

// Close waits up to 5 s for calls of Publish, and ends those that still wait for a broker.
func (p *Publisher) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	idle := make(chan struct{})
	go func() { p.inFlight.Wait(); close(idle) }()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
	p.cancel(ErrPublisherClosed)
	<-idle
	if first {
		p.client.Close()
		if p.txn != nil {
			p.txn.Close()
		}
	}
	return nil
}
