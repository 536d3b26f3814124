package txn

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// preparedRecords is how many records a task is expected to write that Handler.Prepare will give it.
const preparedRecords = 3

// Task is one consumed record. A handler takes it, does its work, and calls Finish or Abandon once.
type Task struct {
	Record *kgo.Record
	Work   any // for the handler's use

	session *Session
	part    *partition
	tracker *tracker      // its partition's, or that of its flow
	records []*kgo.Record // to write
	writes  bool          // it will have records to write; Prepare may give them
	refused int           // how often the brokers refused its records
}

// Context ends when the task must end at once: its assignment is taken away, and Config.Grace is over.
func (t *Task) Context() context.Context { return t.part.assignment.ctx }

// Stopping reports whether the task's assignment is taken away. Nothing new should begin then.
func (t *Task) Stopping() bool { return t.part.assignment.stopping.Load() }

// Lane returns the number of the record's partition. A key has the same number in every topic with as many partitions, so the
// records that the task writes are in the same lane.
func (t *Task) Lane() int32 { return t.part.Partition }

// MayBeRepeated reports whether a former owner of the partition may have begun work on this record without finishing
// it: the record was in the log before this process got the partition.
func (t *Task) MayBeRepeated() bool { return t.Record.Offset < t.part.end }

// Finish ends the task. The records are written, in their order, in the transaction that commits the task's offset. A
// task without records waits for the transaction of others, for Config.IdleCommit at most.
func (t *Task) Finish(records ...*kgo.Record) {
	t.records, t.writes = records, len(records) > 0
	t.session.finished.put(t)
}

// FinishPrepared ends the task like Finish. Handler.Prepare gives it the records to write.
func (t *Task) FinishPrepared() {
	t.writes = true
	t.session.finished.put(t)
}

// Records returns the records that a finished task writes.
func (t *Task) Records() []*kgo.Record { return t.records }

// Replace changes the records that a finished task writes. Only Prepare and Refused may call it.
func (t *Task) Replace(records ...*kgo.Record) { t.records = records }

// Abandon leaves the record to the partition's next owner.
func (t *Task) Abandon() { t.part.assignment.inHand.Done() }

// size returns roughly how many bytes the task writes. When Prepare will give the records, it is estimated by the
// consumed one.
func (t *Task) size() (n int) {
	if t.writes && len(t.records) == 0 {
		return preparedRecords * len(t.Record.Value)
	}
	for _, r := range t.records {
		n += len(r.Value)
	}
	return n
}

// assignment is the partitions that the group gave this process at one time. Its tasks end with it. When it stops, no
// task begins. When it is lost, what is not committed is dropped, as the next owner of the partition works on it again.
type assignment struct {
	ctx      context.Context //nolint:containedctx // ends when tasks under way must end at once
	cancel   context.CancelFunc
	stopping atomic.Bool    // nothing new begins
	lost     atomic.Bool    // nothing may be committed any more
	inHand   sync.WaitGroup // tasks that were taken, and are neither committed nor dropped
	paused   atomic.Int32   // partitions

	mu         sync.Mutex // guards the partitions' trackers and backlogs
	partitions map[kafka.TopicPartition]*partition
}

// partition is one assigned partition: its offsets that are done, and its records that wait to be taken.
type partition struct {
	kafka.TopicPartition

	assignment *assignment
	tracker    *tracker // of all records but those of flows that are behind
	behind     map[Flow]*laggard
	backlog    []*kgo.Record
	paused     bool
	end        int64 // of the log, at the time of the assignment

	waiting, waitingBytes int // records of flows that are behind
}

func newAssignment(ctx context.Context, all []assigned) *assignment {
	a := &assignment{partitions: map[kafka.TopicPartition]*partition{}}
	a.ctx, a.cancel = context.WithCancel(ctx)
	for _, one := range all {
		a.partitions[one.TopicPartition] = newPartition(a, one)
	}
	return a
}

// stop lets no further task be taken.
func (a *assignment) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopping.Store(true)
}

// drained returns a channel that is closed once every task is committed or dropped.
func (a *assignment) drained() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		a.inHand.Wait()
		close(done)
	}()
	return done
}

// receive adds polled records to the backlogs. It leaves out records of partitions that were taken away: their next
// owner reads them.
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
