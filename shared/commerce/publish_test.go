package commerce

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// stored is a row of the outbox. An absent traceparent is NULL, as the column's readers expect.
type stored struct {
	Source      string
	Traceparent *string
	Payload     string
}

// shop is a database, the ways to publish into it, and what has come into its outbox.
type shop struct {
	testkit.Database
	db *sql.DB
}

func newShop(t *testing.T) shop {
	t.Helper()
	s := shop{Database: testkit.Postgres(t)}
	db, err := sql.Open("pgx", s.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s.db = db
	return s
}

func (s shop) rows(t require.TestingT, table string) []stored {
	found, err := s.Pool.Query(context.Background(), `SELECT source, traceparent, convert_from(payload, 'UTF8') FROM `+table+` ORDER BY id`)
	require.NoError(t, err)
	out, err := pgx.CollectRows(found, pgx.RowToStructByPos[stored])
	require.NoError(t, err)
	return out
}

// ways are what a shop may publish with. Each commits when there was no error.
func (s shop) ways() map[string]func(o Outbox, events ...Event) error {
	ctx := context.Background()
	return map[string]func(o Outbox, events ...Event) error{
		"pgx": func(o Outbox, events ...Event) error {
			return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { return o.Publish(ctx, tx, events...) })
		},
		"database_sql": func(o Outbox, events ...Event) error {
			return s.inSQLTx(func(tx *sql.Tx) error { return o.PublishSQL(ctx, tx, events...) })
		},
		"watermill": func(o Outbox, events ...Event) error {
			return s.inSQLTx(func(tx *sql.Tx) error {
				p, err := wsql.NewPublisher(tx, wsql.PublisherConfig{SchemaAdapter: o.WatermillSchema()}, watermill.NopLogger{})
				if err != nil {
					return err
				}
				var messages []*message.Message
				for _, e := range events {
					m := message.NewMessage(watermill.NewUUID(), message.Payload(e.JSON))
					m.Metadata.Set(event.HeaderTraceparent, e.Traceparent)
					messages = append(messages, m)
				}
				return p.Publish(Topic, messages...)
			})
		},
	}
}

func (s shop) inSQLTx(do func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func complete(id, source, note string) Event {
	e, _ := json.Marshal(map[string]any{"event_id": id, "type": "order.placed", "source": source, "order": map[string]string{"note": note}})
	return Event{JSON: e}
}

// One statement carries columns as texts with commas between. Whatever is in the events, each row is its event's, in their order.
func TestPublishKeepsEachEventAsItIs(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for name, publish := range s.ways() {
		rapid.Check(t, func(t *rapid.T) {
			_, err := s.Pool.Exec(context.Background(), `DELETE FROM commerce_outbox`)
			require.NoError(t, err)
			events := make([]Event, rapid.IntRange(1, 6).Draw(t, "events"))
			var want []stored
			for i := range events {
				source := rapid.SampledFrom([]string{"default", "outlet", "a,b", "NULL"}).Draw(t, "source")
				events[i] = complete(fmt.Sprint("e", i), source, rapid.String().Draw(t, "note"))
				row := stored{Source: map[string]string{"default": "default", "outlet": "outlet"}[source], Payload: string(events[i].JSON)}
				if rapid.Bool().Draw(t, "traced") {
					events[i].Traceparent, row.Traceparent = trace, new(trace)
				}
				want = append(want, row)
			}
			require.NoError(t, publish(Outbox{}, events...), name)
			require.Equal(t, want, s.rows(t, "commerce_outbox"), name)
		})
	}
}

// An event that is incomplete is found before anything is sent: none of its call is published, and the transaction goes on.
func TestAnIncompleteEventLeavesTheTransactionAsItWas(t *testing.T) {
	t.Parallel()
	s, good, bad := newShop(t), complete("e1", "default", ""), Event{JSON: json.RawMessage(`{"event_id": "e2"}`)}
	for name, publish := range s.ways() {
		require.ErrorIs(t, publish(Outbox{}, good, bad), ErrIncomplete, name)
	}
	require.Empty(t, s.rows(t, "commerce_outbox"))
	require.NoError(t, pgx.BeginFunc(t.Context(), s.Pool, func(tx pgx.Tx) error {
		require.ErrorIs(t, Outbox{}.Publish(t.Context(), tx, bad), ErrIncomplete)
		require.NoError(t, Outbox{}.Publish(t.Context(), tx), "no events are no statement")
		return Outbox{}.Publish(t.Context(), tx, good)
	}))
	require.Len(t, s.rows(t, "commerce_outbox"), 1)
}

// What rolls back was never published.
func TestEventsShareTheFateOfTheTransaction(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	tx, err := s.Pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, Outbox{}.Publish(t.Context(), tx, complete("e1", "default", "")))
	require.Empty(t, s.rows(t, "commerce_outbox"), "nobody sees it before the commit")
	require.NoError(t, tx.Rollback(t.Context()))
	require.Empty(t, s.rows(t, "commerce_outbox"))
}

// The schema is a name and no SQL: it is quoted.
func TestTheOutboxOfAnotherSchema(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const schema, table = `a "shop"; --`, `"a ""shop""; --"."commerce_outbox"`
	_, err := s.Pool.Exec(t.Context(), `CREATE SCHEMA "a ""shop""; --"; CREATE TABLE `+table+` (LIKE commerce_outbox INCLUDING ALL)`)
	require.NoError(t, err)
	for name, publish := range s.ways() {
		require.NoError(t, publish(Outbox{Schema: schema}, complete(name, "default", "")), name)
	}
	require.Len(t, s.rows(t, table), 3)
	require.Empty(t, s.rows(t, "commerce_outbox"))
	for name, publish := range s.ways() {
		require.ErrorContains(t, publish(Outbox{Schema: "missing"}, complete(name, "default", "")), `relation "missing.commerce_outbox" does not exist`, name)
	}
}

// Watermill's publisher is given the outbox; its subscriber is not, as it would take events from the connector.
func TestWatermillPublishesAndNeverReads(t *testing.T) {
	t.Parallel()
	s, schema := newShop(t), Outbox{}.WatermillSchema()
	_, err := schema.InsertQuery("orders", nil)
	require.ErrorIs(t, err, ErrIncomplete)
	require.ErrorContains(t, err, `the topic is "orders"; commerce events are published under "commerce_outbox"`)
	_, err = schema.InsertQuery(Topic, message.Messages{message.NewMessage("uuid", nil)})
	require.ErrorIs(t, err, ErrIncomplete, "a message without a payload is no event of empty fields")
	require.Empty(t, schema.SchemaInitializingQueries(Topic))
	require.Equal(t, sql.LevelDefault, schema.SubscribeIsolationLevel())
	_, err = s.Pool.Exec(t.Context(), schema.SelectQuery(Topic, "group", nil).Query)
	require.ErrorContains(t, err, "division by zero", "reading fails in Postgres too")
	_, err = schema.UnmarshalMessage(nil)
	require.ErrorContains(t, err, "the commerce outbox is read by the connector alone: subscribe to its topics")
}
