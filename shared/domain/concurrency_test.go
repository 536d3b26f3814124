package domain

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ended is a call that began at noon and took so long, while as many were under way as the limit lets.
func ended(h Health, took time.Duration) PacedCall {
	return PacedCall{Began: noon, Ended: noon.Add(took), Health: h, InFlight: 64}
}

// rare is a call of noon that was answered by 429 or 503 as few others, while so many were under way.
func rare(h Health, inFlight int) PacedCall {
	return PacedCall{Began: noon, Ended: noon, Health: h, InFlight: inFlight, IsRare: true}
}

// An ERP that fails a tenth of its calls for ever, whatever the pace, is still given some at once: what the rare ones take off, the rounds
// of the others bring back.
func TestALimitWithATenthOfUnavailable(t *testing.T) {
	t.Parallel()
	p, l := DefaultLimitPolicy(64), Limit{}
	luck := rand.New(rand.NewPCG(1, 2))
	sum, lowest := 0, 64
	const rounds = 1_000
	for i := range rounds {
		began := noon.Add(time.Duration(i) * time.Second)
		inFlight := l.Current(p)
		for range inFlight {
			c := PacedCall{Began: began, Ended: began.Add(50 * time.Millisecond), Health: HealthGood, InFlight: inFlight}
			if luck.IntN(10) == 0 {
				c.Health, c.IsRare = HealthUnavailable, true
			}
			l = l.After(c, p)
		}
		sum, lowest = sum+l.Current(p), min(lowest, l.Current(p))
	}
	require.GreaterOrEqual(t, sum/rounds, 16)
	require.GreaterOrEqual(t, lowest, 5)
	require.LessOrEqual(t, sum/rounds, 48, "and not all")
}

func TestTheLimitAfterACall(t *testing.T) {
	t.Parallel()
	p := DefaultLimitPolicy(64)
	quick := 10 * time.Millisecond
	for name, c := range map[string]struct {
		before Limit
		call   PacedCall
		want   int
	}{
		"at first it is the maximum":                {Limit{}, ended(HealthOrderOwn, quick), 64},
		"429":                                       {Limit{Value: 10}, ended(HealthBusy, quick), 7},
		"503":                                       {Limit{Value: 10}, ended(HealthUnavailable, quick), 7},
		"never below one":                           {Limit{Value: 1}, ended(HealthBusy, quick), 1},
		"a rare 429 takes one off":                  {Limit{Value: 10}, rare(HealthBusy, 5), 9},
		"so does a rare 503":                        {Limit{Value: 10}, rare(HealthUnavailable, 5), 9},
		"but not in a quiet hour":                   {Limit{Value: 10}, rare(HealthBusy, 4), 10},
		"nor twice in a round trip":                 {Limit{Value: 10, Lessened: noon.Add(1)}, rare(HealthBusy, 5), 10},
		"never the last one":                        {Limit{Value: 1}, rare(HealthBusy, 1), 1},
		"a call of before the last decrease":        {Limit{Value: 10, Decreased: noon.Add(1)}, ended(HealthBusy, quick), 10},
		"one that began with it":                    {Limit{Value: 10, Decreased: noon}, ended(HealthBusy, quick), 7},
		"the last success of a round":               {Limit{Value: 10, Succeeded: 9}, ended(HealthGood, quick), 11},
		"the last but one":                          {Limit{Value: 10, Succeeded: 8}, ended(HealthGood, quick), 10},
		"a refused order is answered, too":          {Limit{Value: 10, Succeeded: 9}, ended(HealthOrderOwn, quick), 11},
		"a failure is not":                          {Limit{Value: 10, Succeeded: 9}, ended(HealthFailing, quick), 10},
		"no call":                                   {Limit{Value: 10, Succeeded: 9}, ended(HealthUnknown, quick), 10},
		"not beyond the maximum":                    {Limit{Value: 64, Succeeded: 63}, ended(HealthGood, quick), 64},
		"less than half of the limit was in use":    {Limit{Value: 10, Succeeded: 9}, PacedCall{Began: noon, Ended: noon.Add(quick), Health: HealthGood, InFlight: 4}, 10},
		"half of it was":                            {Limit{Value: 10, Succeeded: 9}, PacedCall{Began: noon, Ended: noon.Add(quick), Health: HealthGood, InFlight: 5}, 11},
		"the maximum was lowered":                   {Limit{Value: 200}, ended(HealthBusy, quick), 44},
		"latency that has grown five times":         {Limit{Value: 10, Minimum: 100 * time.Millisecond, Judged: noon, Latencies: slow(500)}, ended(HealthGood, 500*time.Millisecond), 3},
		"that has not grown twice":                  {Limit{Value: 10, Minimum: 100 * time.Millisecond, Judged: noon, Latencies: slow(199)}, ended(HealthGood, 199*time.Millisecond), 10},
		"one slow call among many":                  {Limit{Value: 10, Minimum: 100 * time.Millisecond, Judged: noon, Latencies: slow(100)}, ended(HealthGood, time.Minute), 10},
		"timeouts are latency":                      {Limit{Value: 10, Minimum: 100 * time.Millisecond, Judged: noon, Latencies: slow(500)}, ended(HealthFailing, time.Minute), 3},
		"an ERP that cannot be reached has none":    {Limit{Value: 10, Minimum: 100 * time.Millisecond, Judged: noon, Latencies: slow(500)}, ended(HealthFailing, time.Millisecond), 10},
		"from 1 ms to 15 ms is no growth":           {Limit{Value: 10, Minimum: time.Millisecond, Judged: noon, Latencies: slow(15)}, ended(HealthGood, 15*time.Millisecond), 10},
		"without a minimum there is nothing to say": {Limit{Value: 10, Latencies: slow(500)}, ended(HealthGood, 500*time.Millisecond), 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.before.After(c.call, p).Current(p))
		})
	}
}

// slow are the latencies of all calls but one of a judgement.
func slow(milliseconds int) []time.Duration {
	return slices.Repeat([]time.Duration{time.Duration(milliseconds) * time.Millisecond}, DefaultLimitPolicy(1).Samples-1)
}

// queueingERP works on so many orders at once, each for so long; others wait in it.
type queueingERP struct {
	free []time.Time // of each worker
	work time.Duration
}

func (e *queueingERP) answers(now time.Time) time.Time {
	next := 0
	for i, at := range e.free {
		if at.Before(e.free[next]) {
			next = i
		}
	}
	e.free[next] = later(e.free[next], now).Add(e.work)
	return e.free[next]
}

// run lets as many calls be under way as the limit lets, for so long. It returns the calls that ended and the longest wait.
func (e *queueingERP) run(l *Limit, p LimitPolicy, from time.Time, lasts time.Duration) (done int, slowest time.Duration) {
	var flying []PacedCall
	for now := from; now.Before(from.Add(lasts)); now = now.Add(time.Millisecond) {
		kept := flying[:0]
		for _, c := range flying {
			if c.Ended.After(now) {
				kept = append(kept, c)
				continue
			}
			done++
			slowest = max(slowest, c.Ended.Sub(c.Began))
			*l = l.After(c, p)
		}
		flying = kept
		for len(flying) < l.Current(p) {
			flying = append(flying, PacedCall{Began: now, Ended: e.answers(now), Health: HealthGood, InFlight: len(flying) + 1})
		}
	}
	return done, slowest
}

// An ERP with eight workers is kept busy, and its queue is kept short. 64 calls at once would wait eight times as long as they take.
func TestTheLimitFindsWhatAnERPCanDo(t *testing.T) {
	t.Parallel()
	p, l := DefaultLimitPolicy(64), Limit{}
	e := queueingERP{free: make([]time.Time, 8), work: 50 * time.Millisecond}
	_, slowest := e.run(&l, DefaultLimitPolicy(4), noon, time.Minute)
	require.Equal(t, 50*time.Millisecond, slowest, "with four calls nobody waits")
	e.run(&l, p, noon.Add(time.Minute), time.Minute)
	done, slowest := e.run(&l, p, noon.Add(2*time.Minute), 30*time.Minute)
	require.GreaterOrEqual(t, done, 30*60*160*95/100, "160 a second can be done")
	require.LessOrEqual(t, slowest, 250*time.Millisecond)
}

// An ERP that became ten times as slow for good, after a larger import, say, was throttled to one call at a time for ever. A limit
// whose minimum forgets gives it all its calls again within some minutes.
func TestAnERPThatBecameSlowerForGood(t *testing.T) {
	t.Parallel()
	p, l := DefaultLimitPolicy(8), Limit{}
	e := queueingERP{free: make([]time.Time, 8), work: 50 * time.Millisecond}
	e.run(&l, p, noon, time.Minute)
	require.Equal(t, 8, l.Current(p))
	e.work = 500 * time.Millisecond
	e.run(&l, p, noon.Add(time.Minute), time.Minute)
	require.LessOrEqual(t, l.Current(p), 4, "it may be overloaded")
	e.run(&l, p, noon.Add(2*time.Minute), 8*time.Minute)
	done, _ := e.run(&l, p, noon.Add(10*time.Minute), time.Minute)
	require.GreaterOrEqual(t, done, 60*16*95/100, "16 a second can be done")
}

func TestALimitWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, now := Limit{}, noon
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			p := DefaultLimitPolicy(rapid.IntRange(1, 20).Draw(t, "most"))
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(50*time.Millisecond)).Draw(t, "passed")))
			c := PacedCall{
				Began: now.Add(-time.Duration(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "took"))), Ended: now,
				Health:   rapid.SampledFrom([]Health{HealthUnknown, HealthGood, HealthGood, HealthOrderOwn, HealthFailing, HealthBusy, HealthUnavailable}).Draw(t, "health"),
				InFlight: rapid.IntRange(1, 20).Draw(t, "in flight"),
				IsRare:   rapid.Bool().Draw(t, "rare"),
			}
			before := l.Current(p)
			held := l
			next := l.After(c, p)
			require.Equal(t, held, l, "the value itself stays")
			require.True(t, next.Current(p) >= 1 && next.Current(p) <= p.Max)
			require.LessOrEqual(t, next.Current(p), before+1)
			if next.Current(p) < before {
				require.False(t, c.Began.Before(l.Decreased), "a second decrease in one round trip")
				if c.IsRare && c.Health.Slows() {
					require.Equal(t, before-1, next.Current(p))
					require.False(t, c.Began.Before(l.Lessened), "a second one in one round trip")
					require.Equal(t, now, next.Lessened)
				} else {
					require.Equal(t, now, next.Decreased)
				}
			}
			text, err := json.Marshal(next)
			require.NoError(t, err)
			var read Limit
			require.NoError(t, json.Unmarshal(text, &read))
			require.Equal(t, next, read)
			l = next
		}
	})
}
