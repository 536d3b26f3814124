package domain

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Member is a process that calls the ERP, as all processes see it in the shared table.
type Member struct {
	ID       string
	InFlight int   // its calls under way, as it told last
	Roster   int64 // names the members that it goes by, as it told last; 0: it does not tell
}

// turnStep is by how many members each turn begins after the one before: the golden section of their number, or a number near it that
// leads to each of them. So the first of the turns are spread evenly, whatever the limit is.
func turnStep(members int) int {
	step := max(1, int(math.Round(float64(members)*(math.Sqrt(5)-1)/2)))
	for gcd(step, members) > 1 {
		step++
	}
	return step
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Shares divides the limit of calls at once among the members, and gives each its number. The shares differ by one at most, and
// their sum is the limit. A member that comes or goes changes each other share by as little as that needs.
//
// When there are fewer calls than members, they take turns, each turn as long as turn: every member gets one within
// 2.5 times members/limit turns. So one process cannot keep the ERP from all others while the breaker closes. Whose turn it is with a
// smaller limit, it also is with a larger one: members that know different limits for a moment call no more than the larger one lets.
//
// A member may have more calls under way than its share: the limit has shrunk, a member has come, or its turn has ended. Until they
// end the others get fewer, so that what is under way stays within the limit.
func Shares(limit int, members []Member, turn time.Duration, now time.Time) map[string]int {
	members = slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	shares := make(map[string]int, len(members))
	if len(members) == 0 {
		return shares
	}
	limit = max(0, limit)
	least, extra := limit/len(members), limit%len(members)
	first := 0
	if least == 0 && extra > 0 && turn > 0 {
		first = int(now.UnixNano()/int64(turn)%int64(len(members))) * turnStep(len(members)) % len(members)
	}
	over := 0
	for i, m := range members {
		shares[m.ID] = least
		if (i-first+len(members))%len(members) < extra {
			shares[m.ID]++
		}
		over += max(0, m.InFlight-shares[m.ID])
	}
	giveUp(shares, members, over)
	return shares
}

// giveUp takes so many calls from members that have room, evenly. What is under way cannot be taken.
func giveUp(shares map[string]int, members []Member, over int) {
	for taken := true; over > 0 && taken; {
		taken = false
		for _, m := range members {
			if over > 0 && shares[m.ID] > m.InFlight {
				shares[m.ID]--
				over--
				taken = true
			}
		}
	}
}
