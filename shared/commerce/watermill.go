package commerce

import (
	stdsql "database/sql"
	"errors"
	"fmt"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/erpconnector/erpconnector/shared/event"
)

// Topic is what Watermill's SQL publisher publishes commerce events under.
const Topic = "commerce_outbox"

// WatermillSchema makes watermill-sql's own publisher write the commerce outbox, in the transaction that it was made with:
//
//	publisher, err := sql.NewPublisher(tx, sql.PublisherConfig{SchemaAdapter: commerce.Outbox{}.WatermillSchema()}, logger)
//	err = publisher.Publish(commerce.Topic, message.NewMessage(watermill.NewUUID(), eventJSON))
//
// A message's payload is the event as JSON. Of the metadata only "traceparent" is kept. The uuid is not: a repeated event is
// known by its event_id. Subscribers read from the connector's topics, not from this table.
func (o Outbox) WatermillSchema() wsql.SchemaAdapter { return watermillSchema{o} }

type watermillSchema struct{ outbox Outbox }

// InsertQuery publishes all messages with one statement. A message without a payload is refused like an empty body.
func (s watermillSchema) InsertQuery(topic string, msgs message.Messages) (wsql.Query, error) {
	if topic != Topic {
		return wsql.Query{}, fmt.Errorf("%w: the topic is %q; commerce events are published under %q", ErrIncomplete, topic, Topic)
	}
	events := make([]Event, len(msgs))
	for i, msg := range msgs {
		events[i] = Event{JSON: []byte(msg.Payload), Traceparent: msg.Metadata.Get(event.HeaderTraceparent)}
		if msg.Payload == nil {
			events[i].JSON = []byte{}
		}
	}
	query, args, err := s.outbox.insert(events)
	return wsql.Query{Query: query, Args: args}, err
}

var errPublishOnly = errors.New("the commerce outbox is read by the connector alone: subscribe to its topics")

// SelectQuery fails in Postgres: a subscriber would take events from the connector.
func (watermillSchema) SelectQuery(string, string, wsql.OffsetsAdapter) wsql.Query {
	return wsql.Query{Query: `SELECT 1/0 AS "the commerce outbox is read by the connector alone"`}
}

// UnmarshalMessage fails, as nothing is read.
func (watermillSchema) UnmarshalMessage(wsql.Scanner) (wsql.Row, error) {
	return wsql.Row{}, errPublishOnly
}

// SchemaInitializingQueries is empty: `erpconnector migrate` makes the table.
func (watermillSchema) SchemaInitializingQueries(string) []wsql.Query { return nil }

// SubscribeIsolationLevel is never used.
func (watermillSchema) SubscribeIsolationLevel() stdsql.IsolationLevel { return stdsql.LevelDefault }
