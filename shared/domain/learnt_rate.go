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
	Ceiling  float64   `json:"ceiling,omitempty"` // calls a second at which 429 came
	Cut      float64   `json:"cut,omitempty"`     // share of the ceiling that the last cut took
	CutAt    time.Time `json:"cut_at,omitzero"`
	Met      bool      `json:"met,omitempty"`      // 429 came again since the ceiling was taken from what the ERP took
	Early    int       `json:"early,omitempty"`    // how often 429 came again soon after a cut, since the rate has last met its ceiling
	RaisedAt time.Time `json:"raised_at,omitzero"` // when a 429 soon after a cut raised the ceiling last
}

const (
	rateRecovery   = 30 * time.Second // a cut rate is back at its ceiling after this
	firstRecovery  = 10 * time.Second // until 429 has come there: what the ERP took may have been less than it takes
	rateCut        = 0.03             // share of the ceiling that a cut takes; one soon after it takes twice as much
	minBusy        = 10               // 429 answers lately from which an ERP shows a rate
	maxEarly       = 3                // cuts in a row that a rate above what the ERP takes may need
	rateRaise      = 0.05             // share of the ceiling that it is raised by
	rareBusy       = 0.15             // share of the calls up to which 429 is rare
	rateForgetting = 10               // times the ceiling: nobody has met the limit for minutes
)

// At is the rate at that time; 0 when there is none.
func (r LearntRate) At(now time.Time) Rate {
	if r.Ceiling == 0 {
		return 0
	}
	recovery := firstRecovery
	if r.Met {
		recovery = rateRecovery
	}
	t := float64(now.Sub(r.CutAt))/float64(recovery) - 1
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
// The first ten, and each where many calls get one, say that the ERP takes what it took in a second in which it answered 429: in any other
// it may have been asked for less. Nothing is learnt of a few: in a quiet hour an ERP takes a call a second, as there are no more, and what it
// answers to one order must not hold the next thousand to that.
//
// Where few do, the rate has passed what the ERP takes, or the ERP refuses some orders whatever the rate is. In the first case cuts bring
// it below, each twice as deep as the one before, and 429 stays away until the rate is near its ceiling again. Where it keeps coming soon
// after the cuts, they gain nothing, and the ceiling goes up again: such an ERP must not be called less and less.
func (r LearntRate) AfterBusy(began time.Time, m Meter, now time.Time) LearntRate {
	if r.Ceiling != 0 && began.Before(later(r.CutAt, r.RaisedAt).Add(time.Second)) {
		return r
	}
	now = now.Round(0).UTC()
	m = m.until(now)
	ceiling, taken := float64(r.At(now)), m.taken()
	early, met := 0, true
	switch rare := m.BusyIsRare(); {
	case ceiling == 0 && (m.Shown == 0 || m.Lately < minBusy):
		return r
	case ceiling == 0:
		ceiling, met = float64(m.Shown), false
	case !rare && taken > 0 && taken < ceiling:
		ceiling, met = taken, false
	case rare && ceiling < r.Ceiling:
		if r.Early >= maxEarly {
			return r.raised(now)
		}
		if early = r.Early; ceiling < r.Ceiling*(1-r.Cut/2) {
			early++
		}
	}
	return LearntRate{Ceiling: max(ceiling, minLearntRate), Cut: rateCut * math.Exp2(float64(early)), CutAt: now, Met: met, Early: early}
}

// raised is the rate with a higher ceiling; one that no ERP takes is none.
func (r LearntRate) raised(now time.Time) LearntRate {
	r.Ceiling, r.RaisedAt = r.Ceiling*(1+rateRaise), now
	if r.Ceiling > maxLearntRate {
		return LearntRate{}
	}
	return r
}

// The lowest ceiling: a call in ten seconds finds out when the ERP takes more again. And the highest.
const (
	minLearntRate = 0.1
	maxLearntRate = 10_000
)

// Tighter is the lower of two limits, where 0 is none.
func (r Rate) Tighter(other Rate) Rate {
	if r <= 0 || other > 0 && other < r {
		return other
	}
	return r
}

// Meter counts answers: what the ERP took in the second that runs and in the two before it, and how many of the newest calls got 429
// or 503.
type Meter struct {
	Second  time.Time
	Taken   [3]int    // neither 429 nor failed; [0] in the second that runs, [1] in the one before
	Refused [3]int    // 429 answers in the same seconds
	Shown   int       `json:",omitempty"` // the most that it took in a whole second in which 429 came, within meterMemory
	ShownAt time.Time `json:",omitzero"`  // that second
	Lately  float64   `json:",omitempty"` // 429 answers, each half as much after meterHalfLife
	Calls   float64   `json:",omitempty"` // answered; each counts less with each call after it
	Busy    float64   `json:",omitempty"` // of them with 429
	Slow    float64   `json:",omitempty"` // of them with 429 or 503
}

const (
	meterHalfLife = 30 * time.Second
	meterMemory   = time.Minute
	meterCalls    = 50 // after so many calls an answer counts a third
	meterFew      = 30 // a share is judged as one of so many calls at least
)

// With is the meter after one more call.
func (m Meter) With(h Health, ended time.Time) Meter {
	m = m.until(ended)
	if h == HealthUnknown {
		return m
	}
	const kept = 1 - 1./meterCalls
	m.Calls, m.Busy, m.Slow = m.Calls*kept+1, m.Busy*kept, m.Slow*kept
	if h.Slows() {
		m.Slow++
	}
	switch {
	case h == HealthBusy:
		m.Busy++
		m.Lately++
		m.Refused[0]++
	case !h.Fails():
		m.Taken[0]++
	}
	return m
}

func (m Meter) until(now time.Time) Meter {
	second := now.Truncate(time.Second)
	passed := second.Sub(m.Second)
	if passed <= 0 {
		return m
	}
	if m.isWhole(0) && m.Refused[0] > 0 && m.Taken[0] >= m.Shown {
		m.Shown, m.ShownAt = m.Taken[0], m.Second
	}
	if second.Sub(m.ShownAt) > meterMemory {
		m.Shown = 0
	}
	switch passed {
	case time.Second:
		m.Taken, m.Refused = [3]int{0, m.Taken[0], m.Taken[1]}, [3]int{0, m.Refused[0], m.Refused[1]}
	case 2 * time.Second:
		m.Taken, m.Refused = [3]int{2: m.Taken[0]}, [3]int{2: m.Refused[0]}
	default:
		m.Taken, m.Refused = [3]int{}, [3]int{}
	}
	m.Lately *= math.Exp2(-float64(passed) / float64(meterHalfLife))
	m.Second = second
	return m
}

// isWhole reports whether calls were made before that second too. Calls that begin in the middle of a second have only the rest of it, and
// what the ERP took in that rest is too low a rate.
func (m Meter) isWhole(second int) bool { return m.Taken[second+1]+m.Refused[second+1] > 0 }

// taken is what the ERP took in the second before the one that runs, or in the one before that if it was more; 0 where the former was not
// whole, or had no 429.
func (m Meter) taken() float64 {
	if !m.isWhole(1) || m.Refused[1] == 0 {
		return 0
	}
	return float64(max(m.Taken[1], m.Taken[2]))
}

// BusyIsRare reports whether few of the newest calls got 429: the pace is a little above what the ERP takes, and not far above.
func (m Meter) BusyIsRare() bool { return m.isFew(m.Busy) }

// IsRare reports whether few of the newest calls were answered like this one, by 429 or 503: it is about its order, or the learnt rate
// follows it. The number of calls at once need not.
func (m Meter) IsRare(h Health) bool { return m.isFew(m.Slow) || h == HealthBusy && m.BusyIsRare() }

func (m Meter) isFew(calls float64) bool { return calls <= rareBusy*max(m.Calls, meterFew) }
