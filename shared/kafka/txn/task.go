package txn

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

const preparedRecords = 3

// Task is one consumed record on its way to its end. A handler takes it, does what there is to do, and calls Finish or
// Abandon, once.
type Task struct {
	Record *kgo.Record
	Work   any // the handler's own

	session *Session
	part    *partition
	records []*kgo.Record // what the end writes
	writes  bool          // the end writes something, perhaps given by Prepare only
	refused int           // times that the brokers refused what it writes
}

// Context ends when the task must come to its end now: its assignment is taken away, and the time for that is over.
func (t *Task) Context() context.Context { return t.part.assignment.ctx }

// Stopping reports that the task's assignment ends: nothing new should begin for it.
func (t *Task) Stopping() bool { return t.part.assignment.stopping.Load() }

// Lane is the partition that the record is of, by its number. A key has the same number in every topic with as many
// partitions, so what follows from the record is in the same lane.
func (t *Task) Lane() int32 { return t.part.Partition }

// MayBeRepeated reports that the record stood in the log before this process was assigned its partition: a former owner may
// have begun it, and not have come to the end.
func (t *Task) MayBeRepeated() bool { return t.Record.Offset < t.part.end }

// Finish ends the task: the records are written, in their order, in the transaction that commits its offset. Without records
// the offset rides with another transaction, or goes alone within a second.
func (t *Task) Finish(records ...*kgo.Record) {
	t.records, t.writes = records, len(records) > 0
	t.session.finished.put(t)
}

// FinishPrepared ends the task like Finish; Handler.Prepare gives it the records to write.
func (t *Task) FinishPrepared() {
	t.writes = true
	t.session.finished.put(t)
}

// Records are what the end writes.
func (t *Task) Records() []*kgo.Record { return t.records }

// Replace changes what a finished task writes. Only Prepare and Refused may call it.
func (t *Task) Replace(records ...*kgo.Record) { t.records = records }

// Abandon leaves the record to the partition's next owner.
func (t *Task) Abandon() { t.part.assignment.inHand.Done() }

// size is the bytes that the end writes, about: of what Prepare will give it as many as of some records like the one consumed.
func (t *Task) size() (n int) {
	if t.writes && len(t.records) == 0 {
		return preparedRecords * len(t.Record.Value)
	}
	for _, r := range t.records {
		n += len(r.Value)
	}
	return n
}

// assignment is what the group gave this process at one time. Its tasks end with it: none starts after it stops, and what is
// not committed when it is lost is dropped, as the next owner of the partition begins it anew.
type assignment struct {
	ctx      context.Context //nolint:containedctx // ends when what is under way must be cut off
	cancel   context.CancelFunc
	stopping atomic.Bool    // nothing new begins
	lost     atomic.Bool    // nothing may be committed any more
	inHand   sync.WaitGroup // tasks taken, and neither committed nor dropped

	mu         sync.Mutex // of all partitions' trackers and backlogs
	partitions map[kafka.TopicPartition]*partition
}

// partition is one assigned partition: which of its offsets are done, and the records that wait to be taken.
type partition struct {
	kafka.TopicPartition

	assignment *assignment
	tracker    *tracker
	backlog    []*kgo.Record
	paused     bool
	end        int64 // of the log when it was assigned
}

func newAssignment(ctx context.Context, all []assigned) *assignment {
	a := &assignment{partitions: map[kafka.TopicPartition]*partition{}}
	a.ctx, a.cancel = context.WithCancel(ctx)
	for _, one := range all {
		a.partitions[one.TopicPartition] = &partition{TopicPartition: one.TopicPartition, assignment: a, tracker: one.tracker, end: one.end}
	}
	return a
}

// stop keeps new tasks from being taken.
func (a *assignment) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopping.Store(true)
}

// drained is closed when every task has been committed or dropped.
func (a *assignment) drained() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		a.inHand.Wait()
		close(done)
	}()
	return done
}

// receive keeps what was polled. Records of partitions that are no longer ours are left alone: their next owner reads them.
func (a *assignment) receive(fetches kgo.Fetches) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
		p := a.partitions[kafka.TopicPartition{Topic: ftp.Topic, Partition: ftp.Partition}]
		if p != nil {
			p.backlog = append(p.backlog, ftp.Records...)
		}
	})
}
