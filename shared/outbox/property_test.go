package outbox_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// TestReaderGivesExactlyTheCommittedRows lets writers begin, write, roll back to savepoints, prepare, commit and roll back
// in any order between the reader's steps, lets the sequence jump as it does on a new server, and lets another reader go
// on where the first one is. Whatever is open, all that is committed comes, each row once, those of one key in the order
// in which they were committed: a writer keeps its keys to itself, as accept does by the gate's lock.
func TestReaderGivesExactlyTheCommittedRows(t *testing.T) {
	t.Parallel()
	pool := database(t)
	rapid.Check(t, func(t *rapid.T) {
		last, err := outbox.LastID(context.Background(), pool)
		require.NoError(t, err)
		limits := outbox.Limits{Rows: rapid.IntRange(1, 5).Draw(t, "rows")}
		w := &world{ctx: context.Background(), pool: pool, limits: limits, at: outbox.Cursor{After: last}, keys: map[string]*writer{}, given: map[string][]int64{}, kept: map[string][]int64{}}
		w.reread(t)
		defer w.abandon()
		t.Repeat(map[string]func(*rapid.T){
			"begin": w.begin, "write": w.write, "savepoint": w.savepoint, "end": w.end, "prepare": w.prepare, "jump": w.jump, "read": w.read, "reread": w.reread,
		})
		w.finish(t)
	})
}

// world is the outbox with its writers, each with its own name, and the rows that the reader has returned.
type world struct {
	ctx    context.Context //nolint:containedctx // rapid's actions take none
	pool   *pgxpool.Pool
	limits outbox.Limits
	reader *outbox.Reader
	at     outbox.Cursor
	given  map[string][]int64 // by key, in the order in which they came
	kept   map[string][]int64 // committed
	keys   map[string]*writer // that writes rows of this key
	names  int
	open   []*writer
}

type writer struct {
	tx   pgx.Tx
	name string // when prepared
	rows []row
}

type row struct {
	key string
	id  int64
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
func (w *world) insert(t *rapid.T, tx pgx.Tx, key string) int64 {
	w.names++
	require.NoError(t, outbox.Publish(w.ctx, tx, []event.Record{record("a", key, fmt.Sprint(w.names))}))
	var id int64
	require.NoError(t, tx.QueryRow(w.ctx, "SELECT currval('erp_outbox_id_seq')").Scan(&id))
	return id
}

func (w *world) write(t *rapid.T) {
	o := w.pick(t, false)
	if o == nil {
		return
	}
	key := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "key")
	if w.keys[key] != nil && w.keys[key] != o {
		return // it would wait for the lock
	}
	w.keys[key] = o
	o.rows = append(o.rows, row{key, w.insert(t, o.tx, key)})
}

// savepoint writes a row and rolls it back, which also releases a lock that was taken for it.
func (w *world) savepoint(t *rapid.T) {
	o := w.pick(t, false)
	if o == nil {
		return
	}
	nested, err := o.tx.Begin(w.ctx)
	require.NoError(t, err)
	w.insert(t, nested, "never")
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
		for _, r := range o.rows {
			w.kept[r.key] = append(w.kept[r.key], r.id)
		}
	}
	maps.DeleteFunc(w.keys, func(_ string, holder *writer) bool { return holder == o })
	w.open = slices.DeleteFunc(w.open, func(other *writer) bool { return other == o })
}

// reread lets another reader go on.
func (w *world) reread(*rapid.T) { w.reader = outbox.NewReader(w.pool, w.limits) }

// read reads until nothing comes any more. Then everything that is committed has come.
func (w *world) read(t *rapid.T) {
	for {
		batch, err := w.reader.Next(w.ctx, w.at)
		require.NoError(t, err)
		require.LessOrEqual(t, len(batch.Rows), w.limits.Rows)
		require.False(t, batch.Blocked)
		for _, r := range batch.Rows {
			require.True(t, r.ID > w.at.After || w.at.Open.Has(r.ID))
			key := string(r.Key)
			w.given[key] = append(w.given[key], r.ID)
		}
		w.at = batch.Next
		if len(batch.Rows) == 0 {
			break
		}
	}
	require.Equal(t, w.kept, w.given)
}

// finish ends all writers. No gap outlives them for long.
func (w *world) finish(t *rapid.T) {
	for len(w.open) > 0 {
		w.end(t)
	}
	for range 3 {
		w.read(t)
	}
	require.Empty(t, w.at.Open)
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
