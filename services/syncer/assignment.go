package syncer

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// topicPartition names a partition; the topic carries the prefix.
type topicPartition struct {
	topic string
	id    int32
}

// assignment is what the group gave this instance at one time. Its works end with it: none starts after it stops, and
// an outcome whose assignment was lost is dropped, as the next owner of the partition makes its own.
type assignment struct {
	ctx      context.Context //nolint:containedctx // ends when the calls of this assignment must be cut off
	cancel   context.CancelFunc
	stopping atomic.Bool    // no new call starts
	lost     atomic.Bool    // nothing may be committed any more
	started  sync.WaitGroup // works handed to a caller or passed over, and neither committed nor dropped

	mu         sync.Mutex // of all partitions' trackers and backlogs
	partitions map[topicPartition]*partition
}

// partition is one assigned partition: which of its offsets are done, and the records that wait for room.
type partition struct {
	topicPartition
	assignment *assignment
	class      class
	tracker    *kafka.Tracker
	backlog    []*kgo.Record // polled, not begun: the tracker's window or the queue is full
	paused     bool
}

func newAssignment(ctx context.Context) *assignment {
	a := &assignment{partitions: map[topicPartition]*partition{}}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// begin registers a work with the assignment; false once it is stopping.
func (a *assignment) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping.Load() {
		return false
	}
	a.started.Add(1)
	return true
}

// stop keeps new works from starting.
func (a *assignment) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopping.Store(true)
}

// drained is closed when every started work has been committed or dropped.
func (a *assignment) drained() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		a.started.Wait()
		close(done)
	}()
	return done
}
