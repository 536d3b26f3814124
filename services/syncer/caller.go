package syncer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// lanes tell which partitions take no records at the moment.
type lanes interface {
	IsHeld(lane int32) bool
	Hold(ctx context.Context, lane int32, topic string, why error) bool
}

// caller brings tasks to their outcomes. Its run is started as often as calls may be in flight: each is a slot of promise 6.
type caller struct {
	cfg         kafka.Config
	queue       *queue
	lanes       lanes
	owns        func() bool // whether the group coordinator has heard of this process lately
	gates       gates
	erp         erp
	settings    setting.Reader
	deadLetters *deadLetters
	log         *slog.Logger
	now         func() time.Time

	intents         *kgo.Client  // plain idempotent producer of before_send
	batching        sync.RWMutex // held for writing by an intent that must not share a batch
	postgres, kafka *run.Outage
}

// progress is how far a caller has come with a task.
type progress int

const (
	ended     progress = iota // the task has an outcome, or ends without a call
	laneHeld                  // its partitions take no records: it waits, and others go on
	turnedOff                 // the connector was turned off before the call: begin again once it is on
	revoked                   // its assignment ends: the record belongs to the partition's next owner
)

func (c *caller) run() {
	for {
		t, ok := c.queue.next()
		if !ok {
			return
		}
		switch c.bringToOutcome(t.Context(), t) {
		case ended:
			if t.outcome != nil {
				t.FinishPrepared()
			} else {
				t.Finish(t.kafkaRecords(c.cfg)...)
			}
			continue
		case laneHeld:
			if c.queue.setAside(t, c.lanes.IsHeld) {
				continue
			}
		case turnedOff, revoked: // it goes back
		}
		c.queue.release(t.key)
		t.Abandon()
	}
}

// bringToOutcome takes the steps in the order of promise 6: slot (this caller), gate, before_send, call. While the connector
// is off it waits before the first and before the last two; then the gate is asked anew, as much may have happened
// meanwhile.
func (c *caller) bringToOutcome(ctx context.Context, t *task) progress {
	for {
		if c.lanes.IsHeld(t.Lane()) {
			return laneHeld
		}
		if !c.await(ctx, t, c.isEnabled) {
			return revoked
		}
		advice, ok := c.askGate(ctx, t)
		if !ok {
			return revoked
		}
		if c.endByGate(t, advice) {
			return ended
		}
		if how := c.sendOrder(ctx, t); how != turnedOff {
			return how
		}
	}
}

// endByGate ends what the gate stops. A process that may have lost the partition raises no alarm: another one may have ended
// the order meanwhile.
func (c *caller) endByGate(t *task, advice domain.Advice) bool {
	if advice.Alarm != "" && c.owns() {
		c.log.Warn("gate and log are at odds", "alarm", advice.Alarm, "order_increment_id", t.value.Sync.OrderIncrementID,
			"source", t.value.Sync.Source, "sync_id", t.value.Sync.SyncID, "generation", t.value.Sync.Generation)
	}
	now := c.now()
	switch {
	case advice.Ended:
		return true // its terminal event stands in the log: consume the record, write nothing
	case advice.Stop:
		c.deadLetters.unless(t, t.close(domain.Closed(t.value.Sync, advice.ClosedBy, now), "", now))
		return true
	}
	return false
}

func (c *caller) sendOrder(ctx context.Context, t *task) progress {
	payload, err := t.payload()
	if err != nil {
		now := c.now()
		c.deadLetters.unless(t, t.close(domain.Unsendable(t.value.Sync, now), "building the payload: "+err.Error(), now))
		return ended
	}
	now := c.now()
	intent, err := event.NewSync(event.TopicBeforeSend, event.Sync{
		Sync: domain.Sending(t.value.Sync, now), Order: t.value.Order, Payload: text(string(payload)),
	}, t.context(now))
	if err != nil {
		c.deadLetters.unless(t, err)
		return ended
	}
	how, ok := c.publishIntent(ctx, t, intent)
	if !ok {
		return how
	}
	failpoint.Hit("syncer.before_send")
	return c.callERP(ctx, t, payload)
}

// callERP calls once the intent is durable. An intent may repeat: the connector may be off by now, or the assignment end.
func (c *caller) callERP(ctx context.Context, t *task, payload []byte) progress {
	if !c.await(ctx, t, c.owns) {
		return revoked
	}
	if !c.isEnabled() {
		return turnedOff
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
	t.decide(reply, c.settings.Current().RetryPolicy(), c.now(), rand.Float64()) //nolint:gosec // jitter needs no secrecy
	t.outcome.took = took
	callSeconds.WithLabelValues(t.outcome.name()).Observe(took.Seconds())
	c.logAnswer(ctx, t, reply)
	return ended
}

// publishIntent makes the intent durable. It is not ok when something else comes first, and when the brokers will never take
// this record: then the task has ended.
func (c *caller) publishIntent(ctx context.Context, t *task, intent event.Record) (how progress, ok bool) {
	wait, alone := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second}, false
	for c.await(ctx, t, c.owns) {
		if !c.isEnabled() {
			return turnedOff, false
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

// produce writes an intent and awaits it, for a limited time. Intents written at the same time may share a batch, which is
// refused as a whole: alone makes sure that a refusal is this record's own.
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
	return c.intents.ProduceSync(ctx, c.cfg.Record(intent)).FirstErr()
}

func (c *caller) isEnabled() bool { return c.settings.Current().Enabled }

// await waits until a condition holds. It is false once the task's assignment ends. While no heartbeat is answered, for one,
// the partitions may be somebody else's soon.
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

// askGate reads the gate; without an answer from Postgres no call is made, and the caller waits. It is not ok when the
// assignment ended first.
func (c *caller) askGate(ctx context.Context, t *task) (advice domain.Advice, ok bool) {
	wait := run.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for {
		advice, err := c.gates.Advise(ctx, []domain.Sync{t.value.Sync})
		if err == nil {
			return advice[0], true
		}
		c.postgres.Report(c.log, err)
		if !wait.Sleep(ctx) {
			return domain.Advice{}, false
		}
	}
}
