package txn

import (
	"slices"
)

// tracker follows records of one partition that finish out of order. Offsets that were never begun (transaction markers,
// compacted records, records of flows that have a tracker of their own) count as done once a later one has begun. It is
// not safe for concurrent use.
//
// The position is the first offset that is not done. What is done after it is kept in the commit's metadata, see
// metadata.go.
type tracker struct {
	position int64   // the first offset not done
	next     int64   // the first offset not begun
	open     []int64 // begun, not done; in their order
	done     []span  // read from the metadata: a former owner has finished these, at or after the position; in their order
	size     int     // an upper limit of the metadata's bytes, whichever of the open ones finish
}

// span is the offsets from one to before another.
type span struct{ from, to int64 }

// newTracker returns a tracker that starts at a committed position, with what is done after it.
func newTracker(position int64, done []span) *tracker {
	t := &tracker{position: position, next: position, done: done}
	t.measure()
	return t
}

// isDone reports whether a former owner has finished the record, so that it must be skipped.
func (t *tracker) isDone(offset int64) bool { return offset < t.position || contains(t.done, offset) }

// begin notes that work on a record begins. It is false when the record is done already and must be skipped. Offsets
// begin in their order.
func (t *tracker) begin(offset int64) bool {
	fresh := offset >= t.next && !t.isDone(offset)
	if fresh {
		t.size += t.cost(offset)
		t.open = append(t.open, offset)
	}
	t.skip(offset)
	return fresh
}

// skip notes that nothing is to be done for a record, nor for those before it that were not begun.
func (t *tracker) skip(offset int64) {
	t.next = max(t.next, offset+1)
	t.advance()
}

// confirm marks offsets as done, once their transaction is committed.
func (t *tracker) confirm(done []int64) {
	finished := setOf(done)
	t.open = slices.DeleteFunc(t.open, func(o int64) bool { return finished[o] })
	t.advance()
	t.measure()
}

// isIdle reports whether no record that has begun is unfinished, apart from the given ones.
func (t *tracker) isIdle(finished map[int64]bool) bool {
	return !slices.ContainsFunc(t.open, func(o int64) bool { return !finished[o] })
}

// horizon is the offset after the last one that was begun or is done.
func (t *tracker) horizon() int64 {
	if n := len(t.done); n > 0 {
		return max(t.next, t.done[n-1].to)
	}
	return t.next
}

// advance moves the position to the first offset that is open or was never begun.
func (t *tracker) advance() {
	t.position = t.next
	if len(t.open) > 0 {
		t.position = t.open[0]
	}
	for len(t.done) > 0 && t.done[0].to <= t.next {
		t.done = t.done[1:]
	}
}

// cost is what beginning a record may add to the metadata: a byte for the record, and a run of what is done before it.
func (t *tracker) cost(offset int64) int {
	before := t.position
	if len(t.open) > 0 {
		before = t.open[len(t.open)-1] + 1
	}
	return costOf(offset - before)
}

// costOf is the cost of an open record after a run of done ones. A set of open records never costs more than the sum of
// its members: when one of them finishes, its runs become one, which is not longer than both were.
func costOf(gap int64) int {
	if gap <= 0 {
		return 1
	}
	return 1 + uvarintLen(gap)
}

// measure computes size anew.
func (t *tracker) measure() {
	t.size = 0
	before := t.position
	for _, o := range t.open {
		t.size += costOf(o - before)
		before = o + 1
	}
	before = t.next
	for _, s := range t.done {
		t.size += uvarintLen(max(s.from-before, 0)) + uvarintLen(s.to-s.from)
		before = s.to
	}
}

// after returns the position, and the runs after it, as if the given offsets were done too. The tracker does not change,
// as the transaction may fail. The runs are the lengths of alternating runs of not done and done offsets. There are none
// when nothing is done after the position.
func (t *tracker) after(finished map[int64]bool) (position int64, runs []int64) {
	var left []span // not done
	add := func(from, to int64) {
		if n := len(left); n > 0 && left[n-1].to == from {
			left[n-1].to = to
			return
		}
		left = append(left, span{from, to})
	}
	for _, o := range t.open {
		if !finished[o] {
			add(o, o+1)
		}
	}
	horizon := t.next
	for _, s := range t.done {
		if s.from > horizon {
			add(horizon, s.from)
		}
		horizon = max(horizon, s.to)
	}
	if len(left) == 0 {
		return horizon, nil
	}
	for i, l := range left {
		end := horizon
		if i+1 < len(left) {
			end = left[i+1].from
		}
		runs = append(runs, l.to-l.from)
		if end > l.to {
			runs = append(runs, end-l.to)
		}
	}
	if len(runs) == 1 {
		runs = nil
	}
	return left[0].from, runs
}

func setOf(offsets []int64) map[int64]bool {
	set := make(map[int64]bool, len(offsets))
	for _, o := range offsets {
		set[o] = true
	}
	return set
}

// contains reports whether one of the spans has the offset.
func contains(spans []span, offset int64) bool {
	i, _ := slices.BinarySearchFunc(spans, offset, func(s span, o int64) int {
		if s.to <= o {
			return -1
		}
		return 1
	})
	return i < len(spans) && spans[i].from <= offset
}

// before returns the parts of spans before an offset.
func before(spans []span, offset int64) (out []span) {
	for _, s := range spans {
		if s.from < offset {
			out = append(out, span{s.from, min(s.to, offset)})
		}
	}
	return out
}
