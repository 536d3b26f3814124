package projector

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
)

// deadLetters is the one partition of the dead-letter topic.
var deadLetters = kafka.TopicPartition{Topic: event.TopicDeadLetter}

// judgeDeadLetters stops the orders whose record has become a dead letter. It runs after the batch's transaction, as it writes
// to the outbox. What a crash leaves out is done by the next catch-up, as the table says what is not judged.
func (p *Projector) judgeDeadLetters(ctx context.Context) error {
	stopped, left, err := orders.JudgeDeadLetters(ctx, p.store.pool, p.now)
	for _, s := range stopped {
		p.log.Error("order stopped: its record is among the dead letters", "order_increment_id", s.Sync.OrderIncrementID, "source", s.Sync.Source,
			"sync_id", s.Sync.SyncID, "generation", s.Sync.Generation, "dead_letter", s.DeadLetter.ID)
	}
	p.store.skipped = p.store.skipped || left
	return err
}

// checkDeadLetters compares the table of dead letters with those in the batch's stretch of their topic. Of two dead letters
// that one consumer wrote of one record the table keeps the first only.
func (c *timelineCheck) checkDeadLetters(ctx context.Context, tx pgx.Tx, b batch, out *compared) error {
	next, read := b.after[deadLetters]
	if !read {
		return nil
	}
	rows, err := deadletter.Between(ctx, tx, b.before[deadLetters], next)
	if err != nil {
		return err
	}
	inTable := map[int64]deadletter.Letter{}
	for _, l := range rows {
		inTable[l.ID] = l
	}
	var missing []deadletter.Letter
	for _, l := range b.deadLetters {
		live, known := inTable[l.ID]
		delete(inTable, l.ID)
		if !known {
			missing = append(missing, l)
			continue
		}
		out.deadLetters.Compared++
		if differences := differing(&live, &l, Difference{Line: whereDeadLetter(l.ID)}); len(differences) > 0 {
			out.deadLetters.Differing++
			out.differences, out.missingDeadLetters = append(out.differences, differences...), append(out.missingDeadLetters, l)
		}
	}
	for id := range inTable {
		out.onlyInLiveDeadLetter(id)
	}
	if missing, err = deadletter.WithoutKnown(ctx, tx, missing); err != nil {
		return err
	}
	for _, l := range missing {
		out.deadLetters.Compared++
		out.deadLetters.OnlyInLog++
		out.differences = append(out.differences, Difference{Line: whereDeadLetter(l.ID), OnlyIn: "log"})
	}
	out.missingDeadLetters = append(out.missingDeadLetters, missing...)
	return nil
}

// whereDeadLetter is the place of a dead letter: its id is its offset, as the topic has one partition.
func whereDeadLetter(id int64) string { return fmt.Sprintf("%s/0@%d", event.TopicDeadLetter, id) }

// onlyInLiveDeadLetter counts a dead letter that the table has and the topic has not.
func (c *compared) onlyInLiveDeadLetter(id int64) {
	c.deadLetters.Compared++
	c.deadLetters.OnlyInLive++
	c.differences = append(c.differences, Difference{Line: whereDeadLetter(id), OnlyIn: "live"})
}

// deadLettersBeyond reports the dead letters that the table has from behind the live position: the live projection cannot
// have read them.
func (c *timelineCheck) deadLettersBeyond(ctx context.Context, tx pgx.Tx, snapshot map[kafka.TopicPartition]int64) error {
	beyond, err := deadletter.Between(ctx, tx, snapshot[deadLetters], math.MaxInt64)
	if err != nil {
		return err
	}
	var found compared
	for _, l := range beyond {
		found.onlyInLiveDeadLetter(l.ID)
	}
	c.onProgress(found)
	return nil
}
