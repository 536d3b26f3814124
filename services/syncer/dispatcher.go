package syncer

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka/txn"
)

// dispatcher turns records into tasks in the queue, as long as there is room. Each class has its own room, so that a backlog
// of requests keeps no due retry out. What is not to be sent ends at once: a held request, a record nobody can read.
type dispatcher struct {
	queue       *queue
	room        int    // tasks of one class
	due         string // the topic of due retries, with the prefix
	deadLetters *deadLetters
}

// Take is offered the next record of a partition.
func (d *dispatcher) Take(record *txn.Task) (taken bool, again time.Duration) {
	c := classRequested
	if record.Record.Topic == d.due {
		c = classDue
	}
	if d.queue.length(c) >= d.room {
		return false, 0
	}
	t, err := newTask(record, c, d.deadLetters.cfg.Event(record.Record))
	switch {
	case err != nil:
		d.deadLetters.unreadable(t, err)
		t.Finish(t.deadLetter)
	case t.isHeld():
		t.Finish()
	default:
		t.queued = true
		d.queue.push(t)
	}
	queued.WithLabelValues(c.String()).Set(float64(d.queue.length(c)))
	return true, 0
}

// Revoked abandons every task that no caller has begun.
func (d *dispatcher) Revoked() {
	for _, t := range d.queue.drain() {
		t.Abandon()
	}
}

// Resumed hands the tasks of lanes that were held to the callers again.
func (d *dispatcher) Resumed(lanes []int32) { d.queue.resume(lanes) }
