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
// policy's period: too many of all of them failed, or the newest ones did without exception. So an outage after many successes shows
// as soon as one without any.
//
// The orders that count are those that failed: one order that the ERP stumbles over is tried again and again, beside others that
// succeed, and is no outage.
func (r CallRecord) failing(epoch int64, p BreakerPolicy, now time.Time) string {
	calls, all, newest := 0, failures{}, failures{}
	for _, c := range r {
		if c.Epoch != epoch || now.Sub(c.Began) > p.Period {
			continue
		}
		calls++
		if !c.Health.Fails() {
			newest = failures{}
			continue
		}
		all.add(c.Order)
		newest.add(c.Order)
	}
	switch {
	case newest.calls >= p.MinCalls && len(newest.orders) >= p.MinOrders:
		return newest.of(newest.calls)
	case all.calls == 0 || calls < p.MinCalls || len(all.orders) < p.MinOrders || float64(all.calls) < p.FailureRate*float64(calls)+p.beyondChance(calls):
		return ""
	}
	return all.of(calls)
}

// failures are calls that failed, and their orders.
type failures struct {
	calls  int
	orders map[OrderRef]bool
}

func (f *failures) add(order OrderRef) {
	f.calls++
	if f.orders == nil {
		f.orders = map[OrderRef]bool{}
	}
	f.orders[order] = true
}

func (f *failures) of(calls int) string {
	return fmt.Sprintf("%d of the newest %d calls failed, of %d orders", f.calls, calls, len(f.orders))
}

// beyondChance is how many more calls than the rate must fail. Of an ERP that fails three calls of ten, five of ten fail once in seven
// times; seven of ten once in a hundred times.
func (p BreakerPolicy) beyondChance(calls int) float64 {
	return min(2, (1-p.FailureRate)*float64(calls)/2)
}
