package outbox

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Range is a run of ids, from First to Last, both included. In JSON it is [first, last].
type Range struct{ First, Last int64 }

// MarshalJSON implements json.Marshaler.
func (r Range) MarshalJSON() ([]byte, error) { return json.Marshal([2]int64{r.First, r.Last}) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *Range) UnmarshalJSON(encoded []byte) error {
	var ends []int64
	if err := json.Unmarshal(encoded, &ends); err != nil {
		return err
	}
	if len(ends) != 2 || ends[0] > ends[1] {
		return fmt.Errorf("%s is not [first, last]", encoded)
	}
	r.First, r.Last = ends[0], ends[1]
	return nil
}

// Gaps are ids that no row is visible for yet: ranges in ascending order that do not touch. The zero value has none. A
// value is never changed; each method returns another one.
type Gaps []Range

// Has reports whether an id is in a gap.
func (g Gaps) Has(id int64) bool {
	i, _ := slices.BinarySearchFunc(g, id, func(r Range, id int64) int {
		if r.Last < id {
			return -1
		}
		return 1
	})
	return i < len(g) && g[i].First <= id
}

// And returns the ids of both.
func (g Gaps) And(others Gaps) Gaps {
	all := slices.Concat(g, others)
	slices.SortFunc(all, func(a, b Range) int {
		if a.First < b.First {
			return -1
		}
		return 1
	})
	var joined Gaps
	for _, r := range all {
		if n := len(joined); n > 0 && r.First <= joined[n-1].Last+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}

// Without returns the ids that are not among others.
func (g Gaps) Without(others Gaps) Gaps {
	var left Gaps
	for _, r := range g {
		first := r.First
		for len(others) > 0 && others[0].Last < first {
			others = others[1:]
		}
		for _, o := range others {
			if o.First > r.Last {
				break
			}
			if o.First > first {
				left = append(left, Range{first, o.First - 1})
			}
			first = o.Last + 1
		}
		if first <= r.Last {
			left = append(left, Range{first, r.Last})
		}
	}
	return left
}

// UpTo returns the ids up to the given one.
func (g Gaps) UpTo(id int64) Gaps {
	var low Gaps
	for _, r := range g {
		if r.First <= id {
			low = append(low, Range{r.First, min(r.Last, id)})
		}
	}
	return low
}

// GapsOf returns the given ids as ranges; they must be ascending.
func GapsOf(ids ...int64) Gaps {
	var g Gaps
	for _, id := range ids {
		if n := len(g); n > 0 && g[n-1].Last == id-1 {
			g[n-1].Last = id
		} else {
			g = append(g, Range{id, id})
		}
	}
	return g
}

// columns returns the firsts and the lasts, for unnest.
func (g Gaps) columns() (firsts, lasts []int64) {
	firsts, lasts = make([]int64, len(g)), make([]int64, len(g))
	for i, r := range g {
		firsts[i], lasts[i] = r.First, r.Last
	}
	return firsts, lasts
}
