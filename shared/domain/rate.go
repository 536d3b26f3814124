package domain

import (
	"math"
	"time"
)

// Rate is a limit of requests a second for the whole installation, by the generic cell rate algorithm (GCRA). What all processes
// share is one time: when the next request may start. 0 is no limit.
//
// There is no burst: requests start at even distances. So an ERP that counts requests in each second, wherever its seconds begin,
// counts no more than the rate.
type Rate float64

// Interval is the distance between two requests; 0 without a limit.
func (r Rate) Interval() time.Duration {
	if r <= 0 {
		return 0
	}
	return time.Duration(min(math.Ceil(float64(time.Second)/float64(r)), math.MaxInt64/1024))
}

// Reservation is the right to start some requests, one at each of its times.
type Reservation struct {
	First    time.Time
	Interval time.Duration // between two of them
	Count    int
}

// At is when request i may start, from 0 on.
func (r Reservation) At(i int) time.Time { return r.First.Add(time.Duration(i) * r.Interval) }

// Reserve takes the next count requests, so that a process needs one round trip for several. next is the time that all share from
// then on: store it before the first request starts. now must come from one clock for all processes.
//
// A request that is reserved and not made is lost, so reserve no more than is waiting, and than Batch says.
func (r Rate) Reserve(next time.Time, count int, now time.Time) (after time.Time, taken Reservation) {
	interval := r.Interval()
	if interval == 0 || count <= 0 {
		return next, Reservation{First: now, Count: max(0, count)}
	}
	first := next
	if first.Before(now) {
		first = now
	}
	taken = Reservation{First: first, Interval: interval, Count: count}
	return taken.At(count), taken
}

// Batch is how many requests fit into the time: what a process reserves at once when it asks again after that time.
func (r Rate) Batch(every time.Duration) int {
	return max(1, int(float64(r)*every.Seconds()))
}

// Changed is the shared time after the rate has changed from another: what was reserved before keeps its place in the queue, at the
// new distances. Without it a rate of one request an hour would hold the calls of the next hour, whatever the rate is then.
func (r Rate) Changed(from Rate, next, now time.Time) time.Time {
	ahead, interval := next.Sub(now), from.Interval()
	if ahead <= 0 || interval == 0 {
		return next
	}
	return now.Add(time.Duration(float64(ahead) / float64(interval) * float64(r.Interval())))
}

// decay is the share of a difference that is gone after the time, when 63 % are gone after one constant.
func decay(after, constant time.Duration) float64 {
	return 1 - math.Exp(-float64(max(0, after))/float64(constant))
}
