package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

const verifyTable = "vendor_erp_sync_verify"

// Difference is one column of one row in which the log and the live table differ, or a row that only one of them has. It is
// about the timeline when Line is not empty, and about vendor_erp_sync otherwise.
type Difference struct {
	Line             string // where the line's fact stands: vendor_erp_sync_success/3@17; it has no source and no order
	Source           string
	OrderIncrementID string
	SyncID           int64
	OnlyIn           string // "live" or "log": the other has no such row, and there is no column to name
	Column           string
	Live, Log        string // the values; of texts that may hold personal data only the length
}

// Verdict is what a comparison came to.
type Verdict struct {
	Offsets     int64 // of the log, folded from its start
	Rows        int64 // in either
	Differing   int64 // in both, yet not the same
	OnlyInLive  int64
	OnlyInLog   int64
	Timeline    Lines
	DeadLetters Lines // of the table of dead letters
}

// Equal reports whether there was no difference.
func (v Verdict) Equal() bool {
	return v.Differing+v.OnlyInLive+v.OnlyInLog+v.Timeline.mismatches()+v.DeadLetters.mismatches() == 0
}

// Verify compares the live projection with the log. It folds the log from its start into a table of its own, and compares
// that with vendor_erp_sync, row by row. Both are of one moment: the rows and positions of one snapshot of the database, and
// the records before these positions. It compares the timeline with the records too, line by line. The live projection goes
// on meanwhile.
//
// Each difference is given to found: those of the timeline while the log is read, then those of rows in the order of sync
// ids. Memory does not grow with the log or the tables.
func Verify(ctx context.Context, cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger, onProgress func(Progress), found func(Difference)) (v Verdict, err error) {
	release, ok, err := postgres.TryLease(ctx, pool, verifyTable)
	if err != nil {
		return v, err
	}
	if !ok {
		return v, errors.New("another verify is at work on this database: wait until it has ended")
	}
	defer release()
	s := newShadow(cfg, pool, log, verifyTable, onProgress, &timelineCheck{found: found})
	if err := s.drop(ctx); err != nil { // what a verify that was killed has left
		return v, err
	}
	if err := s.create(ctx, "UNLOGGED"); err != nil {
		return v, err
	}
	defer func() {
		if failed := s.drop(context.WithoutCancel(ctx)); failed != nil { // what was found counts all the same
			log.Warn("verify leaves a table; the next verify drops it", "table", verifyTable, "error", failed)
		}
	}()
	if err := s.approach(ctx); err != nil {
		return v, err
	}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		v, err = s.compareAtSnapshot(ctx, tx, found)
		return err
	})
	return v, err
}

// compareAtSnapshot folds up to the positions that the transaction sees, and compares with the rows that it sees.
func (s *shadow) compareAtSnapshot(ctx context.Context, tx pgx.Tx, found func(Difference)) (v Verdict, err error) {
	if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return v, err
	}
	snapshot, err := s.live.positions(ctx, tx)
	if err != nil {
		return v, err
	}
	if err := s.foldTo(ctx, snapshot); err != nil {
		return v, err
	}
	v.Offsets = sum(snapshot)
	if err := s.store.check.beyondSnapshot(ctx, tx); err != nil {
		return v, err
	}
	if err := s.store.check.deadLettersBeyond(ctx, tx, snapshot); err != nil {
		return v, err
	}
	v.Timeline, v.DeadLetters = s.store.check.lines, s.store.check.deadLetters
	inLive, err := rowsOf(ctx, tx, live.rows)
	if err != nil {
		return v, err
	}
	defer inLive.rows.Close()
	inLog, err := rowsOf(ctx, s.store.pool, s.store.into.rows) // not the transaction: its snapshot is older than these
	if err != nil {
		return v, err
	}
	defer inLog.rows.Close()
	return v, v.compare(inLive, inLog, found)
}

// compare merges two tables, both in the order of sync ids, and gives each difference to found.
func (v *Verdict) compare(inLive, inLog *cursor, found func(Difference)) error {
	for inLive.row != nil || inLog.row != nil {
		v.Rows++
		l, r := inLive.row, inLog.row
		switch {
		case r == nil || (l != nil && l.SyncID < r.SyncID):
			v.OnlyInLive++
			d := l.difference()
			d.OnlyIn = "live"
			found(d)
			r = nil
		case l == nil || r.SyncID < l.SyncID:
			v.OnlyInLog++
			d := r.difference()
			d.OnlyIn = "log"
			found(d)
			l = nil
		default:
			differences := l.differences(r)
			if len(differences) > 0 {
				v.Differing++
			}
			for _, d := range differences {
				found(d)
			}
		}
		if l != nil {
			if err := inLive.next(); err != nil {
				return err
			}
		}
		if r != nil {
			if err := inLog.next(); err != nil {
				return err
			}
		}
	}
	return nil
}

// cursor is a table's rows in the order of sync ids, one at a time; row is nil after the last.
type cursor struct {
	rows pgx.Rows
	row  *row
}

// rowsOf opens a cursor on a table.
func rowsOf(ctx context.Context, q querier, table string) (*cursor, error) {
	rows, err := q.Query(ctx, `SELECT * FROM `+table+` ORDER BY sync_id`)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", table, err)
	}
	c := &cursor{rows: rows}
	return c, c.next()
}

// next moves to the next row.
func (c *cursor) next() (err error) {
	if !c.rows.Next() {
		c.row = nil
		return c.rows.Err()
	}
	c.row, err = pgx.RowToAddrOfStructByName[row](c.rows)
	return err
}

// difference names the row, for all the columns in which it differs.
func (r *row) difference() Difference {
	return Difference{Source: r.Source, OrderIncrementID: r.OrderIncrementID, SyncID: r.SyncID}
}

// differences are the columns in which a live row is not as the log's.
func (r *row) differences(inLog *row) []Difference { return differing(r, inLog, r.difference()) }

// differing lists the columns in which two structs of one type differ. Each difference is a copy of as, with the column. It goes by
// the fields, so that a column that is added later is compared without anybody thinking of it.
func differing[T any](inLive, inLog *T, as Difference) (out []Difference) {
	a, b := reflect.ValueOf(inLive).Elem(), reflect.ValueOf(inLog).Elem()
	for i := range a.NumField() {
		if equal(a.Field(i), b.Field(i)) {
			continue
		}
		x, y := value(a.Field(i)), value(b.Field(i))
		d := as
		d.Column, d.Live, d.Log = a.Type().Field(i).Tag.Get("db"), show(x), show(y)
		switch d.Column {
		case "payload", "response", "last_error", "error", "reason": // may hold personal data
			d.Live, d.Log = length(x), length(y)
		}
		out = append(out, d)
	}
	return out
}

// equal compares two values of a column. Two time.Time of one moment may differ by their zone, and two pointers to one text do: both would
// be differences that nobody can see.
func equal(a, b reflect.Value) bool {
	if a.Kind() == reflect.Pointer {
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		a, b = a.Elem(), b.Elem()
	}
	if t, ok := reflect.TypeAssert[time.Time](a); ok {
		other, _ := reflect.TypeAssert[time.Time](b)
		return t.Equal(other)
	}
	return a.Equal(b)
}

// value is a column's value; nil is null.
func value(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if t, ok := v.Interface().(time.Time); ok {
		return t.UTC().Format(time.RFC3339Nano)
	}
	if v.Kind() == reflect.String {
		return v.String()
	}
	return v.Interface()
}

// show is a value as a person reads it.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}

// length stands for a text that may hold personal data.
func length(v any) string {
	if text, ok := v.(string); ok {
		return fmt.Sprintf("%d bytes", len(text))
	}
	return "null"
}
