// Package outbox writes and reads the table erp_outbox. Rows are written in the caller's transaction, as Watermill's SQL publisher
// does with our schema, but in one statement for all topics. Reader reads them in the order of their ids, and loses no row, in whichever order the
// writers commit.
package outbox

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/event"
)

// NewTxPublisher returns Watermill's SQL publisher on erp_outbox in the caller's transaction: its messages commit and
// roll back with tx. It can be used while tx and ctx can.
func NewTxPublisher(ctx context.Context, tx pgx.Tx) (message.Publisher, error) {
	p, err := wsql.NewPublisher(executor{ctx, tx}, wsql.PublisherConfig{SchemaAdapter: Schema{}}, watermill.NopLogger{})
	if err != nil {
		return nil, fmt.Errorf("making the outbox publisher: %w", err)
	}
	return p, nil
}

// Publish writes the records to the outbox in tx, with one statement. They keep their order.
func Publish(ctx context.Context, tx pgx.Tx, recs []event.Record) error {
	if len(recs) == 0 {
		return nil
	}
	q := insertOf(recs)
	if _, err := tx.Exec(ctx, q.Query, q.Args...); err != nil {
		return fmt.Errorf("writing %d records to the outbox: %w", len(recs), err)
	}
	return nil
}

// Queue is Publish in a batch of statements.
func Queue(b *pgx.Batch, recs []event.Record) {
	if len(recs) > 0 {
		q := insertOf(recs)
		b.Queue(q.Query, q.Args...)
	}
}

// insertOf makes the rows that Watermill's publisher makes of the records' messages. That one takes a statement for each topic.
func insertOf(recs []event.Record) wsql.Query {
	c := roomFor(len(recs))
	for _, rec := range recs {
		c.add(rec.Topic, rec.Key, rec.UUID, rec.Headers, rec.Value)
	}
	return c.query()
}

// Message makes a Watermill message of a record. The message does not hold the topic.
func Message(rec event.Record) *message.Message {
	msg := message.NewMessage(rec.UUID, rec.Value)
	msg.Metadata = make(message.Metadata, len(rec.Headers)+1)
	maps.Copy(msg.Metadata, rec.Headers)
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

// executor gives a pgx transaction to watermill-sql, with the caller's context: v3's publisher inserts with context.Background(), which
// would neither end with the request nor carry its trace.
type executor struct {
	ctx context.Context //nolint:containedctx // the interface has no room for it
	tx  pgx.Tx
}

var errInsertOnly = errors.New("the outbox's executor only inserts")

func (e executor) ExecContext(_ context.Context, query string, args ...any) (stdsql.Result, error) {
	tag, err := e.tx.Exec(e.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

func (e executor) Exec(query string, args ...any) (stdsql.Result, error) {
	return e.ExecContext(e.ctx, query, args...)
}

func (executor) Query(string, ...any) (*stdsql.Rows, error) { return nil, errInsertOnly }

func (executor) QueryContext(context.Context, string, ...any) (*stdsql.Rows, error) {
	return nil, errInsertOnly
}

// QueryRow and QueryRowContext complete the interface; the publisher never calls them.
func (executor) QueryRow(string, ...any) *stdsql.Row { return nil }

func (executor) QueryRowContext(context.Context, string, ...any) *stdsql.Row { return nil }
