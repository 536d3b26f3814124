package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/migrations"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// parted is an outbox whose partitions a test makes and drops.
type parted struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // the test's
	pool *pgxpool.Pool
}

func parts(t *testing.T) *parted {
	t.Helper()
	return &parted{t, ctxOf(t), database(t)}
}

// has are the partitions, as "name from to".
func (p *parted) has() (shown []string) {
	p.t.Helper()
	all, err := outbox.Partitions(p.ctx, p.pool)
	require.NoError(p.t, err)
	for _, one := range all {
		shown = append(shown, fmt.Sprintf("%s %d %d", one.Name, one.From, one.To))
	}
	return shown
}

func (p *parted) exec(sql string, args ...any) {
	p.t.Helper()
	_, err := p.pool.Exec(p.ctx, sql, args...)
	require.NoError(p.t, err)
}

// write writes a row and returns its id and table.
func (p *parted) write(uuid string) (id int64, table string) {
	p.t.Helper()
	require.NoError(p.t, pgx.BeginFunc(p.ctx, p.pool, func(tx pgx.Tx) error {
		return outbox.Publish(p.ctx, tx, []event.Record{record("a", "k", uuid)})
	}))
	require.NoError(p.t, p.pool.QueryRow(p.ctx, `SELECT id, tableoid::regclass::text FROM erp_outbox WHERE uuid = $1`, uuid).Scan(&id, &table))
	return id, table
}

func (p *parted) extend() int {
	p.t.Helper()
	made, err := outbox.Extend(p.ctx, p.pool, outbox.MinWidth, outbox.Ahead)
	require.NoError(p.t, err)
	return made
}

func TestANewOutboxHasPartitionsAhead(t *testing.T) {
	t.Parallel()
	p := parts(t)
	require.Equal(t, "erp_outbox_p0 0 250000", p.has()[0])
	require.Contains(t, p.has(), "erp_outbox_p2000000 2000000 2250000")
	require.Contains(t, p.has(), fmt.Sprintf("erp_outbox_rest %d 0", int64(1)<<40))
	require.Zero(t, p.extend())
	_, table := p.write("u1")
	require.Equal(t, "erp_outbox_p0", table)

	p.exec(`SELECT setval('erp_outbox_id_seq', 250001)`)
	require.Equal(t, 1, p.extend())
	_, table = p.write("u2")
	require.Equal(t, "erp_outbox_p250000", table)
}

// Writers are inside of their transactions while a partition is made, and another one begins: nobody waits.
func TestMakingAPartitionWaitsForNobody(t *testing.T) {
	t.Parallel()
	p := parts(t)
	writer, reader := begin(t, p.pool), begin(t, p.pool)
	write(t, writer, "open")
	_, err := reader.Exec(p.ctx, `SELECT count(*) FROM erp_outbox`)
	require.NoError(t, err)
	p.exec(`SELECT setval('erp_outbox_id_seq', 2000000)`)
	extending := begin(t, p.pool)
	_, err = extending.Exec(p.ctx, `SET LOCAL lock_timeout = '1ms'`)
	require.NoError(t, err)
	made, err := outbox.Extend(p.ctx, extending, outbox.MinWidth, outbox.Ahead)
	require.NoError(t, err)
	require.NotZero(t, made)
	meanwhile := begin(t, p.pool)
	_, err = meanwhile.Exec(p.ctx, `SET LOCAL lock_timeout = '1ms'`)
	require.NoError(t, err)
	write(t, meanwhile, "meanwhile")
	require.NoError(t, meanwhile.Commit(p.ctx))
	require.NoError(t, extending.Commit(p.ctx))
	require.NoError(t, writer.Commit(p.ctx))
}

// On a new server the first rows are in erp_outbox_rest. It becomes a partition of their epoch.
func TestARestOfALaterEpochBecomesAPartition(t *testing.T) {
	t.Parallel()
	p := parts(t)
	for epoch := int64(1); epoch <= 2; epoch++ {
		p.exec(`SELECT erp_new_epoch(0, 0)`)
		first, table := p.write(fmt.Sprint("first of ", epoch))
		require.Equal(t, "erp_outbox_rest", table)
		require.Equal(t, epoch, first>>40)
		require.Equal(t, 1, p.extend())
		require.Positive(t, p.extend())
		require.Zero(t, p.extend())
		require.Equal(t, fmt.Sprintf("erp_outbox_rest %d 0", (epoch+1)<<40), p.has()[len(p.has())-1])
		_, table = p.write(fmt.Sprint("second of ", epoch))
		require.Equal(t, fmt.Sprintf("erp_outbox_p%d", epoch<<40), table)
	}
	var rows int
	require.NoError(t, p.pool.QueryRow(p.ctx, `SELECT count(*) FROM erp_outbox`).Scan(&rows))
	require.Equal(t, 4, rows)
}

func TestWidthIsADaysRows(t *testing.T) {
	t.Parallel()
	p := parts(t)
	now := time.Now()
	width := func() int64 {
		w, err := outbox.Width(p.ctx, p.pool, now)
		require.NoError(t, err)
		return w
	}
	require.EqualValues(t, outbox.MinWidth, width(), "there is no row")
	id, _ := p.write("u1")
	p.exec(`UPDATE erp_outbox SET created_at = $1 WHERE id = $2`, now.Add(-48*time.Hour), id)
	for _, last := range []int64{20_000, 240_000, 249_999} { // the last one counts for what follows
		p.exec(`SELECT setval('erp_outbox_id_seq', $1)`, last)
		require.EqualValues(t, outbox.MinWidth, width(), last)
	}
	p.exec(`UPDATE erp_outbox SET created_at = $1 WHERE id = $2`, now.Add(-6*time.Hour), id)
	require.EqualValues(t, 4*outbox.MinWidth, width())
	p.exec(`UPDATE erp_outbox SET created_at = $1 WHERE id = $2`, now, id)
	require.EqualValues(t, outbox.MaxWidth, width())
}

// A reader keeps a drop waiting. Writers do not wait for it, and the next try ends it.
func TestADropThatIsInterrupted(t *testing.T) {
	t.Parallel()
	p := parts(t)
	p.write("old")
	p.exec(`SELECT setval('erp_outbox_id_seq', 249999)`)
	reader := begin(t, p.pool)
	_, err := reader.Exec(p.ctx, `SELECT count(*) FROM erp_outbox`)
	require.NoError(t, err)
	first := func() outbox.Partition {
		all, err := outbox.Partitions(p.ctx, p.pool)
		require.NoError(t, err)
		return all[0]
	}
	dropping, interrupt := context.WithCancel(p.ctx)
	dropped, old := make(chan error, 1), first()
	go func() { dropped <- old.Drop(dropping, p.pool) }()
	testkit.Eventually(t, func() bool { return first().Detaching }, "the drop has begun")
	interrupt()
	require.Error(t, <-dropped)
	writer := begin(t, p.pool)
	_, err = writer.Exec(p.ctx, `SET LOCAL lock_timeout = '1ms'`)
	require.NoError(t, err)
	write(t, writer, "new")
	require.NoError(t, writer.Commit(p.ctx))
	p.exec(`SELECT setval('erp_outbox_id_seq', 500001)`)
	require.Positive(t, p.extend(), "place is made while a drop waits")
	require.NoError(t, reader.Commit(p.ctx))
	require.True(t, first().Detaching)
	require.NoError(t, first().Drop(p.ctx, p.pool))
	require.Equal(t, "erp_outbox_p250000 250000 500000", p.has()[0])
	trace, err := outbox.TraceOf(p.ctx, p.pool, 1)
	require.NoError(t, err)
	require.Equal(t, outbox.Trace{Dropped: true}, trace)

	p.exec(`COMMENT ON TABLE erp_outbox_p250000 IS 'erpconnector: relayed and kept long enough, to be dropped'`)
	p.exec(`ALTER TABLE erp_outbox DETACH PARTITION erp_outbox_p250000`) // and the process died
	p.exec(`ALTER TABLE erp_outbox DETACH PARTITION erp_outbox_p500000`) // somebody keeps it
	names, err := outbox.DropRest(p.ctx, p.pool)
	require.NoError(t, err)
	require.Equal(t, []string{"erp_outbox_p250000"}, names)
	p.exec(`SELECT count(*) FROM erp_outbox_p500000`)
}

// A row without a place is refused in a way that has its writer try again.
func TestARowWithoutAPartitionIsNotToBlame(t *testing.T) {
	t.Parallel()
	p := parts(t)
	p.exec(`SELECT setval('erp_outbox_id_seq', 3000000)`)
	err := pgx.BeginFunc(p.ctx, p.pool, func(tx pgx.Tx) error { return outbox.Publish(p.ctx, tx, []event.Record{record("a", "k", "u")}) })
	var refused *pgconn.PgError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "23514", refused.Code)
	require.False(t, postgres.IsAboutData(err))
	p.extend()
	p.write("u")
}

// An outbox of an earlier release has one partition of ten million ids and a default one. It keeps its rows, and has place for more.
func TestAnOutboxOfAnEarlierReleaseKeepsItsRows(t *testing.T) {
	t.Parallel()
	whole, err := migrations.FS.ReadFile("0016_outbox_partitions.sql")
	require.NoError(t, err)
	up, _, _ := strings.Cut(string(whole), "-- +goose Down")
	const later = int64(1)<<40 + 5
	for name, c := range map[string]struct {
		ids   []int64
		first []string // partitions
	}{
		"new":                   {nil, []string{"erp_outbox_p0 0 250000"}},
		"some rows":             {[]int64{1, 2, 200_000}, []string{"erp_outbox_p0 0 250000"}},
		"more rows":             {[]int64{1, 2, 600_000}, []string{"erp_outbox_p0 0 10000000"}},
		"more than ten million": {[]int64{1, 9_999_999, 10_000_000, 12_345_678}, []string{"erp_outbox_p0 0 10000000", "erp_outbox_p10000000 10000000 14500000"}},
		"after a failover":      {[]int64{1, 2, later}, []string{"erp_outbox_p0 0 10000000", fmt.Sprintf("erp_outbox_p10000000 10000000 %d", (later/250_000+9)*250_000)}},
	} {
		p := parts(t)
		p.exec(`DROP FUNCTION erp_outbox_partitions, erp_outbox_extend`)
		for _, one := range p.tables() {
			p.exec(`DROP TABLE ` + one)
		}
		p.exec(`CREATE TABLE erp_outbox_p0 PARTITION OF erp_outbox FOR VALUES FROM (0) TO (10000000)`)
		p.exec(`CREATE TABLE erp_outbox_default PARTITION OF erp_outbox DEFAULT`)
		for _, id := range c.ids {
			p.exec(`INSERT INTO erp_outbox (id, topic, key, uuid, metadata, payload) VALUES ($1, 'a', 'k', $2, '{}', '')`, id, fmt.Sprint(id))
			p.exec(`SELECT setval('erp_outbox_id_seq', $1)`, id)
		}
		p.exec(up)
		require.Equal(t, c.first, p.has()[:len(c.first)], name)
		rows, err := p.pool.Query(p.ctx, `SELECT id FROM erp_outbox ORDER BY id`)
		require.NoError(t, err)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		require.NoError(t, err)
		require.Len(t, ids, len(c.ids), name)
		p.write("next")
		p.exec(`SELECT erp_new_epoch(0, 0)`)
		_, table := p.write("on a new server")
		require.Equal(t, "erp_outbox_rest", table, name)
		require.Positive(t, p.extend(), name)
	}
}

func (p *parted) tables() []string {
	p.t.Helper()
	rows, err := p.pool.Query(p.ctx, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'erp_outbox'::regclass`)
	require.NoError(p.t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(p.t, err)
	return names
}
