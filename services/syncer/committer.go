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

// gateRereadTimeout bounds the second reading of the gates: it is advice, and without Postgres the outcome commits all the same.
const gateRereadTimeout = time.Second

// committer gives the session what ended tasks write, and hears when that is committed.
type committer struct {
	queue       *queue
	cfg         kafka.Config
	gates       gates
	gateCloser  *gateCloser
	deadLetters *deadLetters
	log         *slog.Logger
	postgres    *run.Outage
}

func tasksOf(all []*txn.Task) []*task {
	out := make([]*task, 0, len(all))
	for _, t := range all {
		out = append(out, t.Work.(*task)) //nolint:forcetypeassert // the dispatcher has put it there
	}
	return out
}

// Prepare reads the gates of all outcomes a second time, in one query, and renders the records under their advice.
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
		c.deadLetters.unless(t, t.render(advice[i]))
		t.Replace(t.kafkaRecords(c.cfg)...)
	}
}

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

// Committed tells the log and the gates, and lets each order's next task go on.
func (c *committer) Committed(all []*txn.Task) {
	var ends []GenerationEnd
	for _, t := range tasksOf(all) {
		if last := t.last(); last != nil {
			c.gates.Committed(*last)
		}
		ends = append(ends, t.ends...)
		handled.WithLabelValues(t.result()).Inc()
		c.logHandled(t)
		c.release(t)
	}
	c.gateCloser.put(ends)
}

// Dropped forgets outcomes that were not committed: the record is still there, and its next reader repeats the attempt under
// the same idempotency key.
func (c *committer) Dropped(all []*txn.Task) {
	for _, t := range tasksOf(all) {
		c.release(t)
	}
}

// Refused gives a task that the brokers refuse for what it writes something smaller to write.
func (c *committer) Refused(refused *txn.Task, err error, times int) {
	t := refused.Work.(*task) //nolint:forcetypeassert // the dispatcher has put it there
	c.deadLetters.refuse(t, err, times)
	t.Replace(t.kafkaRecords(c.cfg)...)
}

func (c *committer) release(t *task) {
	if t.queued {
		c.queue.release(t.key)
	}
}
