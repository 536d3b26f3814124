package outbox_test

import (
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var quiet = slog.New(slog.DiscardHandler)

// All tests of the suite share one table and run at once, so the rows of one test are gaps for the others.
//
// Exactly once is not claimed, as a transaction may fail after the ack. TestReconnect is left out: it is racy (see the
// suite of shared/kafka/pubsub), and database/sql mends broken connections.
func TestWatermillsSuite(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	db, err := sql.Open("pgx", database.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(100)
	db.SetMaxIdleConns(100)
	inGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		t.Helper()
		publisher, err := outbox.NewPublisher(db, quiet)
		require.NoError(t, err)
		subscriber, err := outbox.NewSubscriber(db, outbox.SubscriberConfig{
			Group: group, PollInterval: 10 * time.Millisecond, NackPause: time.Millisecond,
		}, quiet)
		require.NoError(t, err)
		return publisher, subscriber
	}
	features := tests.Features{
		ConsumerGroups: true, GuaranteedOrder: true, Persistent: true, ForceShort: testing.Short(),
		// The suite's own names fill an identifier of Postgres: the offsets tables' indexes would all be cut to one name.
		GenerateTopicFunc: func(c tests.TestContext) string { return "t-" + c.TestID.String()[:13] },
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) { return inGroup(t, "test") }, inGroup)
}
