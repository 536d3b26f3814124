package syncer

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// While several intents are under way, a request with more begins only a while after the last one: a request costs the broker and this
// process about the same for one intent as for twenty. The wait holds up calls, so it is short where the broker is quick.
const (
	restIntents   = 6
	restWrites    = 4 // the wait, in times of what the last write took
	maxIntentRest = 5 * time.Millisecond
)

// intents writes the records before_send, by a plain idempotent producer. Those that come at the same time share a request.
type intents struct {
	produce func(ctx context.Context, r *kgo.Record, written func(*kgo.Record, error)) // of a kgo.Client

	mu       sync.Mutex
	waiting  []intent
	underWay int           // with those that wait
	took     time.Duration // the write that ended last
	next     time.Time     // when the next request may begin
}

// intent is a record that is to be written, and its result.
type intent struct {
	ctx    context.Context //nolint:containedctx // the client gives the record up when it ends
	record *kgo.Record
	result chan error
}

// write returns once the brokers have the record, have refused it, or ctx has ended.
func (w *intents) write(ctx context.Context, r *kgo.Record) error {
	one := intent{ctx: ctx, record: r, result: make(chan error, 1)}
	rest, isFirst := w.put(one)
	switch {
	case rest <= 0:
		w.flush()
	case isFirst:
		time.AfterFunc(rest, w.flush)
	}
	err := <-one.result
	w.mu.Lock()
	defer w.mu.Unlock()
	w.underWay--
	return err
}

// put adds an intent to those that wait, and says for how long.
func (w *intents) put(one intent) (rest time.Duration, isFirst bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, one)
	w.underWay++
	return time.Until(w.next), len(w.waiting) == 1
}

// flush writes all that wait.
func (w *intents) flush() {
	began := time.Now()
	for _, one := range w.take(began) {
		w.produce(one.ctx, one.record, func(_ *kgo.Record, err error) {
			w.noteWritten(began)
			one.result <- err
		})
	}
}

func (w *intents) take(now time.Time) (all []intent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, w.waiting = w.waiting, nil
	if w.underWay >= restIntents {
		w.next = now.Add(min(restWrites*w.took, maxIntentRest))
	}
	return all
}

func (w *intents) noteWritten(began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = time.Since(began)
}
