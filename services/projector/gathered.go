package projector

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

const (
	morePatience    = 500 * time.Millisecond // how long a record waits, under load, for what follows on it
	outcomePatience = 100 * time.Millisecond // how long an order on which nothing follows waits for others
	busyRate        = 1000                   // records a second that are load
	busyWindow      = 100 * time.Millisecond // in which so many come
	busyFor         = time.Second            // from then on
	maxGathered     = 8 << 20                // bytes of records that wait
)

// gathered are the entries that were read and are not applied yet. Under load those of an order wait for each other, so that its row is
// written once, and not for each of them: most orders have their outcome soon after their request. In a row that is not there yet nobody
// looks for a status, as the gate tells it.
//
// An order's records have the same partition in each topic, and positions move along a partition. So an order that has its outcome waits
// for those before it, for a shorter time.
type gathered struct {
	queues map[kafka.TopicPartition][]waiting
	bytes  int
	rate   rate
}

// waiting is an entry, and when it was read.
type waiting struct {
	*entry

	since time.Time
}

func newGathered() *gathered { return &gathered{queues: map[kafka.TopicPartition][]waiting{}} }

// add takes what was read, those of a partition in their order.
func (g *gathered) add(entries []*entry, now time.Time) {
	g.rate.came(len(entries), now)
	for _, e := range entries {
		g.queues[e.at] = append(g.queues[e.at], waiting{e, now})
		g.bytes += len(e.record.Value)
	}
}

// isBusy reports whether records come fast.
func (g *gathered) isBusy(now time.Time) bool { return now.Before(g.rate.busyUntil) }

// due takes the entries that are to be applied now, those of a partition in their order.
func (g *gathered) due(now time.Time) []*entry {
	byNumber := map[int32][]kafka.TopicPartition{}
	for at := range g.queues {
		byNumber[at.Partition] = append(byNumber[at.Partition], at)
	}
	everything := !g.isBusy(now) || g.bytes >= maxGathered
	var due []*entry
	for _, number := range slices.Sorted(maps.Keys(byNumber)) {
		ats := slices.SortedFunc(slices.Values(byNumber[number]), func(a, b kafka.TopicPartition) int { return cmp.Compare(a.Topic, b.Topic) })
		cuts := make([]int, len(ats))
		for i, at := range ats {
			cuts[i] = len(g.queues[at])
		}
		if !everything {
			g.cut(ats, cuts, now)
		}
		for i, at := range ats {
			due = append(due, g.take(at, cuts[i])...)
		}
	}
	return due
}

// cut shortens what is taken of the partitions of one number, so that no order that waits is among it.
func (g *gathered) cut(ats []kafka.TopicPartition, cuts []int, now time.Time) {
	waits, floors := g.patient(ats, now)
	for again := true; again; {
		again = false
		for i, at := range ats {
			queue := g.queues[at][:cuts[i]]
			first := slices.IndexFunc(queue[floors[i]:], func(w waiting) bool { return waits[w.fact.Sync.SyncID] })
			if first < 0 {
				continue
			}
			cuts[i], again = floors[i]+first, true
			for _, w := range queue[cuts[i]:] {
				waits[w.fact.Sync.SyncID] = true
			}
		}
	}
}

// patient are the syncs that wait for more, and how many entries of each partition have waited for long enough.
func (g *gathered) patient(ats []kafka.TopicPartition, now time.Time) (waits map[int64]bool, floors []int) {
	waits, overdue := map[int64]bool{}, map[int64]bool{}
	settled := map[int64]bool{0: true} // 0: no fact
	for _, at := range ats {
		for _, w := range g.queues[at] {
			id, waited := w.fact.Sync.SyncID, now.Sub(w.since)
			settled[id] = settled[id] || settles(w.fact)
			overdue[id] = overdue[id] || waited >= morePatience || (waited >= outcomePatience && settles(w.fact))
			waits[id] = true
		}
	}
	maps.DeleteFunc(waits, func(id int64, _ bool) bool { return settled[id] || overdue[id] })
	floors = make([]int, len(ats))
	for i, at := range ats {
		for n, w := range g.queues[at] {
			if overdue[w.fact.Sync.SyncID] {
				floors[i] = n + 1
			}
		}
	}
	return waits, floors
}

// settles reports whether nothing is to follow on the fact soon.
func settles(f fact) bool {
	switch f.at.Topic {
	case event.TopicRequested:
		return f.Sync.Status != domain.Queued
	case event.TopicBeforeSend:
		return false
	case event.TopicAfterSend: // with a retry, or else with the terminal event, in one transaction
		return f.Sync.Status == domain.Queued
	}
	return true
}

// take takes the first n entries of a partition.
func (g *gathered) take(at kafka.TopicPartition, n int) []*entry {
	var taken []*entry
	for _, w := range g.queues[at][:n] {
		taken = append(taken, w.entry)
		g.bytes -= len(w.record.Value)
	}
	if g.queues[at] = slices.Delete(g.queues[at], 0, n); len(g.queues[at]) == 0 {
		delete(g.queues, at)
	}
	return taken
}

// rate finds out whether records come fast.
type rate struct {
	since     time.Time // begin of the window
	n         int       // records of the window
	busyUntil time.Time
}

func (r *rate) came(n int, now time.Time) {
	r.n += n
	passed := now.Sub(r.since)
	if float64(r.n) >= busyRate*max(passed, busyWindow).Seconds() {
		r.busyUntil = now.Add(busyFor)
	}
	if passed >= busyWindow {
		r.since, r.n = now, 0
	}
}
