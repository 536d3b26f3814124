package drain

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestFeedGivesEachCommittedRowOnceAndOrdersInOrder lets shops begin, write, roll back to savepoints, prepare, commit
// and roll back in any order between the feed's looks, few rows at a time. Sweeps must find nothing to do.
func TestFeedGivesEachCommittedRowOnceAndOrdersInOrder(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, pool, rapid.IntRange(1, 6).Draw(t, "limit"))
		defer w.abandon()
		t.Repeat(map[string]func(*rapid.T){
			"begin": w.begin, "write": w.write, "bulk": w.bulk, "savepoint": w.savepoint, "prepare": w.prepare,
			"commit": w.commit, "rollback": w.rollback, "look": w.look, "hold": w.hold,
		})
		for len(w.open) > 0 {
			w.end(t, w.open[0], true)
		}
		w.lookUntilDone(t)
		require.ElementsMatch(t, w.committed, w.given)
	})
}

// world is the outbox with shops' transactions, and what the feed has given.
type world struct {
	ctx  context.Context //nolint:containedctx // rapid's actions take none
	pool *pgxpool.Pool
	conn *pgx.Conn
	feed *feed
	open []*writer

	committed []int64
	given     []int64
	orderOf   map[int64]string
	last      map[string]int64 // the last row given of each order
	passed    map[string]bool  // orders of which somebody held a row: the others pass it
	names     int
	held      map[int64]pgx.Tx
}

// writer is a shop's transaction. An order is written by one at a time, as a shop's own row locks see to.
type writer struct {
	tx     pgx.Tx
	name   string // when prepared
	ids    []int64
	orders map[string]bool
}

func newWorld(t *rapid.T, pool *pgxpool.Pool, limit int) *world {
	ctx := context.Background()
	_, err := pool.Exec(ctx, "DELETE FROM commerce_outbox")
	require.NoError(t, err)
	w := &world{ctx: ctx, pool: pool, orderOf: map[int64]string{}, last: map[string]int64{}, passed: map[string]bool{}, held: map[int64]pgx.Tx{}}
	w.conn, err = pgx.ConnectConfig(ctx, pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	w.feed, err = newFeed(ctx, w.conn, limit)
	require.NoError(t, err)
	return w
}

func (w *world) begin(t *rapid.T) {
	if len(w.open) == 6 {
		return
	}
	tx, err := w.pool.Begin(w.ctx)
	require.NoError(t, err)
	w.open = append(w.open, &writer{tx: tx, orders: map[string]bool{}})
}

// pick is a writer that can still write, or nil: then the step does not apply.
func (w *world) pick(t *rapid.T, prepared bool) *writer {
	able := slices.DeleteFunc(slices.Clone(w.open), func(o *writer) bool { return o.name != "" && !prepared })
	if len(able) == 0 {
		return nil
	}
	return able[rapid.IntRange(0, len(able)-1).Draw(t, "writer")]
}

func (w *world) insert(t *rapid.T, tx pgx.Tx, source string) (id int64) {
	err := tx.QueryRow(w.ctx, `INSERT INTO commerce_outbox (source, payload) VALUES ($1, '{}') RETURNING id`, source).Scan(&id)
	require.NoError(t, err)
	return id
}

func (w *world) write(t *rapid.T) {
	if o := w.pick(t, false); o != nil {
		w.writeOne(t, o, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "shop"))
	}
}

func (w *world) bulk(t *rapid.T) {
	if o := w.pick(t, false); o != nil {
		shop := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "shop")
		for range rapid.IntRange(2, 9).Draw(t, "rows") {
			w.writeOne(t, o, shop)
		}
	}
}

func (w *world) writeOne(t *rapid.T, o *writer, shop string) {
	order := fmt.Sprintf("%s-%d", shop, rapid.IntRange(1, 4).Draw(t, "order"))
	for _, other := range w.open {
		if other != o && other.orders[order] {
			return // the shop would wait
		}
	}
	id := w.insert(t, o.tx, shop)
	o.orders[order], w.orderOf[id] = true, order
	o.ids = append(o.ids, id)
}

func (w *world) savepoint(t *rapid.T) {
	if o := w.pick(t, false); o != nil {
		nested, err := o.tx.Begin(w.ctx)
		require.NoError(t, err)
		w.insert(t, nested, "a")
		require.NoError(t, nested.Rollback(w.ctx))
	}
}

func (w *world) prepare(t *rapid.T) {
	if o := w.pick(t, false); o != nil {
		w.names++
		name := fmt.Sprintf("d%d-%p", w.names, o)
		_, err := o.tx.Exec(w.ctx, "PREPARE TRANSACTION '"+name+"'")
		require.NoError(t, err)
		_ = o.tx.Rollback(w.ctx) // gives the connection back
		o.name = name
	}
}

func (w *world) commit(t *rapid.T) {
	if o := w.pick(t, true); o != nil {
		w.end(t, o, true)
	}
}

func (w *world) rollback(t *rapid.T) {
	if o := w.pick(t, true); o != nil {
		w.end(t, o, false)
	}
}

func (w *world) end(t *rapid.T, o *writer, commit bool) {
	word := map[bool]string{true: "COMMIT", false: "ROLLBACK"}[commit]
	switch {
	case o.name != "":
		_, err := w.pool.Exec(w.ctx, word+" PREPARED '"+o.name+"'")
		require.NoError(t, err)
	case commit:
		require.NoError(t, o.tx.Commit(w.ctx))
	default:
		require.NoError(t, o.tx.Rollback(w.ctx))
	}
	if commit {
		w.committed = append(w.committed, o.ids...)
	}
	w.open = slices.DeleteFunc(w.open, func(other *writer) bool { return other == o })
}

// hold locks a committed row that was not given yet, as an operator might; at most one at a time.
func (w *world) hold(t *rapid.T) {
	left := slices.DeleteFunc(slices.Clone(w.committed), func(id int64) bool { return slices.Contains(w.given, id) })
	if len(left) == 0 || len(w.held) > 0 {
		w.release(t)
		return
	}
	id := rapid.SampledFrom(left).Draw(t, "held")
	tx, err := w.pool.Begin(w.ctx)
	require.NoError(t, err)
	_, err = tx.Exec(w.ctx, `SELECT FROM commerce_outbox WHERE id = $1 FOR UPDATE`, id)
	require.NoError(t, err)
	w.held[id] = tx
}

func (w *world) release(t *rapid.T) {
	for id, tx := range w.held {
		require.NoError(t, tx.Rollback(w.ctx))
		delete(w.held, id)
	}
}

// scan takes what one look gives, and takes it from the table.
func (w *world) look(t *rapid.T) {
	w.lookOnce(t)
	if rapid.IntRange(0, 3).Draw(t, "sweep") == 0 {
		_, _, overlooked, err := w.feed.sweep(w.ctx)
		require.NoError(t, err)
		require.Empty(t, overlooked)
	}
}

func (w *world) lookOnce(t *rapid.T) (more bool) {
	rows, more, err := w.feed.next(w.ctx)
	require.NoError(t, err)
	var taken, held []int64
	for i, r := range rows {
		require.True(t, i == 0 || rows[i-1].id < r.id, "in the order of ids: %v", rows)
		if w.held[r.id] != nil {
			held = append(held, r.id)
			w.passed[w.orderOf[r.id]] = true
			continue
		}
		order := w.orderOf[r.id]
		require.True(t, w.passed[order] || w.last[order] < r.id, "order %s: row %d came after row %d", order, r.id, w.last[order])
		w.last[order] = max(w.last[order], r.id)
		taken = append(taken, r.id)
	}
	w.feed.returned(held)
	_, err = w.pool.Exec(w.ctx, `DELETE FROM commerce_outbox WHERE id = ANY($1)`, taken)
	require.NoError(t, err)
	w.given = append(w.given, taken...)
	return more
}

// lookUntilDone: when a look says that there is no more, everything that had committed before it has been given.
func (w *world) lookUntilDone(t *rapid.T) {
	w.release(t)
	for w.lookOnce(t) {
		require.LessOrEqual(t, len(w.given), len(w.committed))
	}
}

func (w *world) abandon() {
	for _, o := range w.open {
		if o.name != "" {
			_, _ = w.pool.Exec(w.ctx, "ROLLBACK PREPARED '"+o.name+"'")
			continue
		}
		_ = o.tx.Rollback(w.ctx)
	}
	for _, tx := range w.held {
		_ = tx.Rollback(w.ctx)
	}
	_ = w.conn.Close(w.ctx)
}

// Rows that came without ids and xids of their own, as from a restore, are found by the next sweep.
func TestSweepFindsWhatTheMarksPassedOver(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), testkit.Postgres(t).Pool
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	f, err := newFeed(ctx, conn, 10)
	require.NoError(t, err)
	insert := func(columns, values string) {
		_, err := pool.Exec(ctx, `INSERT INTO commerce_outbox (`+columns+`source, payload) OVERRIDING SYSTEM VALUE VALUES (`+values+`'default', '{}')`)
		require.NoError(t, err)
	}
	ids := func() (out []int64) {
		rows, _, err := f.next(ctx)
		require.NoError(t, err)
		for _, r := range rows {
			out = append(out, r.id)
		}
		_, err = pool.Exec(ctx, `DELETE FROM commerce_outbox WHERE id = ANY($1)`, out)
		require.NoError(t, err)
		return out
	}
	insert("", "")
	require.Equal(t, []int64{1}, ids())
	insert("xact, id, ", "'3', -5, ")
	require.Empty(t, ids())
	waiting, oldest, overlooked, err := f.sweep(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, waiting)
	require.NotNil(t, oldest)
	require.Equal(t, []int64{-5}, overlooked)
	require.Equal(t, []int64{-5}, ids())
}
