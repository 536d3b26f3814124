package pubsub

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// worker delivers the records of one partition, one at a time.
type worker struct {
	s         *subscription
	partition int32
	ctx       context.Context //nolint:containedctx // of its messages; its end stops the worker at once
	cancel    context.CancelFunc
	stopping  chan struct{} // closed when no further message may be delivered
	done      chan struct{}
	arrived   chan struct{}

	mu     sync.Mutex
	queue  []*kgo.Record
	bytes  int // of the queue
	paused bool
}

func startWorker(s *subscription, partition int32) *worker {
	w := &worker{
		s: s, partition: partition,
		stopping: make(chan struct{}), done: make(chan struct{}), arrived: make(chan struct{}, 1),
	}
	w.ctx, w.cancel = context.WithCancel(s.ctx)
	go w.run()
	return w
}

// stopWorkers waits for the acks of delivered messages, up to a time-out. When it returns, no worker marks an offset
// any more.
func stopWorkers(workers []*worker, timeout time.Duration) {
	for _, w := range workers {
		close(w.stopping)
	}
	late, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for _, w := range workers {
		select {
		case <-w.done:
		case <-late.Done():
		}
	}
	for _, w := range workers {
		w.cancel()
		<-w.done
		w.resume() // otherwise the partition would still be paused when it is assigned again
	}
}

func (w *worker) run() {
	defer close(w.done)
	for {
		r := w.next()
		if r == nil || !w.handle(r) {
			return
		}
		w.s.client.MarkCommitRecords(r)
	}
}

// push queues records without waiting. When many are queued, it pauses the partition.
func (w *worker) push(records []*kgo.Record) {
	w.mu.Lock()
	w.queue = append(w.queue, records...)
	for _, r := range records {
		w.bytes += len(r.Value)
	}
	if !w.paused && (len(w.queue) >= queueRecords || w.bytes >= queueBytes) {
		w.paused = true
		w.s.client.PauseFetchPartitions(w.partitions())
	}
	w.mu.Unlock()
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

// next waits for a record. It returns nil when the worker stops.
func (w *worker) next() *kgo.Record {
	for {
		select {
		case <-w.stopping:
			return nil
		case <-w.ctx.Done():
			return nil
		default:
		}
		if r := w.pop(); r != nil {
			return r
		}
		select {
		case <-w.arrived:
		case <-w.stopping:
		case <-w.ctx.Done():
		}
	}
}

func (w *worker) pop() *kgo.Record {
	w.mu.Lock()
	if len(w.queue) == 0 {
		w.mu.Unlock()
		return nil
	}
	r := w.queue[0]
	w.queue[0], w.queue = nil, w.queue[1:]
	w.bytes -= len(r.Value)
	room := w.paused && len(w.queue) <= queueRecords/4 && w.bytes <= queueBytes/4
	w.mu.Unlock()
	if room {
		w.resume()
	}
	return r
}

func (w *worker) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.paused {
		w.paused = false
		w.s.client.ResumeFetchPartitions(w.partitions())
	}
}

// partitions returns the worker's partition in the form that the client wants.
func (w *worker) partitions() map[string][]int32 {
	return map[string][]int32{w.s.topic: {w.partition}}
}

// result is how a delivery ended.
type result int

const (
	done    result = iota
	retry          // deliver the message again
	stopped        // the worker must stop
)

// handle delivers a record until it is done. It is false when the worker must stop.
func (w *worker) handle(r *kgo.Record) bool {
	for {
		switch w.attempt(r) {
		case done:
			return true
		case stopped:
			return false
		default:
			if !w.pause(w.s.cfg.NackPause) {
				return false
			}
		}
	}
}

// attempt delivers the record once. It makes a new message each time, as a handler may have changed the one before.
func (w *worker) attempt(r *kgo.Record) result {
	msg, err := w.s.cfg.Unmarshal(r)
	if err != nil {
		return w.refuse(r, err)
	}
	ctx, cancel := context.WithCancel(context.WithValue(w.ctx, recordKey{}, r))
	defer cancel()
	msg.SetContext(ctx)
	select {
	case w.s.out <- msg:
	case <-w.stopping:
		return stopped
	case <-w.ctx.Done():
		return stopped
	}
	select {
	case <-msg.Acked():
		return done
	case <-msg.Nacked():
		return retry
	case <-w.ctx.Done():
	}
	select { // the ack may have come at the same time
	case <-msg.Acked():
		return done
	default:
		return stopped
	}
}

// refuse gives a record that is no message to Refused.
func (w *worker) refuse(r *kgo.Record, why error) result {
	log := w.s.cfg.Log.With("topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "reason", why)
	err := w.s.cfg.Refused(w.ctx, r, why)
	switch {
	case err != nil && w.ctx.Err() != nil:
		return stopped
	case err != nil:
		log.Warn("record cannot be read and is not kept elsewhere yet; trying again", "error", err)
		return retry
	}
	log.Error("record cannot be read; it was set aside")
	return done
}

// pause waits. It is false when the worker must stop.
func (w *worker) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.stopping:
		return false
	case <-w.ctx.Done():
		return false
	}
}
