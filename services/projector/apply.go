package projector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// entry is one record that was polled: a fact, a dead letter, or something that cannot be applied.
type entry struct {
	at         kafka.TopicPartition
	record     *kgo.Record
	fact       fact
	deadLetter *deadletter.Letter // not nil: the record is a dead letter
	refused    error              // not nil: why the record cannot be applied
	kept       bool               // its dead letter is written
}

// entriesOf reads the records, each for itself: one that nobody can read takes no other with it.
func entriesOf(cfg kafka.Config, fetches kgo.Fetches) []*entry {
	var entries []*entry
	fetches.EachRecord(func(r *kgo.Record) {
		view := cfg.Event(r)
		e := &entry{at: kafka.TopicPartition{Topic: view.Topic, Partition: r.Partition}, record: r}
		if e.at.Topic == event.TopicDeadLetter {
			e.deadLetter = new(deadletter.Read(cfg, r))
		} else {
			e.fact, e.refused = read(e.at, r.Offset, view)
		}
		entries = append(entries, e)
	})
	return entries
}

// apply folds the entries into the tables and moves the positions. When the database refuses the content of one of them,
// apply finds that one by halving the batch, and keeps it as a dead letter: it must not hold up the others.
func (p *Projector) apply(ctx context.Context, client *kgo.Client, positions map[kafka.TopicPartition]int64, entries []*entry) error {
	if len(entries) == 0 {
		return nil
	}
	err := p.applyOnce(ctx, client, positions, entries)
	switch {
	case !refusesContent(err):
		return err
	case len(entries) == 1:
		entries[0].refused = err
		return p.applyOnce(ctx, client, positions, entries)
	}
	middle := len(entries) / 2
	if err := p.apply(ctx, client, positions, entries[:middle]); err != nil {
		return err
	}
	return p.apply(ctx, client, positions, entries[middle:])
}

const uniqueViolation = "23505"

// refusesContent reports whether the database refused the content of a batch, and would refuse it again: data that no
// column can hold (class 22), an unknown status, a second sync of one order.
func refusesContent(err error) bool {
	const checkViolation = "23514"
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (strings.HasPrefix(pgErr.Code, "22") || pgErr.Code == uniqueViolation || pgErr.Code == checkViolation)
}

// applyOnce applies the entries in one transaction. Entries that are refused only move the positions.
func (p *Projector) applyOnce(ctx context.Context, client *kgo.Client, positions map[kafka.TopicPartition]int64, entries []*entry) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	b := batch{before: map[kafka.TopicPartition]int64{}, after: map[kafka.TopicPartition]int64{}, facts: make([]fact, 0, len(entries))}
	for _, e := range entries {
		b.before[e.at], b.after[e.at] = positions[e.at], e.record.Offset+1
		switch {
		case e.refused != nil:
		case e.deadLetter != nil:
			b.deadLetters = append(b.deadLetters, *e.deadLetter)
		default:
			b.facts = append(b.facts, e.fact)
		}
	}
	if p.store.into == live { // a shadow reads again records that have their dead letters already
		// The dead letters come first: a crash before the positions move repeats them, and loses none.
		if err := p.keepRefused(ctx, client, entries); err != nil {
			return err
		}
	}
	if err := p.store.apply(ctx, b); err != nil {
		return err
	}
	maps.Copy(positions, b.after)
	p.log.Debug("facts applied", "records", len(entries), "refused", len(entries)-len(b.facts)-len(b.deadLetters))
	if len(b.deadLetters) > 0 && p.store.into == live {
		return p.judgeDeadLetters(ctx)
	}
	return nil
}

// keepRefused writes the dead letters of the entries that cannot be applied. It makes none of a dead letter: that would
// have no end, as the projector reads its own.
func (p *Projector) keepRefused(ctx context.Context, client *kgo.Client, entries []*entry) error {
	var records []*kgo.Record
	var refused []*entry
	for _, e := range entries {
		if e.refused == nil || e.kept || e.deadLetter != nil {
			continue
		}
		p.log.Error("record cannot be applied; it goes to the dead letters", "topic", e.record.Topic, "partition", e.record.Partition,
			"offset", e.record.Offset)
		cause := deadletter.Cause{By: deadletter.ByProjector, Reason: e.refused.Error()}
		records, refused = append(records, deadletter.Record(p.cfg, e.record, cause)), append(refused, e)
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("writing dead letters: %w", err)
	}
	for _, e := range refused { // a further try of the same batch writes them no second time
		e.kept = true
	}
	return nil
}
