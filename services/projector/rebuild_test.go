package projector

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// rebuild runs Rebuild and describes what it found.
func (b *bench) rebuild(how Rebuilding) (v Verdict, found []string, err error) {
	b.Helper()
	if how.OnProgress == nil {
		how.OnProgress = func(Progress) {}
	}
	how.Found = func(d Difference) { found = append(found, describe(d)) }
	v, err = Rebuild(b.ctx, b.cfg, b.pool, quiet, how)
	return v, found, err
}

// shape is what a swap must keep of the live table: its columns, indexes and constraints, by their names.
func (b *bench) shape() []map[string]any {
	b.Helper()
	return query(b, b.pool, `
		SELECT pg_get_indexdef(indexrelid) AS line FROM pg_index WHERE indrelid = 'vendor_erp_sync'::regclass
		UNION ALL SELECT attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull FROM pg_attribute
			WHERE attrelid = 'vendor_erp_sync'::regclass AND attnum > 0 AND NOT attisdropped
		UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'vendor_erp_sync'::regclass
		UNION ALL SELECT relpersistence::text FROM pg_class WHERE oid = 'vendor_erp_sync'::regclass
		ORDER BY line`)
}

func TestRebuildMendsRowsLinesAndDeadLetters(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		shape, want := b.shape(), shown(b, b.pool)
		b.exec(`UPDATE vendor_erp_sync SET status = 'failed' WHERE sync_id = 1`)
		b.exec(`DELETE FROM vendor_erp_sync WHERE sync_id = 2`)
		b.exec(`DELETE FROM vendor_erp_sync_event WHERE sync_id = 2 AND topic = 'vendor_erp_sync_success'`)
		b.exec(`UPDATE vendor_erp_sync_event SET attempts = 7 WHERE sync_id = 3 AND topic = 'vendor_erp_sync_success'`)
		b.exec(`DELETE FROM erp_dead_letter`)
		v, found, err := b.rebuild(Rebuilding{})
		require.NoError(b, err)
		require.Len(b, found, 5)
		require.Equal(b, []int64{3, 1, 0, 1}, []int64{v.Rows, v.Differing, v.OnlyInLive, v.OnlyInLog})
		require.Equal(b, Lines{Compared: 12, Differing: 1, OnlyInLog: 1}, v.Timeline)
		require.Equal(b, Lines{Compared: 1, OnlyInLog: 1}, v.DeadLetters)
		require.Equal(b, want, shown(b, b.pool))
		require.Equal(b, shape, b.shape())
		require.Len(b, query(b, b.pool, `SELECT FROM erp_dead_letter`), 1)
		b.requireNoTables("vendor_erp_sync_rebuild%")
		_, found = b.verify()
		require.Empty(b, found)
	})
}

// The projector that works meanwhile must go on with the new table, from the same positions.
func TestAProjectorGoesOnAfterARebuild(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		b.run()
		_, _, err := b.rebuild(Rebuilding{})
		require.NoError(b, err)
		b.publish(success(4))
		b.within("the projection goes on", func() bool { return b.status(4) == domain.Success })
		_, found := b.verify()
		require.Empty(b, found)
	})
}

func TestRebuildLosesNoUnknownRowUnlessItMay(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		b.exec(`INSERT INTO vendor_erp_sync SELECT (json_populate_record(v, '{"sync_id": 99, "order_increment_id": "x"}')).* FROM vendor_erp_sync v WHERE sync_id = 1`)
		_, found, err := b.rebuild(Rebuilding{})
		require.ErrorIs(b, err, ErrUnknownRows)
		require.ErrorContains(b, err, "(1, named above)")
		require.Equal(b, []string{"default/x only in live"}, found)
		require.Len(b, query(b, b.pool, `SELECT FROM vendor_erp_sync WHERE sync_id = 99`), 1)
		require.Len(b, query(b, b.pool, `SELECT FROM vendor_erp_sync_rebuild`), 3, "the work so far is kept")

		_, _, err = b.rebuild(Rebuilding{DropUnknown: true})
		require.NoError(b, err)
		require.Empty(b, query(b, b.pool, `SELECT FROM vendor_erp_sync WHERE sync_id = 99`))
	})
}

// What an interrupted rebuild has left is used: a mark in its table comes through. With Anew it does not.
func TestRebuildGoesOnOrBeginsAnew(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		for _, anew := range []bool{false, true} {
			ctx, cancel := context.WithCancel(b.ctx)
			_, err := Rebuild(ctx, b.cfg, b.pool, quiet, Rebuilding{OnProgress: func(p Progress) {
				require.LessOrEqual(b, p.Done, p.Of)
				if p.Done == p.Of {
					cancel()
				}
			}, Found: func(Difference) {}})
			require.ErrorIs(b, err, context.Canceled)
			b.exec(`UPDATE vendor_erp_sync_rebuild SET erp_reference = 'mark' WHERE sync_id = 3`)
			_, found, err := b.rebuild(Rebuilding{Anew: anew})
			require.NoError(b, err)
			require.Equal(b, !anew, len(found) == 1, "%v: %q", anew, found)
			b.restore()
		}
	})
}

func TestRebuildRefuses(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		release, ok, err := postgres.TryLease(b.ctx, b.pool, rebuildTable)
		require.NoError(b, err)
		require.True(b, ok)
		_, _, err = b.rebuild(Rebuilding{})
		require.ErrorContains(b, err, "another rebuild is at work")
		release()

		for _, c := range []struct{ plant, undo, want string }{
			{`CREATE VIEW pretty AS SELECT * FROM vendor_erp_sync`, `DROP VIEW pretty`, "view pretty"},
			{`CREATE TABLE other (sync_id bigint REFERENCES vendor_erp_sync)`, `DROP TABLE other`, "foreign key other_sync_id_fkey of other"},
			{`CREATE POLICY mine ON vendor_erp_sync USING (true)`, `DROP POLICY mine ON vendor_erp_sync`, "policy mine"},
			{`CREATE PUBLICATION feed FOR TABLE vendor_erp_sync`, `DROP PUBLICATION feed`, "publication feed"},
			{
				`CREATE FUNCTION nop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER watch AFTER INSERT ON vendor_erp_sync FOR EACH ROW EXECUTE FUNCTION nop()`,
				`DROP TRIGGER watch ON vendor_erp_sync`, "trigger watch",
			},
			{`CREATE TABLE vendor_erp_sync_rebuild AS SELECT sync_id FROM vendor_erp_sync`, `DROP TABLE vendor_erp_sync_rebuild`, "has no history beside it: begin anew (--anew)"},
			{
				`CREATE TABLE vendor_erp_sync_rebuild AS SELECT sync_id FROM vendor_erp_sync; CREATE TABLE vendor_erp_sync_rebuild_history (LIKE vendor_erp_sync_history)`,
				`DROP TABLE vendor_erp_sync_rebuild, vendor_erp_sync_rebuild_position, vendor_erp_sync_rebuild_history`, "other columns than vendor_erp_sync: begin anew (--anew)",
			},
			{ // positions beyond the live ones, as of another database
				`CREATE TABLE vendor_erp_sync_rebuild (LIKE vendor_erp_sync INCLUDING ALL); CREATE TABLE vendor_erp_sync_rebuild_position (LIKE projector_position INCLUDING ALL);
				CREATE TABLE vendor_erp_sync_rebuild_history (LIKE vendor_erp_sync_history INCLUDING ALL);
				INSERT INTO vendor_erp_sync_rebuild_position SELECT topic, partition, next_offset FROM projector_position; UPDATE projector_position SET next_offset = next_offset - 1 WHERE next_offset > 0`,
				`UPDATE projector_position SET next_offset = next_offset + 1 WHERE next_offset > 0; DROP TABLE vendor_erp_sync_rebuild, vendor_erp_sync_rebuild_position, vendor_erp_sync_rebuild_history`,
				"begin anew (--anew)",
			},
		} {
			b.exec(c.plant)
			_, _, err := b.rebuild(Rebuilding{})
			require.ErrorContains(b, err, c.want)
			b.exec(c.undo)
		}
		b.exec(`CREATE TABLE vendor_erp_sync_rebuild AS SELECT sync_id FROM vendor_erp_sync`)
		_, _, err = b.rebuild(Rebuilding{Anew: true})
		require.NoError(b, err, "anew takes away what is left")
	})
}
