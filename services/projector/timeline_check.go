package projector

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

// Lines is what the comparison of the timeline with the log came to.
type Lines struct {
	Compared   int64 // in one of them, or in both
	Differing  int64 // in both, but not equal
	OnlyInLive int64
	OnlyInLog  int64
}

func (l *Lines) add(more Lines) {
	l.Compared += more.Compared
	l.Differing += more.Differing
	l.OnlyInLive += more.OnlyInLive
	l.OnlyInLog += more.OnlyInLog
}

// mismatches is how many lines are not as the log says.
func (l Lines) mismatches() int64 { return l.Differing + l.OnlyInLive + l.OnlyInLog }

// timelineCheck compares the timeline with the log while a shadow folds, a batch at a time. It need not lock anything: the lines
// of a stretch of the log below the live positions are all there, and never change. Old ones may be deleted, see timeline.Floor; a line
// that is missing is no mismatch then.
type timelineCheck struct {
	mend  bool // write the lines that are missing, and replace those that differ; lines that the log does not hold stay
	found func(Difference)
	lines Lines

	deadLetters Lines // of the table of dead letters
}

// compared is what the check of one batch found.
type compared struct {
	lines       Lines
	differences []Difference
	missing     []line // as they must be
	wrong       []line // as they are; each has its right form among the missing

	deadLetters        Lines
	missingDeadLetters []deadletter.Letter // or wrong in the table; in the form that they must have
}

// onProgress counts what was found, once the batch is committed. A batch that is tried again is not counted twice so.
func (c *timelineCheck) onProgress(found compared) {
	c.lines.add(found.lines)
	c.deadLetters.add(found.deadLetters)
	for _, d := range found.differences {
		c.found(d)
	}
}

// run compares the lines of the batch's stretch of the log with its facts.
func (c *timelineCheck) run(ctx context.Context, tx pgx.Tx, b batch) (compared, error) {
	type place struct {
		at     kafka.TopicPartition
		offset int64
	}
	left := map[place]line{}
	for _, f := range b.facts {
		left[place{f.at, f.offset}] = lineOf(f)
	}
	var out compared
	err := eachLine(ctx, tx, stretch(b), func(l line) {
		out.lines.Compared++
		at := place{kafka.TopicPartition{Topic: l.Topic, Partition: l.Partition}, l.Offset}
		want, known := left[at]
		if !known || !want.OccurredAt.Equal(l.OccurredAt) {
			out.onlyInLive(l)
			return
		}
		delete(left, at)
		if !c.mend && l.saysOnlyHand(want) {
			want.Cause = l.Cause
		}
		differences := differing(&l, &want, Difference{SyncID: l.SyncID})
		if len(differences) > 0 {
			out.lines.Differing++
			for i := range differences {
				differences[i].Line = l.where()
			}
			out.differences = append(out.differences, differences...)
			out.wrong, out.missing = append(out.wrong, l), append(out.missing, want)
		}
	})
	if err != nil {
		return out, err
	}
	floor, err := timeline.Floor(ctx, tx) // after the lines, which may be deleted meanwhile
	if err != nil {
		return out, err
	}
	for _, l := range slices.SortedFunc(maps.Values(left), func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	}) {
		if l.OccurredAt.Before(floor) {
			continue // deleted by timeline_retention
		}
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

// onlyInLive counts a line that the log does not hold.
func (c *compared) onlyInLive(l line) {
	c.lines.OnlyInLive++
	d := l.difference()
	d.OnlyIn = "live"
	c.differences = append(c.differences, d)
}

// mend writes the lines and the dead letters as the log has them.
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
	return deadletter.Mend(ctx, tx, c.missingDeadLetters)
}

// selection is a query for lines and its arguments.
type selection struct {
	query string
	args  []any
}

// stretch selects the lines of the stretch of the log that the batch came from.
func stretch(b batch) selection {
	topics, partitions, before, after := b.stretches()
	return selection{
		`SELECT ` + lineColumns + `
		FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS s (topic, partition, before, after)
		JOIN vendor_erp_sync_event e ON e.topic = s.topic AND e.partition = s.partition AND e."offset" >= before AND e."offset" < after`,
		[]any{topics, partitions, before, after},
	}
}

// beyond selects the lines from behind the live positions, or of a partition that has none.
var beyond = selection{`SELECT ` + lineColumns + ` FROM vendor_erp_sync_event e
	WHERE NOT EXISTS (SELECT FROM projector_position p WHERE p.topic = e.topic AND p.partition = e.partition AND e."offset" < p.next_offset)`, nil}

// eachLine gives the selected lines to use, one at a time.
func eachLine(ctx context.Context, tx pgx.Tx, s selection, use func(line)) error {
	rows, err := tx.Query(ctx, s.query, s.args...)
	if err == nil {
		defer rows.Close()
		for rows.Next() {
			var l line
			if err := rows.Scan(l.fields()...); err != nil {
				return fmt.Errorf("reading the timeline: %w", err)
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

// beyondSnapshot reports the lines that no stretch of the log holds.
func (c *timelineCheck) beyondSnapshot(ctx context.Context, tx pgx.Tx) error {
	// One pass over the whole table is cheaper than one look into an index for each line.
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
