// Package timeline reads the facts of one order, as the projector keeps them, with the place of each in the log.
package timeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// ErrUnknown means that no sync of the order was ever requested.
var ErrUnknown = errors.New("no sync of the order was ever requested")

const queryTimeout = 10 * time.Second

// Fact is one record of the log about an order's sync. The topic is without the prefix.
type Fact struct {
	OccurredAt time.Time
	Version    domain.Version
	Topic      string
	Partition  int32
	Offset     int64
	Type       string
	Status     domain.Status
	Attempts   int
	HTTPStatus *int
	ErrorCode  *string
	Error      *string
	Cause      *string
	Warnings   []string // of a request: what may be wrong with the order
	NotSent    []string // of a request: what of the order the ERP is not sent, and why
}

// Place is where a record stands in the log. The topic is without the prefix.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Holds reports whether a fact of the sync stands at a place.
func Holds(ctx context.Context, q postgres.Querier, syncID int64, p Place) (holds bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM vendor_erp_sync_event WHERE topic = $1 AND partition = $2 AND "offset" = $3 AND sync_id = $4)`,
		p.Topic, p.Partition, p.Offset, syncID).Scan(&holds)
	if err != nil {
		return false, fmt.Errorf("looking for %s/%d@%d on the timeline of sync %d: %w", p.Topic, p.Partition, p.Offset, syncID, err)
	}
	return holds, nil
}

// Page is a part of an order's timeline, the oldest fact first.
type Page struct {
	SyncID   int64
	Facts    []Fact
	Next     *Cursor   // nil: this is the last page so far
	KeptFrom time.Time // facts of before may have been deleted (timeline_retention); zero: none was
}

// Cursor is the place of a page's last fact in the order of the timeline. The zero value is before the first fact.
type Cursor struct {
	micros    int64
	version   int64
	topic     string
	partition int32
	offset    int64
}

func cursorOf(f Fact) *Cursor {
	return &Cursor{f.OccurredAt.UnixMicro(), int64(f.Version), f.Topic, f.Partition, f.Offset}
}

// String returns the cursor in the form that ParseCursor reads.
func (c Cursor) String() string {
	return fmt.Sprintf("%d.%d.%s.%d.%d", c.micros, c.version, c.topic, c.partition, c.offset)
}

// ParseCursor reads a cursor of an earlier page. It comes from outside: what Postgres could not compare is refused here.
func ParseCursor(text string) (Cursor, error) {
	wrong := errors.New("is no cursor; give the next of an earlier page, or leave it out to begin with the oldest")
	parts := strings.Split(text, ".")
	if len(parts) != 5 || strings.Trim(parts[2], "abcdefghijklmnopqrstuvwxyz_") != "" {
		return Cursor{}, wrong
	}
	micros, err := strconv.ParseInt(parts[0], 10, 64)
	version, err2 := strconv.ParseInt(parts[1], 10, 64)
	partition, err3 := strconv.ParseInt(parts[3], 10, 32)
	offset, err4 := strconv.ParseInt(parts[4], 10, 64)
	if errors.Join(err, err2, err3, err4) != nil || micros < 0 || micros > time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() {
		return Cursor{}, wrong
	}
	return Cursor{micros, version, parts[2], int32(partition), offset}, nil
}

// Read returns at most limit facts after the cursor, in the order in which they occurred. Facts of one moment are ordered by
// their versions: before the call, its answer, the end. It returns ErrUnknown for an order that nobody asked to sync.
func Read(ctx context.Context, pool *pgxpool.Pool, ref domain.OrderRef, after Cursor, limit int) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var p Page
	err := pool.QueryRow(ctx, `SELECT sync_id FROM erp_sync_gate WHERE order_key = $1 AND sync_id IS NOT NULL`, ref.Key()).Scan(&p.SyncID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return p, ErrUnknown
	case err != nil:
		return p, fmt.Errorf("reading the gate of order %s: %w", ref.Key(), err)
	}
	// The place in the log ends the order, so that no two facts are equal. One row more than the limit shows whether there is a
	// next page.
	rows, err := pool.Query(ctx, `
		SELECT occurred_at, version, topic, partition, "offset", type, status, attempts, http_status,
			nullif(error_code, ''), error, nullif(cause, ''), string_to_array(warnings, E'\n'), string_to_array(not_sent, E'\n')
		FROM vendor_erp_sync_event
		WHERE sync_id = $1 AND (occurred_at, version, topic, partition, "offset") > ($2, $3, $4, $5, $6)
		ORDER BY occurred_at, version, topic, partition, "offset" LIMIT $7`,
		p.SyncID, time.UnixMicro(after.micros).UTC(), after.version, after.topic, after.partition, after.offset, limit+1)
	if err == nil {
		p.Facts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Fact])
	}
	if err != nil {
		return p, fmt.Errorf("reading the timeline of order %s: %w", ref.Key(), err)
	}
	if p.KeptFrom, err = Floor(ctx, pool); err != nil {
		return p, err
	}
	if len(p.Facts) > limit {
		p.Facts = p.Facts[:limit]
		p.Next = cursorOf(p.Facts[limit-1])
	}
	return p, nil
}
