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
	morePatience    = 2 * time.Second        // how long a record waits, under load, for what follows on it
	otherPatience   = 500 * time.Millisecond // how long an answer waits for its terminal event, or that for the answer
	outcomePatience = 100 * time.Millisecond // how long an order on which nothing follows waits for others
	busyRate        = 1000                   // records a second that are load
	busyWindow      = 100 * time.Millisecond // in which so many come
	busyFor         = 2 * time.Second        // from then on
	maxGathered     = 16 << 20               // bytes of records that wait
)

// gathered are the entries that were read and are not applied yet. Under load those of an order wait for each other, so that its row is
// written once, and not for each of them: most orders have their outcome soon after their request. In a row that is not there yet nobody
// looks for a status, as the gate tells it.
//
// An order's records have the same partition in each topic, and positions move along a partition. So an order that has its outcome waits
// for those before it, for a shorter time. A terminal event may be read before the answer that is in the same transaction: they wait for
// each other.
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
	everything := !g.isBusy(now)
	patience := g.patience(now)
	var due []*entry
	for _, number := range slices.Sorted(maps.Keys(byNumber)) {
		ats := slices.SortedFunc(slices.Values(byNumber[number]), func(a, b kafka.TopicPartition) int { return cmp.Compare(a.Topic, b.Topic) })
		cuts := make([]int, len(ats))
		for i, at := range ats {
			cuts[i] = len(g.queues[at])
		}
		if !everything {
			g.cut(ats, cuts, now, patience)
		}
		for i, at := range ats {
			due = append(due, g.take(at, cuts[i])...)
		}
	}
	return due
}

// patience is how long a record waits for what follows on it: while too much waits, half as long as the first has waited by now.
func (g *gathered) patience(now time.Time) time.Duration {
	if g.bytes < maxGathered {
		return morePatience
	}
	var longest time.Duration
	for _, queue := range g.queues {
		longest = max(longest, now.Sub(queue[0].since))
	}
	return min(longest/2, morePatience)
}

// cut shortens what is taken of the partitions of one number, so that no order that waits is among it.
func (g *gathered) cut(ats []kafka.TopicPartition, cuts []int, now time.Time, patience time.Duration) {
	waits, floors := g.patient(ats, now, patience)
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
func (g *gathered) patient(ats []kafka.TopicPartition, now time.Time, patience time.Duration) (waits map[int64]bool, floors []int) {
	parts := map[int64]part{}
	for _, at := range ats {
		for _, w := range g.queues[at] {
			parts[w.fact.Sync.SyncID] |= partOf(w.fact)
		}
	}
	waits, floors = map[int64]bool{}, make([]int, len(ats))
	overdue := map[int64]bool{0: true} // 0: no fact
	for _, at := range ats {
		for _, w := range g.queues[at] {
			id := w.fact.Sync.SyncID
			waits[id] = !parts[id].whole()
			overdue[id] = overdue[id] || now.Sub(w.since) >= min(patience, partOf(w.fact).patience(parts[id]))
		}
	}
	maps.DeleteFunc(waits, func(id int64, waits bool) bool { return !waits || overdue[id] })
	for i, at := range ats {
		for n, w := range g.queues[at] {
			if id := w.fact.Sync.SyncID; id != 0 && overdue[id] {
				floors[i] = n + 1
			}
		}
	}
	return waits, floors
}

// part is what a record says about what else is to come, or several records of a sync together.
type part int

const (
	answered part = 1 << iota // an attempt has ended: the terminal event comes in the same transaction
	ended                     // so does the answer of the terminal event, which may be read first
	alone                     // nothing follows soon
)

func partOf(f fact) part {
	switch f.at.Topic {
	case event.TopicRequested:
		if f.Sync.Status == domain.Queued {
			return 0
		}
	case event.TopicBeforeSend:
		return 0
	case event.TopicAfterSend:
		if f.Sync.Status != domain.Queued { // with a retry nothing follows soon
			return answered
		}
	case event.TopicSuccess, event.TopicFailed:
		if f.Sync.ClosedBy == "" {
			return ended
		}
	}
	return alone
}

// whole reports whether nothing is to follow soon on the records of a sync.
func (p part) whole() bool { return p&alone != 0 || p == answered|ended }

// patience is how long a record waits of a sync that has these parts.
func (p part) patience(of part) time.Duration {
	switch {
	case p == 0:
		return morePatience
	case of.whole():
		return outcomePatience
	}
	return otherPatience
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
