package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var databaseDoors = []string{nemesis.SQL, nemesis.PGX, nemesis.StdSQL, nemesis.Watermill}

// event is what names an event.
type event struct {
	ID     string `json:"event_id"`
	Source string `json:"source"`
}

func (e event) name() string { return e.Source + " " + e.ID }

// inOutbox returns the event ids in the commerce outbox, with their number.
func inOutbox(t *testing.T, database testkit.Database) map[string]int {
	t.Helper()
	rows, err := database.Pool.Query(t.Context(), `SELECT payload FROM commerce_outbox`)
	require.NoError(t, err)
	defer rows.Close()
	events := map[string]int{}
	for rows.Next() {
		var payload []byte
		require.NoError(t, rows.Scan(&payload))
		var e event
		require.NoError(t, json.Unmarshal(payload, &e))
		events[e.name()]++
	}
	require.NoError(t, rows.Err())
	return events
}

// A confirmed transaction is in the outbox once, and one that was rolled back is not.
func TestTheOutcomeOfATransaction(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	s := newProduct(t, answer{500, ""}).shops(t, database.URL)
	for _, door := range databaseDoors {
		e := nemesis.Event{ID: "kept by " + door, Type: nemesis.InvoiceCreated, Door: door}
		require.Equal(t, history.Accepted, s.publish(t.Context(), scenario, e), door)
		e.ID, e.RollBack = "rolled back by "+door, true
		require.Equal(t, history.Refused, s.publish(t.Context(), scenario, e), door)
		require.Equal(t, 1, inOutbox(t, database)["shop-b kept by "+door], door)
	}
	require.Len(t, inOutbox(t, database), len(databaseDoors))
}

// A commit that fails may have happened. A shop that tries again knows the outcome in the end, and one that does not must
// not believe that nothing happened.
func TestACommitThatIsNotConfirmedIsUnknown(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	s := newProduct(t, answer{500, ""}).shops(t, database.URL)
	for _, door := range databaseDoors {
		failCommits(t, database, 1)
		e := nemesis.Event{ID: "given up by " + door, Type: nemesis.InvoiceCreated, Door: door, GiveUp: true}
		require.Equal(t, history.Unknown, s.publish(t.Context(), scenario, e), door)
		failCommits(t, database, 2)
		e.ID, e.GiveUp = "repeated by "+door, false
		require.Equal(t, history.Accepted, s.publish(t.Context(), scenario, e), door)
		require.Equal(t, 1, inOutbox(t, database)["shop-b repeated by "+door], door)
	}
}

// failCommits lets the next transactions fail when they commit.
func failCommits(t *testing.T, database testkit.Database, n int) {
	t.Helper()
	_, err := database.Pool.Exec(t.Context(), fmt.Sprintf(`
		DROP SEQUENCE IF EXISTS commits;
		CREATE SEQUENCE commits;
		CREATE OR REPLACE FUNCTION fail_commit() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('commits') <= %d THEN RAISE 'the connection is lost'; END IF;
			RETURN NULL;
		END $$;
		DROP TRIGGER IF EXISTS fail_commit ON commerce_outbox;
		CREATE CONSTRAINT TRIGGER fail_commit AFTER INSERT ON commerce_outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_commit()`, n))
	require.NoError(t, err)
}

// Without a database no transaction comes to its commit: then the event was never published.
func TestAnEventWithoutATransactionIsRefused(t *testing.T) {
	t.Parallel()
	s := newProduct(t, answer{500, ""}).shops(t, "postgres://127.0.0.1:1/none?sslmode=disable")
	ctx, cancel := context.WithTimeout(t.Context(), 3*retryInterval)
	defer cancel()
	require.Equal(t, history.Refused, s.publishInTx(ctx, nemesis.PGX, nemesis.Event{}, []byte(`{}`)))
}

// Everything that the shops began is recorded, and what they call accepted is there. An event that is published and not
// recorded would not be missed when the product loses it.
func TestRunRecordsWhatItPublished(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	p := newProduct(t, answer{200, `{"results": [` + strings.Repeat(`{"result": "accepted"}, `, maxBatch) + `{}]}`})
	s := p.shops(t, database.URL)
	publishCtx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(publishCtx, t.Context()) }()
	testkit.Eventually(t, func() bool { return len(s.Publications()) >= 60 }, "60 events are published")
	stop()
	<-ended
	posted := map[string]int{}
	for _, r := range p.got() {
		if r.path != "/events" {
			continue
		}
		body := "[" + strings.Trim(r.body, "[]") + "]" // one event, or a batch
		var events []event
		require.NoError(t, json.Unmarshal([]byte(body), &events), r.body)
		for _, e := range events {
			posted[e.name()]++
		}
	}
	stored, recorded := inOutbox(t, database), map[string]history.Outcome{}
	for _, publication := range s.Publications() {
		name := publication.Source + " " + publication.EventID
		require.NotContains(t, recorded, name)
		recorded[name] = publication.Outcome
		if publication.Outcome == history.Accepted {
			require.Positive(t, posted[name]+stored[name], "%s reached no door", name)
		}
	}
	for _, all := range []map[string]int{posted, stored} {
		for name := range all {
			require.NotEqual(t, history.Refused, recorded[name], name)
			require.Contains(t, recorded, name)
		}
	}
}
