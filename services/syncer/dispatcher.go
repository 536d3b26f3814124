package syncer

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
)

// dispatcher makes tasks of records and puts them into the queue, while there is room. Each class has its own room, so
// that many requests do not keep due retries out; and in it a shop leaves some for others. A shop without room falls
// behind (see txn.Config.FlowOf), and others go on. A held request and an unreadable record end at once, without a call.
type dispatcher struct {
	queue       *queue
	room        func() int // tasks of one class, of all shops
	due         string     // the topic of due retries, with the prefix
	deadLetters *deadLetters
}

// Take makes a task of the next record of a partition.
func (d *dispatcher) Take(record *txn.Task) (taken bool, retryIn time.Duration) {
	c := classRequested
	if record.Record.Topic == d.due {
		c = classDue
	}
	if !d.queue.hasRoom(domain.SourceOfKey(string(record.Record.Key)), c, d.room()) {
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

// Revoked abandons every task that no caller has taken.
func (d *dispatcher) Revoked() {
	for _, t := range d.queue.drain() {
		t.Abandon()
	}
}

// Resumed lets callers take the tasks of lanes that were held.
func (d *dispatcher) Resumed(lanes []int32) { d.queue.resume(lanes) }
