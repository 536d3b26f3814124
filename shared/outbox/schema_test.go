package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// stock is watermill-sql's subscriber on our schema.
type stock struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // the test's deadline
	pool *pgxpool.Pool
	db   *sql.DB
}

func newStock(t *testing.T) *stock {
	t.Helper()
	t.Parallel()
	database := testkit.Postgres(t)
	db, err := sql.Open("pgx", database.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return &stock{t: t, ctx: ctxOf(t), pool: database.Pool, db: db}
}

// subscribe returns the messages of a topic and what stops the subscriber.
func (s *stock) subscribe(topic string) (messages <-chan *message.Message, stop func()) {
	s.t.Helper()
	subscriber, err := wsql.NewSubscriber(s.db, wsql.SubscriberConfig{
		ConsumerGroup: "g", SchemaAdapter: outbox.Schema{BatchSize: 3}, OffsetsAdapter: wsql.DefaultPostgreSQLOffsetsAdapter{},
		PollInterval: 10 * time.Millisecond, RetryInterval: 10 * time.Millisecond, InitializeSchema: true,
	}, watermill.NopLogger{})
	require.NoError(s.t, err)
	messages, err = subscriber.Subscribe(s.ctx, topic)
	require.NoError(s.t, err)
	stop = func() { require.NoError(s.t, subscriber.Close()) }
	s.t.Cleanup(stop)
	return messages, stop
}

// commit writes records of topic a with the given uuids in one transaction.
func (s *stock) commit(ids ...string) {
	s.t.Helper()
	tx := begin(s.t, s.pool)
	write(s.t, tx, ids...)
	require.NoError(s.t, tx.Commit(s.ctx))
}

// age makes all rows older. From 5 s on it matters who may own a missing id.
func (s *stock) age(by time.Duration) {
	s.t.Helper()
	_, err := s.pool.Exec(s.ctx, `UPDATE erp_outbox SET created_at = created_at - $1::interval`, by)
	require.NoError(s.t, err)
}

// take acks the next n messages.
func (s *stock) take(messages <-chan *message.Message, n int) []event.Record {
	s.t.Helper()
	records := []event.Record{}
	for range n {
		select {
		case msg := <-messages:
			records = append(records, outbox.FromMessage("a", msg))
			require.True(s.t, msg.Ack())
		case <-s.ctx.Done():
			require.Fail(s.t, "waited in vain", "got %v", records)
		}
	}
	return records
}

// awaitOffset waits until the subscriber has stored its offset.
func (s *stock) awaitOffset(id int64) {
	s.t.Helper()
	for acked := int64(0); acked != id; {
		require.NoError(s.t, s.pool.QueryRow(s.ctx, `SELECT offset_acked FROM watermill_offsets_a`).Scan(&acked))
	}
}

func (s *stock) takeIDs(messages <-chan *message.Message, n int) []string {
	s.t.Helper()
	ids := []string{}
	for _, r := range s.take(messages, n) {
		ids = append(ids, r.UUID)
	}
	return ids
}

// selected returns what a subscriber without an offset would get now.
func (s *stock) selected() []string {
	s.t.Helper()
	adapter := wsql.DefaultPostgreSQLOffsetsAdapter{}
	for _, q := range append(adapter.SchemaInitializingQueries("a"), adapter.BeforeSubscribingQueries("a", "probe")...) {
		_, err := s.pool.Exec(s.ctx, q.Query, q.Args...)
		require.NoError(s.t, err)
	}
	q := outbox.Schema{}.SelectQuery("a", "probe", adapter)
	rows, err := s.db.QueryContext(s.ctx, q.Query, q.Args...) //nolint:sqlclosecheck // closed below
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, rows.Close()) }()
	ids := []string{}
	for rows.Next() {
		row, err := outbox.Schema{}.UnmarshalMessage(rows)
		require.NoError(s.t, err)
		ids = append(ids, row.Msg.UUID)
	}
	require.NoError(s.t, rows.Err())
	return ids
}

func TestTheStockSubscriberReadsItsTopicInOrderAndGoesOnWhereItStopped(t *testing.T) {
	s := newStock(t)
	want := []event.Record{}
	tx := begin(t, s.pool)
	for i := range 20 {
		want = append(want, record("a", fmt.Sprintf("k%d", i%3), fmt.Sprintf("u%d", i)))
		require.NoError(t, outbox.Publish(s.ctx, tx, []event.Record{want[i], record("b", "k", fmt.Sprintf("b%d", i))}))
	}
	require.NoError(t, tx.Commit(s.ctx))
	s.age(time.Minute) // the other topic's rows are no gaps
	messages, stop := s.subscribe("a")
	require.Equal(t, want[:9], s.take(messages, 9))
	s.awaitOffset(17) // the ninth of every second row
	stop()
	messages, _ = s.subscribe("a")
	require.Equal(t, want[9:], s.take(messages, 11))
	others, _ := s.subscribe("b")
	require.Equal(t, []string{"b0", "b1"}, s.takeIDs(others, 2))
}

func TestTheStockSubscriberWaitsForAnOpenWriter(t *testing.T) {
	s := newStock(t)
	slow := begin(t, s.pool)
	s.commit("u1")
	write(t, slow, "u2")
	s.commit("u3")
	messages, _ := s.subscribe("a")
	require.Equal(t, []string{"u1"}, s.takeIDs(messages, 1))
	s.age(6 * time.Second)
	require.Equal(t, []string{"u1"}, s.selected(), "however old the row after the gap is")
	require.NoError(t, slow.Commit(s.ctx))
	require.Equal(t, []string{"u2", "u3"}, s.takeIDs(messages, 2))
}

func TestTheStockSubscriberWaitsForAPreparedWriter(t *testing.T) {
	s := newStock(t)
	slow, name := begin(t, s.pool), fmt.Sprintf("p%d", time.Now().UnixNano())
	write(t, slow, "u1")
	s.commit("u2")
	s.age(time.Minute)
	_, err := slow.Exec(s.ctx, "PREPARE TRANSACTION '"+name+"'")
	require.NoError(t, err)
	require.Empty(t, s.selected())
	_, err = s.pool.Exec(s.ctx, "COMMIT PREPARED '"+name+"'")
	require.NoError(t, err)
	require.Equal(t, []string{"u1", "u2"}, s.selected())
}

func TestTheStockSubscriberPassesARolledBackWriterAfterAWhile(t *testing.T) {
	s := newStock(t)
	rolledBack := begin(t, s.pool)
	write(t, rolledBack, "u1")
	s.commit("u2")
	require.NoError(t, rolledBack.Rollback(s.ctx))
	require.Empty(t, s.selected(), "too fresh to know")
	messages, _ := s.subscribe("a")
	require.Equal(t, []string{"u2"}, s.takeIDs(messages, 1))
}

// Symptom: any transaction with an xid held the subscriber up: a report, another subscriber, a prepared one.
func TestTheStockSubscriberIsNotStalledByTransactionsElsewhere(t *testing.T) {
	s := newStock(t)
	for range 3 {
		foreign := begin(t, s.pool)
		_, err := foreign.Exec(s.ctx, "SELECT pg_current_xact_id(), (SELECT count(*) FROM erp_outbox)")
		require.NoError(t, err)
	}
	prepareElsewhere(t, s.pool)
	rolledBack := begin(t, s.pool)
	write(t, rolledBack, "u1")
	s.commit("u2")
	require.NoError(t, rolledBack.Rollback(s.ctx))
	s.age(time.Minute)
	later := begin(t, s.pool)
	write(t, later, "u3")                             // began long after u2 was written: it cannot own the missing id
	for !slices.Equal([]string{"u2"}, s.selected()) { // a transaction that ends just then, in any database, costs another try
		require.NoError(t, s.ctx.Err(), "stalled")
	}
}

func TestTheStockSubscriberLosesNothing(t *testing.T) {
	s := newStock(t)
	committed, seen := map[string]bool{}, map[string]bool{}
	messages, _ := s.subscribe("a")
	done := writeConcurrently(s.ctx, t, s.pool, committed)
	finished := false
	for !finished || len(seen) < len(committed) {
		select {
		case msg := <-messages:
			require.False(t, seen[msg.UUID], "given twice")
			seen[msg.UUID] = true
			require.True(t, msg.Ack())
		case <-done:
			finished, done = true, nil
		case <-s.ctx.Done():
			require.Fail(t, "waited in vain", "%d of %d", len(seen), len(committed))
		}
	}
	require.Equal(t, committed, seen)
}

// prepareElsewhere leaves a prepared transaction that never touched the outbox until the test ends.
func prepareElsewhere(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	tx, name := begin(t, pool), fmt.Sprintf("elsewhere%d", time.Now().UnixNano())
	_, err := tx.Exec(t.Context(), "INSERT INTO setting (name, value, changed_by) VALUES ('"+name+"', '1', 'test')")
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "PREPARE TRANSACTION '"+name+"'")
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "ROLLBACK PREPARED '"+name+"'")
		require.NoError(t, err)
	})
}
