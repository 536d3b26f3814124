package projector

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var quiet = slog.New(slog.DiscardHandler)

// onEmbedded is onBrokers on the embedded broker alone, for what does not depend on the broker. The same on Apache Kafka is
// tested through the command, in e2e.
func onEmbedded(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Parallel()
	testkit.OnEmbedded(t, func(t *testing.T, cfg kafka.Config) { onBroker(t, cfg, test) })
}

// project writes the records of three orders that went through, and a dead letter, and applies them.
func (b *bench) project() {
	b.Helper()
	for order := range 3 {
		b.accept(order)
		b.publish(success(order))
	}
	b.sendLetter(b.unreadable(7, 0, event.TopicRequested, 3), deadletter.Cause{By: deadletter.ByDelayer, Reason: "no JSON"})
	require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, quiet))
	for _, table := range []string{"vendor_erp_sync", "vendor_erp_sync_event", "erp_dead_letter"} {
		b.exec(`CREATE TABLE kept_` + table + ` AS TABLE ` + table)
	}
}

// restore brings the tables back to what project has left.
func (b *bench) restore() {
	b.Helper()
	for _, table := range []string{"vendor_erp_sync", "vendor_erp_sync_event", "erp_dead_letter"} {
		b.exec(`DELETE FROM ` + table)
		b.exec(`INSERT INTO ` + table + ` SELECT * FROM kept_` + table)
	}
}

func (b *bench) exec(statement string) {
	b.Helper()
	_, err := b.pool.Exec(b.ctx, statement)
	require.NoError(b, err)
}

// verify runs Verify and describes each difference.
func (b *bench) verify() (v Verdict, found []string) {
	b.Helper()
	v, err := Verify(b.ctx, b.cfg, b.pool, quiet, func(Progress) {}, func(d Difference) { found = append(found, describe(d)) })
	require.NoError(b, err)
	require.Equal(b, len(found) == 0, v.Equal(), "the verdict is at odds with what was found")
	b.requireNoTables("vendor_erp_sync_verify%")
	return v, found
}

func (b *bench) requireNoTables(like string) {
	b.Helper()
	require.Empty(b, query(b, b.pool, `SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '`+like+`'`), "tables are left")
}

// describe is a difference in a few words.
func describe(d Difference) string {
	where := d.Line
	if where == "" {
		where = fmt.Sprintf("%s/%s", d.Source, d.OrderIncrementID)
	}
	if d.OnlyIn != "" {
		return fmt.Sprintf("%s only in %s", where, d.OnlyIn)
	}
	return fmt.Sprintf("%s %s: %s, log %s", where, d.Column, d.Live, d.Log)
}

func TestVerifyFindsWhatIsPlantedAndNothingElse(t *testing.T) {
	line := func(b *bench, topic string, sync int) string {
		b.Helper()
		for _, r := range query(b, b.pool, fmt.Sprintf(`SELECT topic || '/' || partition || '@' || "offset" AS place FROM vendor_erp_sync_event WHERE sync_id = %d AND topic = '%s'`, sync, topic)) {
			return r["place"].(string) //nolint:forcetypeassert // a text
		}
		return "no line"
	}
	onEmbedded(t, func(b *bench) {
		b.project()
		v, found := b.verify()
		require.Empty(b, found)
		require.EqualValues(b, 3, v.Rows)
		require.Equal(b, Lines{Compared: 12}, v.Timeline)
		require.Equal(b, Lines{Compared: 1}, v.DeadLetters)
		require.Positive(b, v.Offsets)

		failed := line(b, event.TopicSuccess, 2)
		for name, c := range map[string]struct {
			plant string
			want  []string
		}{
			"a status":         {`UPDATE vendor_erp_sync SET status = 'failed' WHERE sync_id = 1`, []string{`default/1 status: "failed", log "success"`}},
			"two columns":      {`UPDATE vendor_erp_sync SET attempts = 9, last_error = 'Zoë' WHERE sync_id = 2`, []string{`shop-b/2 attempts: 9, log 1`, `shop-b/2 last_error: 4 bytes, log null`}},
			"the first row":    {`DELETE FROM vendor_erp_sync WHERE sync_id = 1`, []string{"default/1 only in log"}},
			"the last row":     {`DELETE FROM vendor_erp_sync WHERE sync_id = 3`, []string{"default/3 only in log"}},
			"every row":        {`DELETE FROM vendor_erp_sync`, []string{"default/1 only in log", "shop-b/2 only in log", "default/3 only in log"}},
			"a row before all": {`INSERT INTO vendor_erp_sync SELECT (json_populate_record(v, '{"sync_id": -1, "order_increment_id": "x"}')).* FROM vendor_erp_sync v WHERE sync_id = 1`, []string{"default/x only in live"}},
			"a row after all":  {`INSERT INTO vendor_erp_sync SELECT (json_populate_record(v, '{"sync_id": 99, "order_increment_id": "x"}')).* FROM vendor_erp_sync v WHERE sync_id = 1`, []string{"default/x only in live"}},
			"a line that differs": {
				`UPDATE vendor_erp_sync_event SET attempts = 5 WHERE sync_id = 2 AND topic = 'vendor_erp_sync_success'`, []string{failed + " attempts: 5, log 1"},
			},
			"a line that is missing": {`DELETE FROM vendor_erp_sync_event WHERE sync_id = 2 AND topic = 'vendor_erp_sync_success'`, []string{failed + " only in log"}},
			"a line of another time": {
				`UPDATE vendor_erp_sync_event SET occurred_at = occurred_at + '1s' WHERE sync_id = 2 AND topic = 'vendor_erp_sync_success'`,
				[]string{failed + " only in live", failed + " only in log"},
			},
			"a line from behind the log": {
				`UPDATE vendor_erp_sync_event SET "offset" = 1000 WHERE sync_id = 2 AND topic = 'vendor_erp_sync_success'`,
				[]string{failed + " only in log", failed[:len(failed)-1] + "1000 only in live"},
			},
			"a dead letter that differs":        {`UPDATE erp_dead_letter SET topic = 'x', reason = 'a name'`, []string{`vendor_erp_sync_dead_letter/0@0 topic: "x", log "vendor_erp_sync_requested"`, `vendor_erp_sync_dead_letter/0@0 reason: 6 bytes, log 7 bytes`}},
			"a dead letter that is missing":     {`DELETE FROM erp_dead_letter`, []string{"vendor_erp_sync_dead_letter/0@0 only in log"}},
			"a dead letter from behind the log": {`UPDATE erp_dead_letter SET id = 7`, []string{"vendor_erp_sync_dead_letter/0@0 only in log", "vendor_erp_sync_dead_letter/0@7 only in live"}},
		} {
			b.exec(c.plant)
			_, found := b.verify()
			require.ElementsMatch(b, c.want, found, name)
			b.restore()
		}
		_, found = b.verify()
		require.Empty(b, found, "a planted difference is left")
	})
}

// A killed verify leaves its tables. The next one must not take them for its own.
func TestVerifyBeginsAnewAfterAKilledOne(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		b.exec(`CREATE TABLE vendor_erp_sync_verify AS TABLE vendor_erp_sync`)
		b.exec(`UPDATE vendor_erp_sync_verify SET status = 'failed'`)
		b.exec(`CREATE TABLE vendor_erp_sync_verify_position AS TABLE projector_position`)
		_, found := b.verify()
		require.Empty(b, found)
	})
}

func TestVerifyRefusesToWorkBesideAnother(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		release, ok, err := postgres.TryLease(b.ctx, b.pool, verifyTable)
		require.NoError(b, err)
		require.True(b, ok)
		verify := func() error {
			_, err := Verify(b.ctx, b.cfg, b.pool, quiet, func(Progress) {}, func(Difference) {})
			return err
		}
		require.ErrorContains(b, verify(), "another verify is at work")
		release()
		require.NoError(b, verify(), "an empty log and empty tables are equal")
	})
}

func TestAProjectionCannotBeBuiltFromALogWithoutItsStart(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		before := kadm.Offsets{}
		for p := range int32(partitions) {
			before.Add(kadm.Offset{Topic: b.cfg.Topic(event.TopicSuccess), Partition: p, At: -1})
		}
		_, err := kadm.NewClient(b.client).DeleteRecords(b.ctx, before)
		require.NoError(b, err)
		_, err = Verify(b.ctx, b.cfg, b.pool, quiet, func(Progress) {}, func(Difference) {})
		require.ErrorIs(b, err, errPositions)
		require.ErrorContains(b, err, mendStart)
		b.requireNoTables("vendor_erp_sync_verify%")
	})
}

func TestVerifyThatIsStoppedLeavesNothing(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		ctx, cancel := context.WithCancel(b.ctx)
		_, err := Verify(ctx, b.cfg, b.pool, quiet, func(Progress) { cancel() }, func(Difference) {})
		require.ErrorIs(b, err, context.Canceled)
		b.requireNoTables("vendor_erp_sync_verify%")
	})
}

// TestLinesThatRetentionHasDeleted are no mismatch, and a rebuild does not bring them back. Those that are there are compared as ever.
func TestLinesThatRetentionHasDeleted(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		const line = `FROM vendor_erp_sync_event WHERE sync_id = 2 AND topic = 'vendor_erp_sync_success'`
		b.exec(`INSERT INTO erp_timeline_floor (before) SELECT occurred_at ` + line)
		b.exec(`DELETE ` + line)
		_, found := b.verify()
		require.Len(b, found, 1, "what was deleted is older")

		b.exec(`UPDATE erp_timeline_floor SET before = now() + interval '1 day'`)
		v, found := b.verify()
		require.Empty(b, found)
		require.Equal(b, Lines{Compared: 11}, v.Timeline)
		v, found, err := b.rebuild(Rebuilding{})
		require.NoError(b, err)
		require.Empty(b, found)
		require.Equal(b, Lines{Compared: 11}, v.Timeline)
		require.Empty(b, query(b, b.pool, `SELECT 1 AS one `+line))

		b.exec(`UPDATE vendor_erp_sync_event SET attempts = 7 WHERE sync_id = 3 AND topic = 'vendor_erp_sync_success'`)
		_, found = b.verify()
		require.Len(b, found, 1, "a line that is there is wrong")
	})
}
