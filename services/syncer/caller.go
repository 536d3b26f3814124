package syncer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/services/syncer/internal/regulator"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// lanes knows which partitions take no records at the moment; it is the session.
type lanes interface {
	IsHeld(lane int32) bool
	Hold(ctx context.Context, lane int32, topic string, why error) bool
}

// pace says when an order may be sent.
type pace interface {
	Acquire(ctx context.Context, order domain.OrderRef, stop func() bool) (p *regulator.Permit, ok bool)
}

// caller brings tasks to their outcomes. Its run is started as often as calls may be in flight.
type caller struct {
	cfg         kafka.Config
	queue       *queue
	lanes       lanes
	owns        func() bool // whether the group coordinator has heard of this process lately
	gates       *gateReads
	pace        pace
	erp         erp
	settings    setting.Reader
	deadLetters *deadLetters
	log         *slog.Logger
	now         func() time.Time

	intents         *intents
	batching        sync.RWMutex // locked for writing by an intent that must not share a batch
	postgres, kafka *run.Outage
}

// progress is how far a caller has come with a task.
type progress int

const (
	ended      progress = iota // the task has an outcome, or ends without a call
	laneHeld                   // its lane takes no records: it waits, and others go on
	beginAgain                 // the order may not be sent any more: the connector was turned off before the call, or the pace has changed
	lookedUp                   // the ERP has said what it has of the order: it begins again, as that took a while
	revoked                    // its partition is taken away: it is left to the next owner
)

// run brings tasks to their outcomes until ctx ends, the queue is closed, or the caller is not needed any more. It takes the steps
// in the order of promise 6: a free caller (this one), pace, gate, before_send, call. It waits before the gate, while the connector is
// off and while the ERP is not to be called, as the order may change meanwhile. So when an order may not be sent any more right before
// the call, it starts again from there. So it does after an order in doubt was looked up, which stands between the gate and
// before_send.
func (c *caller) run(ctx context.Context, surplus func() bool) {
	for !surplus() && c.queue.await() {
		permit, ok := c.mayCall(ctx)
		if !ok {
			c.queue.leave()
			if ctx.Err() != nil {
				return
			}
			continue
		}
		if t, ok := c.queue.take(c.isHeld); ok {
			permit.For(t.value.Sync.Ref())
			c.put(t, c.advance(t.Context(), t, permit))
		}
		permit.Release()
	}
}

// mayCall waits until the connector is on and an order may be sent. It is not ok when ctx ends first, or there is no order any more.
func (c *caller) mayCall(ctx context.Context) (permit *regulator.Permit, ok bool) {
	wait := run.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
	for !c.isEnabled() {
		if c.queue.isShort() || !wait.Sleep(ctx) {
			return nil, false
		}
	}
	return c.pace.Acquire(ctx, domain.OrderRef{}, func() bool { return !c.isEnabled() || c.queue.isShort() })
}

// put puts a task where it belongs after its progress.
func (c *caller) put(t *task, p progress) {
	switch p {
	case ended:
		if t.outcome != nil {
			t.FinishPrepared()
		} else {
			t.Finish(t.kafkaRecords(c.cfg)...)
		}
		return
	case laneHeld, beginAgain, lookedUp:
		if c.queue.giveBack(t, c.isHeld) {
			return
		}
	case revoked: // the next owner works on it
	}
	c.queue.release(t.key)
	t.Abandon()
}

// advance takes the steps of a task that the pace lets out.
func (c *caller) advance(ctx context.Context, t *task, permit *regulator.Permit) progress {
	advice, ok := c.readGate(ctx, t)
	if !ok {
		return revoked
	}
	if c.endByGate(t, advice) {
		return ended
	}
	if path, needs := c.needsLookUp(t); needs {
		return c.lookUp(ctx, t, permit, path)
	}
	if c.endByTime(t) {
		return ended
	}
	p := c.sendOrder(ctx, t, permit)
	if p != ended {
		t.lookup = domain.LookupResult{} // it may be outdated when the task begins again
	}
	return p
}

// endByGate ends a task that the gate stops. It logs no alarm when this process may have lost the partition: another
// one may have ended the generation meanwhile.
func (c *caller) endByGate(t *task, advice domain.Advice) bool {
	if advice.Alarm != "" && c.owns() {
		c.log.Warn("gate and log are at odds", "alarm", advice.Alarm, "order_increment_id", t.value.Sync.OrderIncrementID,
			"source", t.value.Sync.Source, "sync_id", t.value.Sync.SyncID, "generation", t.value.Sync.Generation)
	}
	now := c.now()
	switch {
	case advice.Ended:
		return true // its terminal event is in the log already: consume the record, and write nothing
	case advice.Stop:
		c.deadLetters.refuseOn(t, t.close(domain.Closed(t.value.Sync, advice.ClosedBy, now), "", now))
		return true
	}
	return false
}

// endByTime ends a retry that begins too long after the request. An order that the ERP was found to have ends well.
func (c *caller) endByTime(t *task) bool {
	policy, now := c.settings.Current().RetryPolicy(), c.now()
	if t.isFound() || policy.MayBegin(t.value.Sync, now) {
		return false
	}
	c.deadLetters.refuseOn(t, t.giveUp(domain.GivenUp(t.value.Sync, now), policy, lastError(t.value), now))
	return true
}

// sendOrder builds the payload, makes the intent durable, and calls. What cannot be built or encoded ends the task.
func (c *caller) sendOrder(ctx context.Context, t *task, permit *regulator.Permit) progress {
	payload, err := t.payload()
	if err != nil {
		now := c.now()
		c.deadLetters.refuseOn(t, t.close(domain.Unsendable(t.value.Sync, now), "building the payload: "+err.Error(), now))
		return ended
	}
	now := c.now()
	intent, err := event.NewSync(event.TopicBeforeSend, event.Sync{
		Sync: domain.Sending(t.value.Sync, now), Order: t.value.Order, Payload: text(string(payload)),
	}, t.context(now))
	if err != nil {
		c.deadLetters.refuseOn(t, err)
		return ended
	}
	p, ok := c.publishIntent(ctx, t, intent)
	if !ok {
		return p
	}
	failpoint.Hit("syncer.before_send")
	if t.isFound() {
		t.found(now)
		return ended
	}
	return c.callERP(ctx, t, permit, payload)
}

// callERP calls the ERP. The intent is durable by now, but the call may still not happen: the connector may be off, the
// breaker open, or the partition lost. Then the intent will repeat.
func (c *caller) callERP(ctx context.Context, t *task, permit *regulator.Permit, payload []byte) progress {
	if !c.await(ctx, t, c.owns) {
		return revoked
	}
	if !c.isEnabled() || !permit.Begin() {
		return beginAgain
	}
	c.logCall(ctx, t, payload)
	callsInFlight.Inc()
	began := time.Now()
	reply := c.erp.Send(ctx, erphttp.Request{
		Payload: payload, IdempotencyKey: t.value.Sync.IdempotencyKey, MessageID: t.value.Sync.IdempotencyKey, At: c.now(),
	})
	took := time.Since(began)
	callsInFlight.Dec()
	failpoint.Hit("syncer.called")
	if reply.Cancelled {
		return revoked
	}
	permit.Done(reply.Answer)
	t.decide(reply, c.settings.Current().RetryPolicy(), c.now(), rand.Float64()) //nolint:gosec // jitter need not be secret
	t.outcome.took = took
	callSeconds.WithLabelValues(t.outcome.name()).Observe(took.Seconds())
	c.logAnswer(ctx, t, reply)
	return ended
}

// publishIntent makes the intent durable. When it is not ok, the progress says why: the brokers will never take this
// record, and the task has ended; or its lane is held; or the connector is off; or the partition is taken away.
func (c *caller) publishIntent(ctx context.Context, t *task, intent event.Record) (p progress, ok bool) {
	wait, alone := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second}, false
	for c.await(ctx, t, c.owns) {
		if !c.isEnabled() {
			return beginAgain, false
		}
		err := c.produce(ctx, intent, alone)
		switch {
		case err == nil:
			return 0, true
		case txn.IsRefusal(err) && alone:
			c.deadLetters.refuse(t, fmt.Errorf("writing before_send: %w", err), 1)
			return ended, false
		case txn.IsRefusal(err):
			alone = true
			continue
		case ctx.Err() != nil:
			return revoked, false
		case c.lanes.Hold(ctx, t.Lane(), c.cfg.Topic(intent.Topic), err):
			return laneHeld, false
		}
		c.kafka.Report(c.log, err)
		if !wait.Sleep(ctx) {
			break
		}
	}
	return revoked, false
}

// produce writes an intent and waits for the answer, up to intentTimeout. Intents that are written at the same time may
// share a batch, and brokers refuse a batch as a whole. With alone the intent has a batch of its own, so that a refusal
// is about this record.
func (c *caller) produce(ctx context.Context, intent event.Record, alone bool) error {
	if alone {
		c.batching.Lock()
		defer c.batching.Unlock()
	} else {
		c.batching.RLock()
		defer c.batching.RUnlock()
	}
	ctx, cancel := context.WithTimeout(ctx, intentTimeout)
	defer cancel()
	return c.intents.write(ctx, c.cfg.Record(intent))
}

func (c *caller) isHeld(t *task) bool { return c.lanes.IsHeld(t.Lane()) }

func (c *caller) isEnabled() bool { return c.settings.Current().Enabled }

// await waits until a condition holds. It is false when the task's partition is taken away first.
func (c *caller) await(ctx context.Context, t *task, holds func() bool) bool {
	wait := run.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
	for !t.Stopping() && ctx.Err() == nil {
		if holds() {
			return true
		}
		if !wait.Sleep(ctx) {
			return false
		}
	}
	return false
}

// readGate reads the gate. Without an answer from Postgres no call is made, and the caller waits. It is not ok when the
// partition is taken away first.
func (c *caller) readGate(ctx context.Context, t *task) (advice domain.Advice, ok bool) {
	wait := run.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for {
		advice, err := c.gates.advise(ctx, t.value.Sync)
		if err == nil {
			return advice, true
		}
		c.postgres.Report(c.log, err)
		if !wait.Sleep(ctx) {
			return domain.Advice{}, false
		}
	}
}
