package syncer

import (
	"context"
	"log/slog"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/run"
)

// gateRereadTimeout limits the second read of the gates. It is advice: without an answer from Postgres the outcomes are
// committed all the same.
const gateRereadTimeout = time.Second

// committer gives the session the records of ended tasks, and ends the tasks once these are committed.
type committer struct {
	queue       *queue
	cfg         kafka.Config
	gates       gates
	gateCloser  *gateCloser
	deadLetters *deadLetters
	log         *slog.Logger
	postgres    *run.Outage
}

// tasksOf returns the syncer's tasks.
func tasksOf(all []*txn.Task) []*task {
	out := make([]*task, 0, len(all))
	for _, t := range all {
		out = append(out, t.Work.(*task)) //nolint:forcetypeassert // newTask has put it there
	}
	return out
}

// Prepare reads the gates of all outcomes a second time, in one query, and makes the records under their advice. A try
// to commit may fail and be repeated, so this may be called several times for a task.
func (c *committer) Prepare(ctx context.Context, all []*txn.Task) {
	var called []*task
	var syncs []domain.Sync
	for _, t := range tasksOf(all) {
		if t.outcome != nil {
			called, syncs = append(called, t), append(syncs, t.value.Sync)
		}
	}
	if len(called) == 0 {
		return
	}
	advice := c.advise(ctx, syncs)
	for i, t := range called {
		c.deadLetters.refuseOn(t, t.render(advice[i]))
		t.Replace(t.kafkaRecords(c.cfg)...)
	}
}

// advise reads the gates. When Postgres does not answer, the advice is to go on.
func (c *committer) advise(ctx context.Context, syncs []domain.Sync) []domain.Advice {
	ctx, cancel := context.WithTimeout(ctx, gateRereadTimeout)
	defer cancel()
	advice, err := c.gates.Advise(ctx, syncs)
	c.postgres.Report(c.log, err)
	if err != nil {
		return make([]domain.Advice, len(syncs))
	}
	return advice
}

// Committed logs each task, lets its order's next task begin, and has the gates closed of generations that ended.
func (c *committer) Committed(all []*txn.Task) {
	var ends []GenerationEnd
	for _, t := range tasksOf(all) {
		if last := t.last(); last != nil {
			c.gates.Committed(*last)
		}
		ends = append(ends, t.ends...)
		handled.WithLabelValues(t.outcomeName()).Inc()
		c.logHandled(t)
		c.release(t)
	}
	c.gateCloser.put(ends)
}

// Dropped forgets outcomes that were not committed. The record is still in the log. Its next reader repeats the attempt
// with the same idempotency key.
func (c *committer) Dropped(all []*txn.Task) {
	for _, t := range tasksOf(all) {
		c.release(t)
	}
}

// Refused gives smaller records to a task whose records the brokers refuse.
func (c *committer) Refused(refused *txn.Task, err error, times int) {
	t := refused.Work.(*task) //nolint:forcetypeassert // newTask has put it there
	c.deadLetters.refuse(t, err, times)
	t.Replace(t.kafkaRecords(c.cfg)...)
}

// release lets the order's next task begin. A task that was never queued holds no order.
func (c *committer) release(t *task) {
	if t.queued {
		c.queue.release(t.key)
	}
}
