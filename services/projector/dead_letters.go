package projector

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/orders"
)

// deadLetters is the dead-letter topic's one partition.
var deadLetters = topicPartition{topic: event.TopicDeadLetter}

// judgeDeadLetters stops the orders whose record has become a dead letter. It comes after the batch, as it writes to the outbox;
// what a crash has left out is found by the table.
func (p *Projector) judgeDeadLetters(ctx context.Context) error {
	stopped, left, err := orders.JudgeDeadLetters(ctx, p.store.pool, p.now)
	for _, s := range stopped {
		p.log.Error("order stopped: its record is among the dead letters", "order_increment_id", s.Sync.OrderIncrementID, "source", s.Sync.Source,
			"sync_id", s.Sync.SyncID, "generation", s.Sync.Generation, "dead_letter", s.DeadLetter.ID)
	}
	p.store.skipped = p.store.skipped || left
	return err
}

// checkDeadLetters compares the table of dead letters with those in the batch's stretch of their topic. Of two letters that one
// consumer wrote of one record the table keeps the first.
func (c *timelineCheck) checkDeadLetters(ctx context.Context, tx pgx.Tx, b batch, out *compared) error {
	next, read := b.after[deadLetters]
	if !read {
		return nil
	}
	kept, err := deadletter.Between(ctx, tx, b.before[deadLetters], next)
	if err != nil {
		return err
	}
	inTable := map[int64]deadletter.Letter{}
	for _, l := range kept {
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
		out.letters.Compared++
		if differences := differing(live, l, Difference{Line: whereDeadLetter(l.ID)}); len(differences) > 0 {
			out.letters.Differing++
			out.differences, out.missingLetters = append(out.differences, differences...), append(out.missingLetters, l)
		}
	}
	for id := range inTable {
		out.onlyInLiveLetters(id)
	}
	if missing, err = deadletter.WithoutKnown(ctx, tx, missing); err != nil {
		return err
	}
	for _, l := range missing {
		out.letters.Compared++
		out.letters.OnlyInLog++
		out.differences = append(out.differences, Difference{Line: whereDeadLetter(l.ID), OnlyIn: "log"})
	}
	out.missingLetters = append(out.missingLetters, missing...)
	return nil
}

func whereDeadLetter(id int64) string { return fmt.Sprintf("%s/0@%d", event.TopicDeadLetter, id) }

func (c *compared) onlyInLiveLetters(id int64) {
	c.letters.Compared++
	c.letters.OnlyInLive++
	c.differences = append(c.differences, Difference{Line: whereDeadLetter(id), OnlyIn: "live"})
}

// lettersBeyond names the letters that the live projection cannot have read yet.
func (c *timelineCheck) lettersBeyond(ctx context.Context, tx pgx.Tx, cut map[topicPartition]int64) error {
	beyond, err := deadletter.Between(ctx, tx, cut[deadLetters], math.MaxInt64)
	if err != nil {
		return err
	}
	var found compared
	for _, l := range beyond {
		found.onlyInLiveLetters(l.ID)
	}
	c.onProgress(found)
	return nil
}
