package syncer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/services/syncer/internal/regulator"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// needsLookUp reports whether the ERP must be asked about the order before it is sent, and where: a setting says where, the
// order is in doubt, and nobody has asked for this attempt. A former owner of the partition may have called under a record
// that was in the log before this process got it.
func (c *caller) needsLookUp(t *task) (path string, needs bool) {
	if t.lookup.Lookup != "" || !t.value.Sync.InDoubt(t.MayBeRepeated()) {
		return "", false
	}
	return c.settings.Current().ErpLookup.For(t.value.Sync)
}

// lookUp asks the ERP about an order in doubt. Without an answer the task ends, and its record waits for the next look-up; the pace
// learns of that as of a call without an answer. What an ERP that answers says is about the order alone.
func (c *caller) lookUp(ctx context.Context, t *task, permit *regulator.Permit, path string) progress {
	if !permit.Begin() {
		return beginAgain
	}
	s := t.value.Sync
	began := time.Now()
	reply := c.erp.LookUp(ctx, path, erphttp.Request{IdempotencyKey: s.IdempotencyKey, MessageID: s.IdempotencyKey, At: c.now()})
	if reply.Cancelled {
		return revoked
	}
	result := domain.ReadLookup(reply.Answer, s, c.settings.Current().RetryPolicy().AnswerPolicy)
	lookups.WithLabelValues(string(result.Lookup)).Inc()
	c.log.DebugContext(ctx, "order looked up", append(t.orderFields(), "lookup", result.Lookup, "http_status", reply.StatusCode,
		"took_ms", time.Since(began).Milliseconds())...)
	if result.Lookup == domain.LookupUnanswered {
		permit.Done(reply.Answer)
		c.deadLetters.refuseOn(t, t.postpone(reply.Answer, result.Why, c.settings.Current().RetryPolicy(), c.now()))
		return ended
	}
	t.lookup, t.lookupReply = result, reply
	return lookedUp
}

// isFound reports whether the ERP has the order.
func (t *task) isFound() bool { return t.lookup.Lookup == domain.LookupFound }

// found ends the task with success, without a call.
func (t *task) found(now time.Time) {
	t.outcome = &outcome{Decision: domain.Found(t.value.Sync, t.lookup, now), at: now, answered: true, response: responseOf(t.lookupReply, t.lookup.Reference)}
}

// postpone parks the record until the next look-up, or ends it when that would be too late. No fact of the look-up is written:
// nothing has become known of the order.
func (t *task) postpone(a domain.Answer, why string, policy domain.RetryPolicy, now time.Time) error {
	later, due := domain.Postponed(t.value.Sync, a, policy, now, rand.Float64()) //nolint:gosec // jitter need not be secret
	if due == nil {
		return t.giveUp(later, policy, why, now)
	}
	r, err := event.NewRetry(event.Sync{Sync: later, Order: t.value.Order, Error: text(why)}, *due, t.context(now))
	t.records, t.postponed = []event.Record{r}, &later
	return err
}
