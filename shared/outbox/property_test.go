package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// TestReaderGivesExactlyTheCommittedRowsInOrder lets writers begin, write, roll back to savepoints, prepare, commit and
// roll back in any order between the reader's steps, and lets the sequence jump as it does on a new server.
func TestReaderGivesExactlyTheCommittedRowsInOrder(t *testing.T) {
	t.Parallel()
	pool := database(t)
	rapid.Check(t, func(t *rapid.T) {
		last, err := outbox.LastID(context.Background(), pool)
		require.NoError(t, err)
		limits := outbox.Limits{Rows: rapid.IntRange(1, 5).Draw(t, "rows")}
		w := &world{ctx: context.Background(), pool: pool, reader: outbox.NewReader(pool, limits), after: last}
		defer w.abandon()
		t.Repeat(map[string]func(*rapid.T){
			"begin": w.begin, "write": w.write, "savepoint": w.savepoint, "end": w.end, "prepare": w.prepare, "jump": w.jump, "read": w.read,
		})
		w.finish(t)
	})
}

// world is the outbox with its writers, each with its own name, and the rows that the reader has returned.
type world struct {
	ctx    context.Context //nolint:containedctx // rapid's actions take none
	pool   *pgxpool.Pool
	reader *outbox.Reader
	after  int64
	given  []int64
	kept   []int64
	names  int
	open   []*writer
}

type writer struct {
	tx   pgx.Tx
	name string // when prepared
	ids  []int64
}

const mostWriters = 6

func (w *world) begin(t *rapid.T) {
	if len(w.open) == mostWriters {
		return
	}
	tx, err := w.pool.Begin(w.ctx)
	require.NoError(t, err)
	w.open = append(w.open, &writer{tx: tx})
}

func (w *world) pick(t *rapid.T, prepared bool) *writer {
	var able []*writer
	for _, o := range w.open {
		if prepared || o.name == "" {
			able = append(able, o)
		}
	}
	if len(able) == 0 {
		return nil // the step does not apply
	}
	return able[rapid.IntRange(0, len(able)-1).Draw(t, "writer")]
}

// insert writes a row and returns its id.
func (w *world) insert(t *rapid.T, tx pgx.Tx) int64 {
	w.names++
	require.NoError(t, outbox.Publish(w.ctx, tx, []event.Record{record("a", "k", fmt.Sprint(w.names))}))
	var id int64
	require.NoError(t, tx.QueryRow(w.ctx, "SELECT currval('erp_outbox_id_seq')").Scan(&id))
	return id
}

func (w *world) write(t *rapid.T) {
	o := w.pick(t, false)
	if o == nil {
		return
	}
	o.ids = append(o.ids, w.insert(t, o.tx))
}

// savepoint writes a row and rolls it back, which also releases a lock that was taken for it.
func (w *world) savepoint(t *rapid.T) {
	o := w.pick(t, false)
	if o == nil {
		return
	}
	nested, err := o.tx.Begin(w.ctx)
	require.NoError(t, err)
	w.insert(t, nested)
	require.NoError(t, nested.Rollback(w.ctx))
}

func (w *world) prepare(t *rapid.T) {
	o := w.pick(t, false)
	if o == nil {
		return
	}
	name := fmt.Sprintf("w%d-%p", w.names, o)
	w.names++
	_, err := o.tx.Exec(w.ctx, "PREPARE TRANSACTION '"+name+"'")
	require.NoError(t, err)
	_ = o.tx.Rollback(w.ctx) // releases the connection
	o.name = name
}

// jump skips ids that are never allotted, while transactions with earlier ids may be open.
func (w *world) jump(t *rapid.T) {
	_, err := w.pool.Exec(w.ctx, `SELECT erp_new_epoch(0, 0)`)
	require.NoError(t, err)
}

func (w *world) end(t *rapid.T) {
	if o := w.pick(t, true); o != nil {
		w.conclude(t, o, rapid.Bool().Draw(t, "commit"))
	}
}

func (w *world) conclude(t require.TestingT, o *writer, commit bool) {
	var err error
	switch {
	case o.name != "" && commit:
		_, err = w.pool.Exec(w.ctx, "COMMIT PREPARED '"+o.name+"'")
	case o.name != "":
		_, err = w.pool.Exec(w.ctx, "ROLLBACK PREPARED '"+o.name+"'")
	case commit:
		err = o.tx.Commit(w.ctx)
	default:
		err = o.tx.Rollback(w.ctx)
	}
	require.NoError(t, err)
	if commit {
		w.kept = append(w.kept, o.ids...)
	}
	w.open = slices.DeleteFunc(w.open, func(other *writer) bool { return other == o })
}

// read takes one step. The reader may be blocked only while a writer is open.
func (w *world) read(t *rapid.T) {
	batch, err := w.reader.Next(w.ctx, w.after)
	require.NoError(t, err)
	for _, row := range batch.Rows {
		require.Greater(t, row.ID, w.after)
		w.after = row.ID
		w.given = append(w.given, row.ID)
	}
	writing := slices.ContainsFunc(w.open, func(o *writer) bool { return len(o.ids) > 0 })
	require.False(t, batch.Blocked && !writing, "blocked by nobody")
}

// finish ends all writers and reads what is left.
func (w *world) finish(t *rapid.T) {
	for len(w.open) > 0 {
		w.end(t)
	}
	for before := -1; before < len(w.given); {
		before = len(w.given)
		w.read(t)
	}
	slices.Sort(w.kept)
	require.Equal(t, w.kept, w.given)
}

// abandon rolls back what a failed run left open.
func (w *world) abandon() {
	for _, o := range w.open {
		if o.name != "" {
			_, _ = w.pool.Exec(w.ctx, "ROLLBACK PREPARED '"+o.name+"'")
		} else {
			_ = o.tx.Rollback(w.ctx)
		}
	}
}
