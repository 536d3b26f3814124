package projector

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// line is one line of the timeline, named as its columns.
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
	Warnings   string           `db:"warnings"` // one a line
	NotSent    string           `db:"not_sent"` // one a line
}

const lineColumns = `occurred_at, e.topic, e.partition, e."offset", sync_id, version, type, status, attempts, http_status,
	coalesce(error_code, '') AS error_code, error, coalesce(cause, '') AS cause,
	coalesce(warnings, '') AS warnings, coalesce(not_sent, '') AS not_sent`

func lineOf(f fact) line {
	cause := f.Sync.Cause
	if f.Sync.ClosedBy != "" {
		cause = string(f.Sync.ClosedBy)
	}
	return line{
		OccurredAt: f.Time, Topic: f.at.topic, Partition: f.at.partition, Offset: f.offset, SyncID: f.Sync.SyncID,
		Version: int64(f.Sync.Version), Type: f.at.topic, Status: f.Sync.Status, Attempts: f.Sync.Attempts,
		HTTPStatus: f.httpStatus, ErrorCode: f.Sync.ErrorCode, Error: f.Error, Cause: cause,
		Warnings: domain.KeepableText(strings.Join(f.warnings, "\n")), NotSent: domain.KeepableText(strings.Join(f.notSent, "\n")),
	}
}

// where is what names the line's fact in the log.
func (l line) where() string { return fmt.Sprintf("%s/%d@%d", l.Topic, l.Partition, l.Offset) }

func (l line) difference() Difference { return Difference{SyncID: l.SyncID, Line: l.where()} }

func writeTimeline(ctx context.Context, tx pgx.Tx, facts []fact) error {
	lines := make([]line, 0, len(facts))
	for _, f := range facts {
		lines = append(lines, lineOf(f))
	}
	return writeLines(ctx, tx, lines)
}

func writeLines(ctx context.Context, tx pgx.Tx, lines []line) error {
	names, from, arrays := columnsOf(lines)
	_, err := tx.Exec(ctx, `INSERT INTO vendor_erp_sync_event (`+names+`) SELECT * FROM `+from+` ON CONFLICT DO NOTHING`, arrays...)
	if err != nil {
		return fmt.Errorf("writing %d lines of the timeline: %w", len(lines), err)
	}
	return nil
}

// Lines is what the comparison of the timeline with the log came to.
type Lines struct {
	Compared   int64 // in either
	Differing  int64 // in both, yet not the same
	OnlyInLive int64
	OnlyInLog  int64
}

func (l *Lines) add(more Lines) {
	l.Compared += more.Compared
	l.Differing += more.Differing
	l.OnlyInLive += more.OnlyInLive
	l.OnlyInLog += more.OnlyInLog
}

// breaks is how many of them are not as the log says.
func (l Lines) breaks() int64 { return l.Differing + l.OnlyInLive + l.OnlyInLog }

// timelineCheck compares the timeline with the log while a shadow folds, a batch at a time: the lines of a stretch of the
// log below the live positions are all there and change no more.
type timelineCheck struct {
	mend  bool // write what is missing, and anew what differs; what the log does not hold stays
	found func(Difference)
	lines Lines

	deadLetters Lines // of the table of dead letters
}

// compared is what the check of one batch found.
type compared struct {
	lines       Lines
	differences []Difference
	missing     []line // as they must be
	wrong       []line // as they are, in the place of one of the missing

	letters        Lines
	missingLetters []deadletter.Letter // or wrong in the table; as they must be
}

// told keeps what was found once the batch is committed.
func (c *timelineCheck) onProgress(found compared) {
	c.lines.add(found.lines)
	c.deadLetters.add(found.letters)
	for _, d := range found.differences {
		c.found(d)
	}
}

// run compares the lines in the batch's stretch of the log with its facts.
func (c *timelineCheck) run(ctx context.Context, tx pgx.Tx, b batch) (compared, error) {
	type place struct {
		at     topicPartition
		offset int64
	}
	left := map[place]line{}
	for _, f := range b.facts {
		left[place{f.at, f.offset}] = lineOf(f)
	}
	var out compared
	err := eachLine(ctx, tx, stretch(b), func(l line) {
		out.lines.Compared++
		at := place{topicPartition{l.Topic, l.Partition}, l.Offset}
		want, known := left[at]
		if !known || !want.OccurredAt.Equal(l.OccurredAt) {
			out.onlyInLive(l)
			return
		}
		delete(left, at)
		differences := differing(l, want, l.difference())
		if len(differences) > 0 {
			out.lines.Differing++
			out.differences = append(out.differences, differences...)
			out.wrong, out.missing = append(out.wrong, l), append(out.missing, want)
		}
	})
	if err != nil {
		return out, err
	}
	for _, l := range slices.SortedFunc(maps.Values(left), func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	}) {
		out.lines.Compared++
		out.lines.OnlyInLog++
		d := l.difference()
		d.OnlyIn = "log"
		out.differences, out.missing = append(out.differences, d), append(out.missing, l)
	}
	if err := c.checkDeadLetters(ctx, tx, b, &out); err != nil {
		return out, err
	}
	if c.mend {
		err = out.mend(ctx, tx)
	}
	return out, err
}

func (c *compared) onlyInLive(l line) {
	c.lines.OnlyInLive++
	d := l.difference()
	d.OnlyIn = "live"
	c.differences = append(c.differences, d)
}

func (c *compared) mend(ctx context.Context, tx pgx.Tx) error {
	for _, l := range c.wrong {
		_, err := tx.Exec(ctx, `DELETE FROM vendor_erp_sync_event WHERE topic = $1 AND partition = $2 AND "offset" = $3 AND occurred_at = $4`,
			l.Topic, l.Partition, l.Offset, l.OccurredAt)
		if err != nil {
			return fmt.Errorf("taking %s off the timeline: %w", l.where(), err)
		}
	}
	if len(c.missing) > 0 {
		if err := writeLines(ctx, tx, c.missing); err != nil {
			return err
		}
	}
	return deadletter.Mend(ctx, tx, c.missingLetters)
}

// selection is a query for lines and its arguments.
type selection struct {
	query string
	args  []any
}

// stretch are the lines between the batch's positions.
func stretch(b batch) selection {
	topics, partitions, before, after := b.stretches()
	return selection{
		`SELECT ` + lineColumns + `
		FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS s (topic, partition, before, after)
		JOIN vendor_erp_sync_event e ON e.topic = s.topic AND e.partition = s.partition AND e."offset" >= before AND e."offset" < after`,
		[]any{topics, partitions, before, after},
	}
}

// beyond are the lines that stand behind the live positions, or in a partition that has none.
var beyond = selection{`SELECT ` + lineColumns + ` FROM vendor_erp_sync_event e
	WHERE NOT EXISTS (SELECT FROM projector_position p WHERE p.topic = e.topic AND p.partition = e.partition AND e."offset" < p.next_offset)`, nil}

func eachLine(ctx context.Context, tx pgx.Tx, s selection, use func(line)) error {
	rows, err := tx.Query(ctx, s.query, s.args...)
	if err == nil {
		defer rows.Close()
		for rows.Next() {
			l, err := pgx.RowToStructByName[line](rows)
			if err != nil {
				return err
			}
			use(l)
		}
		err = rows.Err()
	}
	if err != nil {
		return fmt.Errorf("reading the timeline: %w", err)
	}
	return nil
}

// beyondTheCut names the lines that no stretch of the log holds.
func (c *timelineCheck) beyondTheCut(ctx context.Context, tx pgx.Tx) error {
	// It reads the whole table, once: an index would be asked for each line.
	if _, err := tx.Exec(ctx, `SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on`); err != nil {
		return err
	}
	err := eachLine(ctx, tx, beyond, func(l line) {
		found := compared{lines: Lines{Compared: 1}}
		found.onlyInLive(l)
		c.onProgress(found)
	})
	if err == nil {
		_, err = tx.Exec(ctx, `SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off`)
	}
	return err
}
