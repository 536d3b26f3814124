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
	ctx       context.Context //nolint:containedctx // of its messages; it ends when the worker's time is over
	cancel    context.CancelFunc
	stopping  chan struct{} // closed: take up nothing more
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

// stopWorkers lets the messages in hand finish within the time, and returns when no worker marks anything any more.
func stopWorkers(workers []*worker, within time.Duration) {
	for _, w := range workers {
		close(w.stopping)
	}
	late, cancel := context.WithTimeout(context.Background(), within)
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
		w.resume() // the client would keep the pause for when the partition comes back
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

// push never waits: when much is queued, the partition is paused.
func (w *worker) push(records []*kgo.Record) {
	w.mu.Lock()
	w.queue = append(w.queue, records...)
	for _, r := range records {
		w.bytes += len(r.Value)
	}
	if !w.paused && (len(w.queue) >= queueRecords || w.bytes >= queueBytes) {
		w.paused = true
		w.s.client.PauseFetchPartitions(w.itself())
	}
	w.mu.Unlock()
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

// next waits for a record; nil when the worker stops.
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
		w.s.client.ResumeFetchPartitions(w.itself())
	}
}

func (w *worker) itself() map[string][]int32 { return map[string][]int32{w.s.topic: {w.partition}} }

type verdict int

const (
	finished verdict = iota
	again
	ended // the worker's time is over
)

// handle reports whether the record is done; else the worker ends.
func (w *worker) handle(r *kgo.Record) bool {
	for {
		switch w.attempt(r) {
		case finished:
			return true
		case ended:
			return false
		default:
			if !w.pause(w.s.cfg.NackPause) {
				return false
			}
		}
	}
}

// attempt delivers the record as a new message, so that what a handler did to the one before does not matter.
func (w *worker) attempt(r *kgo.Record) verdict {
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
		return ended
	case <-w.ctx.Done():
		return ended
	}
	select {
	case <-msg.Acked():
		return finished
	case <-msg.Nacked():
		return again
	case <-w.ctx.Done():
	}
	select {
	case <-msg.Acked():
		return finished
	default:
		return ended
	}
}

func (w *worker) refuse(r *kgo.Record, why error) verdict {
	log := w.s.cfg.Log.With("topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "reason", why)
	err := w.s.cfg.Refused(w.ctx, r, why)
	switch {
	case err != nil && w.ctx.Err() != nil:
		return ended
	case err != nil:
		log.Warn("record cannot be read and is not kept elsewhere yet; trying again", "error", err)
		return again
	}
	log.Error("record cannot be read; it was set aside")
	return finished
}

// pause reports whether to go on.
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
