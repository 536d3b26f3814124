package stream

import "slices"

// ring holds the newest facts, and where in the log it begins and ends. Its memory is bounded, however slow its readers are.
type ring struct {
	limits      Limits
	facts       []Fact
	bytes       int
	first       int64   // the number of facts[0], counted from the begin of the session
	start, next []int64 // by partition: the first offset that it holds all from, and the one after the last
}

func newRing(at []int64, l Limits) *ring {
	return &ring{limits: l, start: slices.Clone(at), next: slices.Clone(at)}
}

// add appends a fact, and drops the oldest ones where there is no room.
func (r *ring) add(f Fact) {
	r.facts = append(r.facts, f)
	r.bytes += len(f.Data)
	r.next[f.partition] = f.offset + 1
	for len(r.facts) > r.limits.RingFacts || r.bytes > r.limits.RingBytes {
		oldest := r.facts[0]
		r.start[oldest.partition] = oldest.offset + 1
		r.bytes -= len(oldest.Data)
		r.facts[0] = Fact{} // the array behind the slice would keep it
		r.facts = r.facts[1:]
		r.first++
	}
}

// end is the number of the fact that comes next.
func (r *ring) end() int64 { return r.first + int64(len(r.facts)) }

// holds reports whether the ring has all facts from these offsets on.
func (r *ring) holds(next []int64) bool {
	for i, offset := range next {
		if offset < r.start[i] {
			return false
		}
	}
	return true
}

// from copies at most limit facts from that number on. ok is false when it has dropped some of them.
func (r *ring) from(number int64, limit int) (facts []Fact, ok bool) {
	if number < r.first {
		return nil, false
	}
	rest := r.facts[number-r.first:]
	return slices.Clone(rest[:min(limit, len(rest))]), true
}
