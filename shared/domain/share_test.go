package domain

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func members(inFlight ...int) (ms []Member) {
	for i, n := range inFlight {
		ms = append(ms, Member{ID: fmt.Sprintf("syncer-%d", i), InFlight: n})
	}
	return ms
}

func sharesOf(limit int, ms []Member, now time.Time) (shares []int) {
	by := Shares(limit, ms, time.Second, now)
	for _, m := range ms {
		shares = append(shares, by[m.ID])
	}
	return shares
}

func TestSharesOfALimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit   int
		members []Member
		want    []int
	}{
		"one member":                           {64, members(0), []int{64}},
		"a limit that divides":                 {64, members(0, 0), []int{32, 32}},
		"one that does not":                    {10, members(0, 0, 0), []int{4, 3, 3}},
		"no limit left":                        {0, members(0, 0), []int{0, 0}},
		"nobody":                               {64, nil, nil},
		"a member has come and waits":          {64, members(64, 0), []int{32, 0}},
		"and gets what the other has finished": {64, members(50, 0), []int{32, 14}},
		"two have too many":                    {9, members(5, 5, 0), []int{3, 3, 0}},
		"what is taken is taken evenly":        {12, members(6, 0, 0), []int{4, 3, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, sharesOf(c.limit, c.members, noon))
		})
	}
}

// With less calls than members each gets its turn, the same number of times.
func TestTurnsWhenThereAreFewerCallsThanMembers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "members")
		limit := rapid.IntRange(1, n-1).Draw(t, "limit")
		start := noon.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start"))).Truncate(time.Second)
		turns := make([]int, n)
		idle := make([]int, n)
		for k := range n { // after as many turns as there are members, each has had the limit's number of them
			for i, share := range sharesOf(limit, members(make([]int, n)...), start.Add(time.Duration(k)*time.Second)) {
				turns[i] += share
				if idle[i]++; share > 0 {
					idle[i] = 0
				}
				require.LessOrEqual(t, idle[i], 5*((n+limit-1)/limit)/2, "member %d of %d waits for its turn", i, n)
			}
		}
		for i, got := range turns {
			require.Equal(t, limit, got, "member %d of %d, limit %d", i, n, limit)
		}
	})
}

// Members that know different limits for a moment call no more than the largest of them lets.
func TestTurnsOfASmallerLimitAreTurnsOfALargerOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ms := members(make([]int, rapid.IntRange(2, 40).Draw(t, "members"))...)
		larger := rapid.IntRange(1, 2*len(ms)).Draw(t, "larger")
		smaller := rapid.IntRange(0, larger).Draw(t, "smaller")
		now := noon.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now")))
		few, many := sharesOf(smaller, ms, now), sharesOf(larger, ms, now)
		sum := 0
		for i := range ms {
			sum += max(few[i], many[i])
		}
		require.LessOrEqual(t, sum, larger)
	})
}

func TestSharesWhateverTheMembersDo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 100).Draw(t, "limit")
		ms := members(rapid.SliceOfN(rapid.IntRange(0, 30), 1, 10).Draw(t, "in flight")...)
		now := noon.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "now")))
		shares := sharesOf(limit, ms, now)
		idle := sharesOf(limit, members(make([]int, len(ms))...), now)
		sum, under, running, above := 0, 0, 0, false
		for i, m := range ms {
			require.GreaterOrEqual(t, shares[i], 0)
			require.LessOrEqual(t, shares[i], idle[i], "calls of others never give a member more")
			sum += idle[i]
			running += m.InFlight
			under += max(shares[i], m.InFlight)
			above = above || m.InFlight > idle[i]
		}
		require.Equal(t, limit, sum, "the sum is the limit")
		require.LessOrEqual(t, under, max(limit, running), "what is under way stays within the limit")
		if running <= limit {
			require.Equal(t, limit, under, "and none of it is left")
		}
		if !above {
			require.Equal(t, idle, shares)
		}
	})
}

// The order in which the table gives the members, and who asks, does not matter; a member that goes changes the others by what it had.
func TestSharesAreTheSameForAllAndStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 8).Draw(t, "members")
		limit := rapid.IntRange(n, 100).Draw(t, "limit")
		ms := members(make([]int, n)...)
		before := Shares(limit, ms, time.Second, noon)
		require.Equal(t, before, Shares(limit, rapid.Permutation(ms).Draw(t, "order"), time.Second, noon))
		require.Equal(t, before, Shares(limit, ms, time.Second, noon.Add(time.Hour)), "time changes nothing")
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		rest := append(append([]Member{}, ms[:gone]...), ms[gone+1:]...)
		after := Shares(limit, rest, time.Second, noon)
		most := before[ms[gone].ID]/(n-1) + 2
		for _, m := range rest {
			change := after[m.ID] - before[m.ID]
			require.True(t, 0 <= change+1 && change <= most, "%s: %d → %d", m.ID, before[m.ID], after[m.ID])
		}
	})
}
