package domain

import (
	"math"
	"time"
)

// LearntRate is the rate that an ERP has shown by 429 without saying it. A limit of calls at once cannot hold a rate: an ERP that
// answers in 5 ms takes 200 requests a second of a single caller.
//
// The rate follows a cubic curve, as TCP's window does (RFC 9438). After a cut it comes back quickly to where 429 came, stays near
// it, and then goes on faster and faster, as the ERP may take more today. So a 429 is rare and most of the rate is used, and a rate
// that was learnt does not bind for long once it is wrong. A zero LearntRate is no limit.
type LearntRate struct {
	Ceiling float64   `json:"ceiling,omitempty"` // calls a second at which 429 came
	Cut     float64   `json:"cut,omitempty"`     // share of the ceiling that the last cut took
	CutAt   time.Time `json:"cut_at,omitzero"`
}

const (
	rateRecovery   = 30 * time.Second // a cut rate is back at its ceiling after this
	rateCut        = 0.03             // share of the ceiling that a cut takes
	rareBusy       = 0.1              // share of the calls up to which 429 is rare
	minBusy        = 10               // 429 answers lately from which an ERP shows a rate
	rateForgetting = 10               // times the ceiling: nobody has met the limit for minutes
)

// At is the rate at that time; 0 when there is none.
func (r LearntRate) At(now time.Time) Rate {
	if r.Ceiling == 0 {
		return 0
	}
	t := float64(now.Sub(r.CutAt))/float64(rateRecovery) - 1
	rate := r.Ceiling * (1 + r.Cut*math.Pow(max(-1, t), 3))
	if rate > r.Ceiling*rateForgetting {
		return 0
	}
	return Rate(rate)
}

// AfterBusy is the rate after a 429 of a call that began at that time. The meter knows how many calls the whole installation was
// answered. Calls that began before the last cut met a higher rate and say nothing about this one; nor do those of the second after
// it, as an ERP that counts by the second refuses all of the rest of a second.
//
// Where many calls get 429, those that do not are what the ERP takes. Where few do, the rate is what it took until now. In the first
// second of all neither is known, and nothing is learnt. Nor is anything learnt of a few: in a quiet hour an ERP takes a call a second,
// as there are no more, and what it answers to one order must not hold the next thousand to that.
func (r LearntRate) AfterBusy(began time.Time, m Meter, now time.Time) LearntRate {
	if r.Ceiling != 0 && began.Before(r.CutAt.Add(time.Second)) {
		return r
	}
	ceiling, taken := float64(r.At(now)), m.taken(now)
	if ceiling == 0 && m.until(now).Busy < minBusy {
		return r
	}
	if taken > 0 && (ceiling == 0 || !m.BusyIsRare(now) && taken < ceiling) {
		ceiling = taken
	}
	if ceiling == 0 {
		return r
	}
	return LearntRate{Ceiling: max(ceiling, minLearntRate), Cut: rateCut, CutAt: now.Round(0).UTC()}
}

// minLearntRate is the lowest ceiling: a call in ten seconds finds out when the ERP takes more again.
const minLearntRate = 0.1

// Tighter is the lower of two limits, where 0 is none.
func (r Rate) Tighter(other Rate) Rate {
	if r <= 0 || other > 0 && other < r {
		return other
	}
	return r
}

// Meter counts answers by the second: the second that runs, and the whole one before it. For shops with few calls it remembers a little of
// what was before.
type Meter struct {
	Second         time.Time
	Taken, Refused [2]int  // by 429: refused; by anything else: taken. [0] runs, [1] is before it
	Busy           float64 `json:",omitempty"` // 429 answers, each half as much after meterHalfLife
	Slow           float64 `json:",omitempty"` // share of the newest calls, some meterCalls, that got 429 or 503
}

const (
	meterHalfLife = 30 * time.Second
	meterCalls    = 32
)

// With is the meter after one more call.
func (m Meter) With(h Health, ended time.Time) Meter {
	m = m.until(ended)
	switch {
	case h == HealthUnknown:
		return m
	case h.Slows():
		m.Slow += (1 - m.Slow) / meterCalls
	default:
		m.Slow -= m.Slow / meterCalls
	}
	switch {
	case h == HealthBusy:
		m.Refused[0]++
		m.Busy++
	case !h.Fails():
		m.Taken[0]++
	}
	return m
}

func (m Meter) until(now time.Time) Meter {
	second := now.Truncate(time.Second)
	switch passed := second.Sub(m.Second); {
	case passed <= 0:
		return m
	case passed == time.Second:
		m.Taken, m.Refused = [2]int{0, m.Taken[0]}, [2]int{0, m.Refused[0]}
	default:
		m.Taken, m.Refused = [2]int{}, [2]int{}
	}
	m.Busy *= math.Exp2(-float64(second.Sub(m.Second)) / float64(meterHalfLife))
	m.Second = second
	return m
}

// taken is how many calls the ERP took in the newest whole second.
func (m Meter) taken(now time.Time) float64 { return float64(m.until(now).Taken[1]) }

// IsRare reports whether few of the newest calls were answered like this one, by 429 or 503: it is about its order, or the learnt rate
// follows it. The number of calls at once need not.
func (m Meter) IsRare(h Health, now time.Time) bool {
	return m.Slow <= rareBusy || h == HealthBusy && m.BusyIsRare(now)
}

// BusyIsRare reports whether few of the newest calls got 429: the pace is a little above what the ERP takes, and not far above.
func (m Meter) BusyIsRare(now time.Time) bool {
	m = m.until(now)
	taken, refused := m.Taken[0]+m.Taken[1], m.Refused[0]+m.Refused[1]
	return float64(refused) <= rareBusy*float64(taken+refused)
}
