package outbox_test

import (
	"database/sql"
	"testing"
	"time"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/outbox"
)

// A message that a Watermill user publishes in a transaction of database/sql is an outbox row like ours, once it commits.
func TestAPublisherOnATransactionWritesOurRowsWhenItCommits(t *testing.T) {
	s := newStock(t)
	publish := func(id string) *sql.Tx {
		tx, err := s.db.BeginTx(s.ctx, nil)
		require.NoError(t, err)
		publisher, err := outbox.NewPublisher(tx, quiet)
		require.NoError(t, err)
		require.NoError(t, publisher.Publish("a", outbox.Message(record("a", "k", id))))
		return tx
	}
	require.NoError(t, publish("u1").Rollback())
	require.NoError(t, publish("u2").Commit())
	batch, err := outbox.NewReader(s.pool, outbox.Limits{}).Next(s.ctx, outbox.Cursor{})
	require.NoError(t, err)
	require.Len(t, batch.Rows, 1)
	require.Equal(t, record("a", "k", "u2"), outbox.FromMessage(batch.Rows[0].Topic, batch.Rows[0].Message()))
}

// NewSubscriber's comment warns of it: Close before the ack commits the handler's effect, but not the position.
func TestAHandlersEffectMayRepeatEvenInTheSubscribersTransaction(t *testing.T) {
	s := newStock(t)
	s.commit("u1", "u2")
	_, err := s.pool.Exec(s.ctx, "CREATE TABLE effect (uuid text)")
	require.NoError(t, err)
	subscribe := func() (<-chan *message.Message, func()) {
		subscriber, err := outbox.NewSubscriber(s.db, outbox.SubscriberConfig{Group: "g", BatchSize: 1, PollInterval: time.Millisecond}, quiet)
		require.NoError(t, err)
		messages, err := subscriber.Subscribe(s.ctx, "a")
		require.NoError(t, err)
		return messages, func() { require.NoError(t, subscriber.Close()) }
	}
	handle := func(msg *message.Message) {
		tx, ok := wsql.TxFromContext(msg.Context())
		require.True(t, ok)
		_, err := tx.ExecContext(s.ctx, "INSERT INTO effect VALUES ($1)", msg.UUID)
		require.NoError(t, err)
	}
	messages, closeFirst := subscribe()
	first := <-messages
	handle(first)
	require.True(t, first.Ack())
	handle(<-messages)
	closeFirst() // and no ack
	messages, closeSecond := subscribe()
	second := <-messages
	require.Equal(t, "u2", second.UUID)
	handle(second)
	require.True(t, second.Ack())
	s.awaitOffset(2)
	closeSecond()
	var uuids []string
	require.NoError(t, s.pool.QueryRow(s.ctx, "SELECT array_agg(uuid ORDER BY uuid) FROM effect").Scan(&uuids))
	require.Equal(t, []string{"u1", "u2", "u2"}, uuids)
}
