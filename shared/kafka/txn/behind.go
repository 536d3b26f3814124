package txn

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A partition holds records of several flows, and the handler may have no room for one of them. That flow falls behind:
// the partition goes on with the others, and the flow gets a tracker of its own. Some of its records wait in memory.
// Those that find no place there are passed over, and are read again later (see catchup.go). Once nothing of the flow is
// left behind, it goes with the others again.
const (
	maxBehind       = 32      // flows of a partition
	maxWaiting      = 2_000   // records of a partition that wait, of all flows that are behind
	maxWaitingBytes = 2 << 20 // of them
	minWaiting      = 8       // records that each flow may let wait in any case
	behindBytes     = 16      // of the metadata, for a flow that is behind and the lengths in front of its runs
)

// laggard is a flow that is behind.
type laggard struct {
	tracker *tracker
	start   int64         // its records from here on are the tracker's
	until   int64         // a former owner had come so far; before that, only the tracker knows which records are done
	waiting []*kgo.Record // read, not taken
	bytes   int           // of those

	// missed says that records were passed over: each from read on must be read again.
	missed bool
	read   int64
}

func newPartition(a *assignment, one assigned) *partition {
	p := &partition{
		TopicPartition: one.TopicPartition, assignment: a, end: one.end, behind: map[Flow]*laggard{},
		tracker: newTracker(one.committed.position, one.committed.done),
	}
	for flow, at := range one.committed.behind {
		p.behind[flow] = &laggard{
			tracker: newTracker(at.position, at.done), start: at.position, until: p.tracker.horizon(),
			read: at.position, missed: at.position < p.tracker.position,
		}
	}
	return p
}

// fallBehind makes the flow of the next record one that is behind, from that record on. It is nil when too many are.
func (p *partition) fallBehind(flow Flow, r *kgo.Record) *laggard {
	l := &laggard{start: r.Offset}
	done := p.tracker.done
	if was := p.behind[flow]; was != nil { // it is behind from a later record on, and nothing of it has begun
		done = append(before(done, was.start), was.tracker.done...)
		l.until = was.until
	}
	l.tracker = newTracker(r.Offset, slices.Clone(done))
	if flow == 0 || len(p.behind) >= maxBehind || p.size()+behindBytes+l.tracker.size > maxRawBytes {
		return nil
	}
	p.behind[flow] = l
	return l
}

// isDormant reports whether the partition has not come to where the flow is behind. A former owner had. Records of the
// flow before that may still have to begin.
func (p *partition) isDormant(l *laggard) bool { return p.tracker.next < l.start }

// passTo gives a flow that is behind the next record of it that the partition has come to.
func (p *partition) passTo(l *laggard, r *kgo.Record) {
	p.tracker.skip(r.Offset)
	switch {
	case l.missed || l.tracker.isDone(r.Offset):
	case p.hasPlace(l, r):
		p.wait(l, r)
	default:
		l.missed, l.read = true, r.Offset
	}
}

// hasPlace reports whether one more record of the flow may wait; nil is the smallest. A flow may have as many waiting as there are places
// left, so that there is always one for another flow.
func (p *partition) hasPlace(l *laggard, r *kgo.Record) bool {
	return len(l.waiting) < minWaiting || len(l.waiting) < maxWaiting-p.waiting && l.bytes+sizeOf(r) <= maxWaitingBytes-p.waitingBytes
}

func sizeOf(r *kgo.Record) int {
	if r == nil {
		return 0
	}
	return len(r.Key) + len(r.Value)
}

func (p *partition) wait(l *laggard, r *kgo.Record) {
	l.waiting = append(l.waiting, r)
	p.waiting++
	l.bytes += sizeOf(r)
	p.waitingBytes += sizeOf(r)
}

// begun takes the first record that waits away.
func (p *partition) begun(l *laggard) {
	size := sizeOf(l.waiting[0])
	l.waiting[0], l.waiting = nil, l.waiting[1:]
	p.waiting--
	l.bytes -= size
	p.waitingBytes -= size
}

// canBegin reports whether the metadata can tell of one more record that has begun.
func (p *partition) canBegin(offset int64) bool {
	return p.isIdle() || p.size()+p.tracker.cost(offset) <= maxRawBytes
}

// canBeginBehind is canBegin for a flow that is behind. It may use as much as is left for others, so that there is always
// some left.
func (p *partition) canBeginBehind(l *laggard, offset int64) bool {
	left, cost := maxRawBytes-p.size(), l.tracker.cost(offset)
	return p.isIdle() || cost <= left && (len(l.tracker.open) == 0 || l.tracker.size+cost <= left)
}

// size is the most bytes that the metadata may have, apart from its version.
func (p *partition) size() (bytes int) {
	bytes = behindBytes + p.tracker.size
	for _, l := range p.behind {
		bytes += behindBytes + l.tracker.size
	}
	return bytes
}

// isIdle reports whether no record is under way.
func (p *partition) isIdle() bool {
	if len(p.tracker.open) > 0 {
		return false
	}
	for _, l := range p.behind {
		if len(l.tracker.open) > 0 {
			return false
		}
	}
	return true
}

// isOver reports whether nothing of a flow is behind any more once the given records of it are done.
func (p *partition) isOver(l *laggard, finished map[int64]bool) bool {
	return !l.missed && len(l.waiting) == 0 && l.tracker.isIdle(finished) && p.tracker.next >= l.until
}

// rejoin lets flows go with the others again of which nothing is behind any more.
func (p *partition) rejoin() {
	maps.DeleteFunc(p.behind, func(_ Flow, l *laggard) bool { return p.isOver(l, nil) })
}

// offset returns what to commit once the tasks are done.
func (p *partition) offset(tasks []*Task) (Offset, error) {
	finished := map[*tracker]map[int64]bool{}
	for tracker, offsets := range finishedBy(tasks) {
		finished[tracker] = setOf(offsets)
	}
	behind := map[Flow]*tracker{}
	for flow, l := range p.behind {
		if !p.isOver(l, finished[l.tracker]) {
			behind[flow] = l.tracker
		}
	}
	return encode(p.tracker, behind, finished)
}

// finishedBy returns the offsets of tasks by their trackers.
func finishedBy(tasks []*Task) map[*tracker][]int64 {
	out := map[*tracker][]int64{}
	for _, t := range tasks {
		out[t.tracker] = append(out[t.tracker], t.Record.Offset)
	}
	return out
}

// toRead returns from where records of flows that are behind must be read now: too few of them wait, and others were
// passed over.
func (p *partition) toRead() (from int64, needed bool) {
	for _, l := range p.behind {
		if l.missed && !p.isDormant(l) && len(l.waiting) < minWaiting*4 && l.read < p.tracker.next && p.hasPlace(l, nil) && (!needed || l.read < from) {
			from, needed = l.read, true
		}
	}
	return from, needed
}

// receiveBehind takes records that were read again: all from one offset to before another.
func (p *partition) receiveBehind(from, next int64, records []*kgo.Record, flowOf func(*kgo.Record) Flow) {
	next = min(next, p.tracker.next) // what the partition has not come to yet is not passed over
	reading := map[Flow]*laggard{}
	for flow, l := range p.behind {
		if l.missed && !p.isDormant(l) && l.read >= from && l.read < next {
			reading[flow] = l
		}
	}
	for _, r := range records {
		flow := flowOf(r)
		l := reading[flow]
		switch {
		case r.Offset >= next || l == nil || r.Offset < l.read || l.tracker.isDone(r.Offset):
		case p.hasPlace(l, r):
			p.wait(l, r)
		default:
			l.read = r.Offset
			delete(reading, flow)
		}
	}
	for _, l := range reading {
		l.read, l.missed = next, next < p.tracker.next
	}
}

// oldest is the time of the record that has waited longest; the zero time: none waits.
func (p *partition) oldest() (oldest time.Time) {
	earliest := func(r *kgo.Record) {
		if oldest.IsZero() || r.Timestamp.Before(oldest) {
			oldest = r.Timestamp
		}
	}
	if len(p.backlog) > 0 {
		earliest(p.backlog[0])
	}
	for _, l := range p.behind {
		if len(l.waiting) > 0 {
			earliest(l.waiting[0])
		}
	}
	return oldest
}

// flowsBehind returns the flows that are behind, in a fixed order.
func (p *partition) flowsBehind() []Flow { return slices.Sorted(maps.Keys(p.behind)) }
