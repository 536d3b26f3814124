package txn

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// writing follows the records of one transaction. The client reports each by itself, from a goroutine of its own.
type writing struct {
	ended chan struct{} // closed when all are written, or one failed

	mu      sync.Mutex
	left    int
	done    []bool // by index
	written map[kafka.TopicPartition]bool
	last    kafka.TopicPartition // that was written; the client reports batch by batch
	failed  error
}

func newWriting(records int) *writing {
	return &writing{ended: make(chan struct{}), left: records, done: make([]bool, records), written: map[kafka.TopicPartition]bool{}}
}

// note takes the result of one record. After the first failure no other counts.
func (w *writing) note(index int, r *kgo.Record, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.failed != nil:
		return
	case err != nil:
		w.failed = err
		close(w.ended)
		return
	}
	if to := (kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}); to != w.last {
		w.written[to], w.last = true, to
	}
	w.done[index] = true
	if w.left--; w.left == 0 {
		close(w.ended)
	}
}

// failure returns the error that ends the transaction.
func (w *writing) failure() error {
	w.mu.Lock()
	failed := w.failed
	w.mu.Unlock()
	switch {
	case failed == nil:
		return nil
	case IsRefusal(failed):
		return &RefusedError{failed}
	default:
		return w.unfinished(failed)
	}
}

// waiting returns the indexes of the records that are not written.
func (w *writing) waiting() (indexes []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for index, done := range w.done {
		if !done {
			indexes = append(indexes, index)
		}
	}
	return indexes
}

// unfinished returns an UnavailableError about the missing records when other partitions have taken theirs. Otherwise
// the cause may be anything, and it returns err.
func (w *writing) unfinished(err error) error {
	missing := w.waiting()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.written) == 0 {
		return err
	}
	return &UnavailableError{Records: missing, Err: err}
}
