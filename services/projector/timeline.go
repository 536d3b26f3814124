package projector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// line is one line of the timeline; the tags are its columns.
type line struct {
	OccurredAt time.Time        `db:"occurred_at"`
	Topic      string           `db:"topic"`
	Partition  int32            `db:"partition"`
	Offset     int64            `db:"offset"`
	SyncID     int64            `db:"sync_id"`
	Version    int64            `db:"version"`
	Type       string           `db:"type"`
	Status     domain.Status    `db:"status"`
	Attempts   int              `db:"attempts"`
	HTTPStatus *int             `db:"http_status"`
	ErrorCode  domain.ErrorCode `db:"error_code"`
	Error      *string          `db:"error"`
	Cause      string           `db:"cause"`
	Warnings   string           `db:"warnings"` // one warning a line
	NotSent    string           `db:"not_sent"` // one remark a line
}

// lineColumns are a line's, in the order of its fields.
const lineColumns = `occurred_at, e.topic, e.partition, e."offset", sync_id, version, type, status, attempts, http_status,
	coalesce(error_code, '') AS error_code, error, coalesce(cause, '') AS cause,
	coalesce(warnings, '') AS warnings, coalesce(not_sent, '') AS not_sent`

// fields are where lineColumns go.
func (l *line) fields() []any {
	return []any{
		&l.OccurredAt, &l.Topic, &l.Partition, &l.Offset, &l.SyncID, &l.Version, &l.Type, &l.Status, &l.Attempts, &l.HTTPStatus,
		&l.ErrorCode, &l.Error, &l.Cause, &l.Warnings, &l.NotSent,
	}
}

// lineOf is the line that a fact gets.
func lineOf(f fact) line {
	return line{
		OccurredAt: f.Time, Topic: f.at.Topic, Partition: f.at.Partition, Offset: f.offset, SyncID: f.Sync.SyncID,
		Version: int64(f.Sync.Version), Type: f.at.Topic, Status: f.Sync.Status, Attempts: f.Sync.Attempts,
		HTTPStatus: f.httpStatus, ErrorCode: f.Sync.ErrorCode, Error: f.Error, Cause: f.Sync.Why(),
		Warnings: domain.KeepableText(strings.Join(f.warnings, "\n")), NotSent: domain.KeepableText(strings.Join(f.notSent, "\n")),
	}
}

// where says where the line's fact stands in the log.
func (l line) where() string { return fmt.Sprintf("%s/%d@%d", l.Topic, l.Partition, l.Offset) }

// difference names the line by its place. A line has no order of its own: its sync's row may be missing too.
func (l line) difference() Difference { return Difference{SyncID: l.SyncID, Line: l.where()} }

// saysOnlyHand reports whether the line is of an order that an operator settled, as 0.1.0 wrote it: without who did, and why. That is no
// mismatch.
func (l line) saysOnlyHand(want line) bool {
	return l.Cause == string(domain.ClosedByHand) && strings.HasPrefix(want.Cause, string(domain.RequestSettle)+" ")
}

// writeTimeline adds the facts' lines. To look for each on the timeline costs Postgres a third more, and as the positions move with the
// lines, none is there. Where somebody has taken the positions away, the first that is there makes the transaction fail, and the next
// try (see postgres.InTx) looks for them.
func (s *store) writeTimeline(ctx context.Context, tx pgx.Tx, facts []fact) error {
	lines := make([]line, 0, len(facts))
	for _, f := range facts {
		lines = append(lines, lineOf(f))
	}
	if !s.known {
		_, err := addLines(ctx, tx, lines, ``)
		s.known = isKnown(err)
		return err
	}
	added, err := addLines(ctx, tx, lines, orKnown)
	s.known = added < len(lines)
	return err
}

// isKnown reports whether lines could not be added as one of them is there already.
func isKnown(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == uniqueViolation
}

const orKnown = `ON CONFLICT DO NOTHING`

// writeLines adds lines; those that are there already stay as they are.
func writeLines(ctx context.Context, tx pgx.Tx, lines []line) error {
	_, err := addLines(ctx, tx, lines, orKnown)
	return err
}

func addLines(ctx context.Context, tx pgx.Tx, lines []line, onConflict string) (added int, err error) {
	names, from, arrays := columnsOf(lines)
	tag, err := tx.Exec(ctx, `INSERT INTO vendor_erp_sync_event (`+names+`) SELECT * FROM `+from+` `+onConflict, arrays...)
	if err != nil {
		return 0, fmt.Errorf("writing %d lines of the timeline: %w", len(lines), err)
	}
	return int(tag.RowsAffected()), nil
}
