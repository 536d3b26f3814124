package domain

import (
	"fmt"
	"time"
)

// Call is the result of one ERP call, as the breaker counts it.
type Call struct {
	Order  OrderRef
	Began  time.Time
	Epoch  int64 // of the breaker when the call began
	Health Health
}

// CallRecord are the newest calls of a process, the oldest first.
type CallRecord []Call

// With is the record with one more call, and without those that are too many. The record itself stays as it is. A call that says
// nothing about the ERP is left out.
func (r CallRecord) With(c Call, p BreakerPolicy) CallRecord {
	if c.Health == HealthUnknown {
		return r
	}
	kept := r[max(0, len(r)+1-p.maxCalls()):]
	return append(append(make(CallRecord, 0, len(kept)+1), kept...), c)
}

// failing says why the ERP counts as failing; empty when it does not. It counts the calls of one epoch of the breaker within the
// policy's period.
//
// The orders that count are those that failed: one order that the ERP stumbles over is tried again and again, beside others that
// succeed, and is no outage.
func (r CallRecord) failing(epoch int64, p BreakerPolicy, now time.Time) string {
	calls, failed, orders := 0, 0, map[OrderRef]bool{}
	for _, c := range r {
		if c.Epoch != epoch || now.Sub(c.Began) > p.Period {
			continue
		}
		calls++
		if c.Health.Fails() {
			failed++
			orders[c.Order] = true
		}
	}
	if failed == 0 || calls < p.MinCalls || len(orders) < p.MinOrders || float64(failed) < p.FailureRate*float64(calls) {
		return ""
	}
	return fmt.Sprintf("%d of the newest %d calls failed, of %d orders", failed, calls, len(orders))
}
