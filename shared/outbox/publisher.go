// Package outbox writes and reads the table erp_outbox. Rows are written in the caller's transaction, through
// Watermill's SQL publisher. Reader reads them in the order of their ids, and loses no row, in whichever order the
// writers commit.
package outbox

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/erpconnector/erpconnector/shared/event"
)

// NewTxPublisher returns Watermill's SQL publisher on erp_outbox in the caller's transaction: its messages commit and
// roll back with tx. It can be used while tx and ctx can.
func NewTxPublisher(ctx context.Context, tx pgx.Tx) (message.Publisher, error) {
	return newPublisher(executor{exec: func(query string, args []any) (pgconn.CommandTag, error) { return tx.Exec(ctx, query, args...) }})
}

func newPublisher(to executor) (message.Publisher, error) {
	p, err := wsql.NewPublisher(to, wsql.PublisherConfig{SchemaAdapter: Schema{}}, watermill.NopLogger{})
	if err != nil {
		return nil, fmt.Errorf("making the outbox publisher: %w", err)
	}
	return p, nil
}

// Publish writes the records to the outbox in tx, with one statement per topic. Records of one topic keep their order.
func Publish(ctx context.Context, tx pgx.Tx, recs []event.Record) error {
	if len(recs) == 0 {
		return nil
	}
	var b pgx.Batch
	if err := Queue(&b, recs); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("writing %d records to the outbox: %w", len(recs), err)
	}
	return nil
}

// Queue is Publish in a batch of statements.
func Queue(b *pgx.Batch, recs []event.Record) error {
	publisher, err := newPublisher(executor{exec: func(query string, args []any) (pgconn.CommandTag, error) {
		b.Queue(query, args...)
		return pgconn.CommandTag{}, nil
	}})
	if err != nil {
		return err
	}
	var topics []string
	byTopic := map[string]message.Messages{}
	for _, rec := range recs {
		if byTopic[rec.Topic] == nil {
			topics = append(topics, rec.Topic)
		}
		byTopic[rec.Topic] = append(byTopic[rec.Topic], Message(rec))
	}
	for _, topic := range topics {
		if err := publisher.Publish(topic, byTopic[topic]...); err != nil {
			return fmt.Errorf("writing %d records of %s to the outbox: %w", len(byTopic[topic]), topic, err)
		}
	}
	return nil
}

// Message makes a Watermill message of a record. The message does not hold the topic.
func Message(rec event.Record) *message.Message {
	msg := message.NewMessage(rec.UUID, rec.Value)
	for name, value := range rec.Headers {
		msg.Metadata.Set(name, value)
	}
	msg.Metadata.Set(MetadataPartitionKey, rec.Key)
	return msg
}

// FromMessage is the reverse of Message.
func FromMessage(topic string, msg *message.Message) event.Record {
	rec := event.Record{
		Topic: topic, Key: msg.Metadata.Get(MetadataPartitionKey), UUID: msg.UUID, Value: msg.Payload,
		Headers: make(map[string]string, len(msg.Metadata)),
	}
	for name, value := range msg.Metadata {
		if name != MetadataPartitionKey {
			rec.Headers[name] = value
		}
	}
	return rec
}

// executor gives a pgx transaction, or a batch of statements, to watermill-sql. It knows the caller's context, as v3's publisher inserts
// with context.Background(), which would neither end with the request nor carry its trace.
type executor struct {
	exec func(query string, args []any) (pgconn.CommandTag, error)
}

var errInsertOnly = errors.New("the outbox's executor only inserts")

func (e executor) ExecContext(_ context.Context, query string, args ...any) (stdsql.Result, error) {
	tag, err := e.exec(query, args)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

func (e executor) Exec(query string, args ...any) (stdsql.Result, error) {
	return e.ExecContext(context.Background(), query, args...)
}

func (executor) Query(string, ...any) (*stdsql.Rows, error) { return nil, errInsertOnly }

func (executor) QueryContext(context.Context, string, ...any) (*stdsql.Rows, error) {
	return nil, errInsertOnly
}

// QueryRow and QueryRowContext complete the interface; the publisher never calls them.
func (executor) QueryRow(string, ...any) *stdsql.Row { return nil }

func (executor) QueryRowContext(context.Context, string, ...any) *stdsql.Row { return nil }
