package syncer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/crash"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// caller takes works from the queue and brings each to its outcome, one at a time. There are as many callers as calls
// may be in flight: a caller is the slot of promise 6.
func (s *Syncer) caller() {
	for {
		w, ok := s.queue.next()
		if !ok {
			return
		}
		a := w.part.assignment
		if !a.begin() {
			s.queue.release(w.key)
			continue
		}
		if s.bringToOutcome(a.ctx, w) {
			s.inbox.put(w)
			continue
		}
		s.abandon(w)
	}
}

// bringToOutcome takes the steps in the order of promise 6: slot (the caller), gate, before_send, call. While the connector
// is off it waits before the first and before the last two; then the gate is asked anew, as much may have happened
// meanwhile. It returns false when the assignment ended before there was an outcome; the record then belongs to the
// partition's next owner.
func (s *Syncer) bringToOutcome(ctx context.Context, w *work) bool {
	for s.awaitEnabled(ctx, w.part.assignment) {
		advice, ok := s.askGate(ctx, w)
		if ok && (s.endByGate(w, advice) || s.sendOrder(ctx, w)) {
			return true
		}
	}
	return false
}

// endByGate ends what the gate stops. Who may have lost the partition tells nobody that gate and log are at odds: another may
// have ended the order meanwhile.
func (s *Syncer) endByGate(w *work, advice domain.Advice) bool {
	if advice.Alarm != "" && s.owns() {
		s.log.Warn("gate and log are at odds", "alarm", advice.Alarm, "order_increment_id", w.value.Sync.OrderIncrementID,
			"source", w.value.Sync.Source, "sync_id", w.value.Sync.SyncID, "generation", w.value.Sync.Generation)
	}
	now := s.now()
	switch {
	case advice.Ended:
		return true // its terminal event stands in the log: consume the record, write nothing
	case advice.Stop:
		return s.must(w, w.close(domain.Closed(w.value.Sync, advice.ClosedBy, now), "", now))
	}
	return false
}

// sendOrder is false when the ERP was not called: the connector was turned off, or the assignment ended.
func (s *Syncer) sendOrder(ctx context.Context, w *work) bool {
	payload, err := w.payload()
	if err != nil {
		now := s.now()
		return s.must(w, w.close(domain.Unsendable(w.value.Sync, now), "building the payload: "+err.Error(), now))
	}
	return s.callERP(ctx, w, payload)
}

// callERP states the intent, awaits that it is durable, and calls. False means that the assignment ended first, or that
// the connector was turned off: an intent may repeat.
func (s *Syncer) callERP(ctx context.Context, w *work, payload []byte) bool {
	now := s.now()
	intent, err := event.NewSync(event.TopicBeforeSend, event.Sync{
		Sync: domain.Sending(w.value.Sync, now), Order: w.value.Order, Payload: text(string(payload)),
	}, w.context(now))
	if err != nil {
		return s.must(w, err)
	}
	if stated, err := s.state(ctx, w, intent); !stated {
		return err != nil && s.must(w, err)
	}
	crash.Point("syncer.before_send")
	if !s.awaitOwnership(ctx, w.part.assignment) || !s.settings.Current().Enabled {
		return false
	}
	s.logCall(ctx, w, payload)
	callsInFlight.Inc()
	began := time.Now()
	reply := s.erp.Send(ctx, erphttp.Request{
		Payload: payload, IdempotencyKey: w.value.Sync.IdempotencyKey, MessageID: w.value.Sync.IdempotencyKey, At: s.now(),
	})
	took := time.Since(began)
	callsInFlight.Dec()
	crash.Point("syncer.called")
	if reply.Cancelled {
		return false
	}
	w.finish(reply, s.settings.Current().RetryPolicy(), s.now(), rand.Float64()) //nolint:gosec // jitter needs no secrecy
	w.decision.took = took
	callSeconds.WithLabelValues(w.decision.name()).Observe(took.Seconds())
	s.logAnswer(ctx, w, reply)
	return true
}

// state makes the intent durable, however long that takes. It is false when the assignment ended or the connector was
// turned off first, and false with an error when the brokers will never take this record.
func (s *Syncer) state(ctx context.Context, w *work, intent event.Record) (bool, error) {
	wait, alone := backoff{first: 20 * time.Millisecond, most: time.Second}, false
	for s.awaitOwnership(ctx, w.part.assignment) && s.settings.Current().Enabled {
		err := s.produce(ctx, intent, alone)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) || errors.Is(err, kerr.InvalidRecord):
			if alone {
				return false, fmt.Errorf("writing before_send: %w", err)
			}
			alone = true
			continue
		case ctx.Err() == nil:
			s.kafkaDown.report(s.log, err)
		}
		if !wait.sleep(ctx) {
			break
		}
	}
	return false, nil
}

// produce writes an intent and awaits it. Intents written at the same time may share a batch, which is refused as a whole:
// alone makes sure that a refusal is this record's own.
func (s *Syncer) produce(ctx context.Context, intent event.Record, alone bool) error {
	if alone {
		s.batching.Lock()
		defer s.batching.Unlock()
	} else {
		s.batching.RLock()
		defer s.batching.RUnlock()
	}
	return s.intents.ProduceSync(ctx, s.cfg.Record(intent)).FirstErr()
}

// awaitOwnership waits until the group coordinator has heard of this instance lately: while no heartbeat is answered
// the partitions may be somebody else's soon. It is false once the assignment ends.
func (s *Syncer) awaitOwnership(ctx context.Context, a *assignment) bool {
	wait := backoff{first: 10 * time.Millisecond, most: 100 * time.Millisecond}
	for !a.stopping.Load() {
		if s.owns() {
			return true
		}
		if !wait.sleep(ctx) {
			return false
		}
	}
	return false
}

// awaitEnabled waits until the connector is on. It is false once the assignment ends.
func (s *Syncer) awaitEnabled(ctx context.Context, a *assignment) bool {
	wait := backoff{first: 10 * time.Millisecond, most: 100 * time.Millisecond}
	for !a.stopping.Load() && ctx.Err() == nil {
		if s.settings.Current().Enabled {
			return true
		}
		if !wait.sleep(ctx) {
			return false
		}
	}
	return false
}

// askGate reads the gate; without an answer from Postgres no call is made, and the caller waits. Ok is false when the
// assignment ended first.
func (s *Syncer) askGate(ctx context.Context, w *work) (domain.Advice, bool) {
	wait := backoff{first: 50 * time.Millisecond, most: 2 * time.Second}
	for {
		advice, err := s.gates.Advise(ctx, []domain.Sync{w.value.Sync})
		if err == nil {
			return advice[0], true
		}
		s.postgresDown.report(s.log, err)
		if !wait.sleep(ctx) {
			return domain.Advice{}, false
		}
	}
}

// must turns an error that no retry mends into a dead letter, so that the record neither blocks nor vanishes.
func (s *Syncer) must(w *work, err error) bool {
	if err != nil {
		s.dead(w, err)
	}
	return true
}

// abandon gives up a work whose assignment ends; the record stays where it is.
func (s *Syncer) abandon(w *work) {
	s.queue.release(w.key)
	w.part.assignment.started.Done()
}
