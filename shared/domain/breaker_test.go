package domain

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// outage is a breaker that has opened at noon.
func outage(t require.TestingT) Breaker {
	b, ok := Breaker{}.Trip(callsOf("ffffffffff", noon), DefaultBreakerPolicy(), Moment{Now: noon, By: "syncer-1"})
	require.True(t, ok)
	return b
}

func at(d time.Duration) Moment { return Moment{Now: noon.Add(d), By: "syncer-2"} }

func TestAnOutageFromTheFirstFailuresToTheLastStep(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	b := outage(t)
	require.Equal(t, Breaker{
		State: BreakerOpen, Since: noon, Why: "10 of the newest 10 calls failed, of 10 orders", By: "syncer-1", Epoch: 1,
		OutSince: noon, OutWhy: "10 of the newest 10 calls failed, of 10 orders", Failures: 1, ProbeAt: noon.Add(5 * time.Second),
	}, b)
	_, ok := b.BeginProbe(p, at(4999*time.Millisecond))
	require.False(t, ok, "not before its time")
	b, ok = b.BeginProbe(p, at(5*time.Second))
	require.True(t, ok)
	require.Equal(t, []any{BreakerProbing, ProbeByHealth, 0}, []any{b.State, b.Probe, b.Allows(64)}, "the health endpoint costs no order an attempt")
	_, ok = b.BeginProbe(p, at(6*time.Second))
	require.False(t, ok, "somebody probes")
	b, ok = b.EndProbe(ProbeResult{Epoch: b.Epoch, Verdict: ProbeFailing, Said: "HTTP 502 without a body"}, p, at(7*time.Second))
	require.True(t, ok)
	require.Equal(t, "the probe by the health endpoint failed: HTTP 502 without a body", b.Why)
	require.Equal(t, noon.Add(17*time.Second), b.ProbeAt, "twice as long")
	require.Equal(t, []any{noon, "10 of the newest 10 calls failed, of 10 orders"}, []any{b.OutSince, b.OutWhy}, "of the outage, whatever the probes say")
	b, _ = b.BeginProbe(p, at(17*time.Second))
	b, ok = b.EndProbe(ProbeResult{Epoch: b.Epoch, Verdict: ProbeGood}, p, at(18*time.Second))
	require.True(t, ok)
	require.Equal(t, &Probed{At: noon.Add(18 * time.Second), Kind: ProbeByHealth, Verdict: ProbeGood}, b.LastProbe)
	var steps []int
	for b.Is(BreakerClosing) {
		steps = append(steps, b.Allows(64))
		b, ok = b.Count(Tally{Epoch: b.Epoch, Succeeded: b.Allowed}, 64, p, at(19*time.Second))
		require.True(t, ok)
	}
	require.Equal(t, []int{1, 2, 4, 8, 16, 32, 64}, steps)
	require.True(t, b.Is(BreakerClosed))
	require.Equal(t, []any{64, "the ERP works again", time.Time{}, ""}, []any{b.Allows(64), b.Why, b.OutSince, b.OutWhy})
}

func TestAnOrderProbesWhereTheHealthEndpointCannot(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	probe := func(b Breaker, v ProbeVerdict, after time.Duration) (ProbeKind, Breaker) {
		b, ok := b.BeginProbe(p, at(after))
		require.True(t, ok)
		kind := b.Probe
		b, ok = b.EndProbe(ProbeResult{Epoch: b.Epoch, Verdict: v}, p, at(after))
		require.True(t, ok)
		return kind, b
	}
	t.Run("there is none", func(t *testing.T) {
		t.Parallel()
		kind, b := probe(outage(t), ProbeMissing, 5*time.Second)
		require.Equal(t, ProbeByHealth, kind)
		require.Equal(t, 1, b.Failures, "nothing was learnt, so nobody waits longer")
		kind, b = probe(b, ProbeFailing, 5*time.Second)
		require.Equal(t, ProbeByOrder, kind, "at once")
		kind, _ = probe(b, ProbeGood, time.Minute)
		require.Equal(t, ProbeByOrder, kind, "for the rest of the outage")
	})
	t.Run("it says that all is well while orders fail", func(t *testing.T) {
		t.Parallel()
		_, b := probe(outage(t), ProbeGood, 5*time.Second)
		b, ok := b.Count(Tally{Epoch: b.Epoch, Failed: 1, Said: "no disk"}, 64, p, at(6*time.Second))
		require.True(t, ok)
		require.Equal(t, "1 of 1 calls failed while it closed: no disk", b.Why)
		require.Equal(t, noon.Add(16*time.Second), b.ProbeAt, "waits longer")
		kind, _ := probe(b, ProbeGood, time.Minute)
		require.Equal(t, ProbeByOrder, kind)
	})
	t.Run("the setting names none", func(t *testing.T) {
		t.Parallel()
		without := p
		without.HasHealth = false
		b, ok := outage(t).BeginProbe(without, at(5*time.Second))
		require.True(t, ok)
		require.Equal(t, []any{ProbeByOrder, 1, 0}, []any{b.Probe, b.Allows(64), b.Allows(0)})
	})
	t.Run("the next outage begins with the health endpoint", func(t *testing.T) {
		t.Parallel()
		_, b := probe(outage(t), ProbeMissing, 5*time.Second)
		b, _ = b.CloseByHand("it works", at(time.Minute))
		require.False(t, b.ByOrder)
	})
}

// Probes come after 5, 10, 20, 40, 60 and 60 seconds; jitter makes each longer, never shorter.
func TestWhenProbesCome(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	for failures, want := range map[int]time.Duration{
		0: 5 * time.Second, 1: 5 * time.Second, 2: 10 * time.Second, 3: 20 * time.Second, 4: 40 * time.Second,
		5: time.Minute, 6: time.Minute, 5000: time.Minute,
	} {
		require.Equal(t, want, p.wait(failures, 0), failures)
		require.Equal(t, want+want/10, p.wait(failures, 0.5), failures)
	}
}

// A prober that died would have kept the breaker open for ever. Its late result counts for nothing.
func TestAProbeOfAProcessThatDied(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	first, _ := outage(t).BeginProbe(p, at(5*time.Second))
	_, ok := first.BeginProbe(p, at(5*time.Second+p.ProbeLimit-1))
	require.False(t, ok)
	second, ok := first.BeginProbe(p, at(5*time.Second+p.ProbeLimit))
	require.True(t, ok)
	same, ok := second.EndProbe(ProbeResult{Epoch: first.Epoch, Verdict: ProbeGood}, p, at(2*time.Minute))
	require.False(t, ok)
	require.Equal(t, second, same)
	abandoned, ok := second.EndProbe(ProbeResult{Epoch: second.Epoch, Verdict: ProbeAbandoned}, p, at(2*time.Minute))
	require.True(t, ok)
	require.True(t, abandoned.ProbeDue(noon.Add(2*time.Minute)), "somebody else probes at once")
}

// Calls that were under way when the ERP failed end after the breaker has begun to close. They would have opened it again.
func TestOnlyCallsOfTheEpochCountWhileItCloses(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	b, _ := outage(t).BeginProbe(p, at(5*time.Second))
	b, _ = b.EndProbe(ProbeResult{Epoch: b.Epoch, Verdict: ProbeGood}, p, at(6*time.Second))
	tally := Tally{Epoch: b.Epoch}.
		With(Call{Epoch: 0, Health: HealthFailing}, "of before").
		With(Call{Epoch: b.Epoch, Health: HealthUnknown}, "").
		With(Call{Epoch: b.Epoch, Health: HealthOrderOwn}, "refused").
		With(Call{Epoch: b.Epoch, Health: HealthBusy}, "slowly")
	require.Equal(t, Tally{Epoch: b.Epoch, Succeeded: 2}, tally)
	require.Equal(t, Tally{Epoch: b.Epoch, Succeeded: 2, Failed: 1, Said: "no"}, tally.With(Call{Epoch: b.Epoch, Health: HealthUnavailable}, "no"))
	_, ok := b.Count(Tally{Epoch: 0, Failed: 9}, 64, p, at(7*time.Second))
	require.False(t, ok)
	_, ok = b.Count(Tally{Epoch: b.Epoch}, 64, p, at(7*time.Second))
	require.False(t, ok, "nothing happened")
}

func TestHowManyFailuresOpenAClosingBreaker(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	for name, c := range map[string]struct {
		allowed, succeeded, failed, limit int
		state                             BreakerState
		next                              int
	}{
		"one is not enough":                      {1, 0, 1, 64, BreakerClosing, 1},
		"nor are two":                            {2, 0, 2, 64, BreakerClosing, 2},
		"three are":                              {2, 0, 3, 64, BreakerOpen, 0},
		"three more than succeeded":              {8, 1, 4, 64, BreakerOpen, 0},
		"half of a step":                         {4, 2, 2, 64, BreakerClosing, 4},
		"a step with a failure ends too":         {4, 3, 1, 64, BreakerClosing, 8},
		"before the step has ended":              {8, 7, 0, 64, BreakerClosing, 8},
		"a fast ERP answers many at a time":      {2, 30, 1, 64, BreakerClosing, 4},
		"more than half of the highest step":     {64, 30, 33, 64, BreakerOpen, 0},
		"the highest step":                       {64, 63, 1, 64, BreakerClosed, 0},
		"a limit between two steps":              {64, 64, 0, 100, BreakerClosed, 0},
		"a limit of one":                         {1, 1, 0, 1, BreakerClosed, 0},
		"a limit that has shrunk below the step": {64, 8, 0, 8, BreakerClosed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := Breaker{State: BreakerClosing, Epoch: 3, Allowed: c.allowed}
			b, ok := b.Count(Tally{Epoch: 3, Succeeded: c.succeeded, Failed: c.failed}, c.limit, p, at(0))
			require.True(t, ok)
			require.Equal(t, []any{c.state, c.next}, []any{b.State, b.Allowed})
		})
	}
}

// An ERP that fails again soon after it worked was probed every five seconds, and each opening cost attempts.
func TestAFlappingERPWaitsLongerEachTime(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	b := outage(t)
	var waits []time.Duration
	now := noon
	for range 4 {
		waits = append(waits, b.ProbeAt.Sub(b.Since))
		now = now.Add(time.Minute)
		b, _ = b.CloseByHand("try", Moment{Now: now})
		calls := callsOf("ffffffffff", now)
		for i := range calls {
			calls[i].Epoch = b.Epoch
		}
		b, _ = b.Trip(calls, p, Moment{Now: now})
	}
	require.Equal(t, []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second}, waits)
	b, _ = b.CloseByHand("it works", Moment{Now: now})
	later := now.Add(time.Hour)
	calls := callsOf("ffffffffff", later)
	for i := range calls {
		calls[i].Epoch = b.Epoch
	}
	b, _ = b.Trip(calls, p, Moment{Now: later})
	require.Equal(t, 1, b.Failures, "an outage of its own")
}

func TestByHand(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	admin := Moment{Now: noon, By: "anna"}
	b, ok := Breaker{}.OpenByHand("they move the server", admin)
	require.True(t, ok)
	require.Equal(t, Breaker{State: BreakerOpen, Since: noon, Why: "they move the server", By: "anna", Epoch: 1, ByHand: true, OutSince: noon, OutWhy: "they move the server"}, b)
	off := p
	off.On = false
	for name, change := range map[string]func() (Breaker, bool){
		"a probe":          func() (Breaker, bool) { return b.BeginProbe(p, at(365*24*time.Hour)) },
		"the setting":      func() (Breaker, bool) { return b.TurnOff(off, at(time.Hour)) },
		"another address":  func() (Breaker, bool) { return b.ProbeNow(at(time.Hour)) },
		"failures":         func() (Breaker, bool) { return b.Trip(callsOf("ffffffffff", noon), p, at(0)) },
		"opening it again": func() (Breaker, bool) { return b.OpenByHand("again", at(time.Hour)) },
	} {
		same, ok := change()
		require.False(t, ok, name)
		require.Equal(t, b, same, name)
	}
	b, ok = b.CloseByHand("it has moved", admin)
	require.True(t, ok)
	require.Equal(t, Breaker{State: BreakerClosed, Since: noon, Why: "it has moved", By: "anna", Epoch: 2}, b)
	_, ok = b.CloseByHand("again", admin)
	require.False(t, ok)

	taken, ok := outage(t).OpenByHand("leave it", admin)
	require.True(t, ok, "of an outage that is there already")
	require.Equal(t, []any{noon, outage(t).OutWhy, true}, []any{taken.OutSince, taken.OutWhy, taken.ByHand})
	closed, ok := outage(t).TurnOff(off, admin)
	require.True(t, ok)
	require.Equal(t, "erp_breaker is off", closed.Why)
	_, ok = outage(t).TurnOff(p, admin)
	require.False(t, ok, "it is on")
}

func TestAProbeThatIsDueAtOnce(t *testing.T) {
	t.Parallel()
	p, b := DefaultBreakerPolicy(), outage(t)
	b.Failures, b.ByOrder = 7, true
	now, ok := b.ProbeNow(at(0))
	require.True(t, ok)
	require.True(t, now.ProbeDue(noon))
	require.Equal(t, []any{b.Epoch, b.OutSince, b.OutWhy}, []any{now.Epoch, now.OutSince, now.OutWhy}, "it is the same outage")
	_, ok = now.ProbeNow(at(0))
	require.False(t, ok, "it is due")
	probing, ok := now.BeginProbe(p, at(0))
	require.True(t, ok)
	require.Equal(t, ProbeByHealth, probing.Probe, "the health endpoint is another one")
	_, ok = probing.ProbeNow(at(0))
	require.False(t, ok, "somebody probes")
	again, _ := probing.EndProbe(ProbeResult{Epoch: probing.Epoch, Verdict: ProbeFailing}, p, at(0))
	require.Less(t, again.ProbeAt.Sub(noon), 10*time.Second, "the waits begin anew")
	_, ok = Breaker{}.ProbeNow(at(0))
	require.False(t, ok, "it is closed")
}

func TestTheHistoryOfABreaker(t *testing.T) {
	t.Parallel()
	p := DefaultBreakerPolicy()
	b := outage(t)
	e, ok := BreakerEventOf(Breaker{}, b)
	require.True(t, ok)
	require.True(t, e.IsNews())
	require.Equal(t, BreakerEvent{At: noon, From: BreakerClosed, To: BreakerOpen, Why: b.Why, By: "syncer-1"}, e)
	probing, _ := b.BeginProbe(p, at(5*time.Second))
	e, ok = BreakerEventOf(b, probing)
	require.True(t, ok)
	require.False(t, e.IsNews(), "the log is not told of each probe")
	closing, _ := probing.EndProbe(ProbeResult{Epoch: probing.Epoch, Verdict: ProbeGood}, p, at(6*time.Second))
	more, _ := closing.Count(Tally{Epoch: closing.Epoch, Succeeded: 1}, 64, p, at(7*time.Second))
	e, ok = BreakerEventOf(closing, more)
	require.True(t, ok)
	require.Equal(t, BreakerEvent{At: noon.Add(7 * time.Second), From: BreakerClosing, To: BreakerClosing, Why: "1 of 1 calls succeeded", By: "syncer-2", Allowed: 2}, e)
	counted, _ := more.Count(Tally{Epoch: more.Epoch, Succeeded: 1}, 64, p, at(8*time.Second))
	_, ok = BreakerEventOf(more, counted)
	require.False(t, ok, "in the middle of a step")
	closed, _ := counted.CloseByHand("fine", at(9*time.Second))
	e, _ = BreakerEventOf(counted, closed)
	require.True(t, e.IsNews())
	taken, _ := b.OpenByHand("leave it", at(time.Second))
	e, ok = BreakerEventOf(b, taken)
	require.True(t, ok, "an operator's word")
	require.False(t, e.IsNews(), "no call went out before either")
}

// A walk is anything that processes and operators can do to a breaker, at any time.
func walk(t *rapid.T, b Breaker, p BreakerPolicy, now time.Time) Breaker {
	m := Moment{Now: now, By: rapid.SampledFrom([]string{"syncer-1", "anna", "\xff\x00\n"}).Draw(t, "by"), Random: rapid.Float64Range(0, 0.999).Draw(t, "random")}
	epoch := b.Epoch - int64(rapid.IntRange(0, 1).Draw(t, "stale"))
	text := rapid.SampledFrom([]string{"", "HTTP 500", "\xff\x00\u2028", letters(5000, 'ä')}).Draw(t, "text")
	var next Breaker
	switch rapid.IntRange(0, 6).Draw(t, "what") {
	case 0:
		calls := callsOf(rapid.StringMatching(`[gfobu-]{0,20}`).Draw(t, "calls"), now)
		for i := range calls {
			calls[i].Epoch = epoch
		}
		next, _ = b.Trip(calls, p, m)
	case 1:
		next, _ = b.BeginProbe(p, m)
	case 2:
		v := rapid.SampledFrom([]ProbeVerdict{ProbeGood, ProbeFailing, ProbeMissing, ProbeAbandoned}).Draw(t, "verdict")
		next, _ = b.EndProbe(ProbeResult{Epoch: epoch, Verdict: v, Said: text}, p, m)
	case 3, 4:
		tally := Tally{Epoch: epoch, Succeeded: rapid.IntRange(0, 40).Draw(t, "succeeded"), Failed: rapid.IntRange(0, 3).Draw(t, "failed"), Said: text}
		next, _ = b.Count(tally, rapid.IntRange(1, 64).Draw(t, "limit"), p, m)
	case 5:
		next, _ = b.OpenByHand(text, m)
	default:
		next, _ = b.CloseByHand(text, m)
	}
	return next
}

// Symptom: an ERP that lost three answers of ten opened the breaker by chance, and then each try to close it failed five times of six. A
// hundred orders took more than a minute.
func TestAnERPThatFailsSomeCallsIsNotHeldBack(t *testing.T) {
	t.Parallel()
	for share, most := range map[float64]struct{ opens, fails int }{0: {0, 0}, 0.1: {0, 1}, 0.2: {1, 3}, 0.3: {6, 12}} {
		p, rng := DefaultBreakerPolicy(), rand.New(rand.NewPCG(15, uint64(share*100))) //nolint:gosec // repeatable
		opens, fails := 0, 0
		const tries = 300
		for range tries {
			var calls CallRecord
			b := Breaker{}
			for n := range 100 {
				health := HealthGood
				if rng.Float64() < share {
					health = HealthFailing
				}
				calls = calls.With(Call{Order: OrderRef{IncrementID: strconv.Itoa(n)}, Began: noon, Health: health}, p)
				if _, ok := b.Trip(calls, p, at(0)); ok {
					opens++
					break
				}
			}
			b = Breaker{State: BreakerClosing, Allowed: 1, LastProbe: &Probed{Kind: ProbeByOrder}}
			for b.Is(BreakerClosing) {
				tally := Tally{Succeeded: 1}
				if rng.Float64() < share {
					tally = Tally{Failed: 1}
				}
				b, _ = b.Count(tally, 64, p, at(0))
			}
			if !b.Is(BreakerClosed) {
				fails++
			}
		}
		require.LessOrEqual(t, opens*100, most.opens*tries, "with %v of the calls failing it opens within a hundred calls in %d of %d times", share, opens, tries)
		require.LessOrEqual(t, fails*100, most.fails*tries, "with %v of the calls failing it opens while it closes in %d of %d times", share, fails, tries)
	}
}

// Whatever the rate, an ERP that fails all calls opens a closing breaker after three, and after twelve when it had worked for long.
func TestAnERPThatFailsAnewIsNoticed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := DefaultBreakerPolicy()
		p.FailureRate = rapid.Float64Range(0.05, 1).Draw(t, "rate")
		b := Breaker{State: BreakerClosing, Allowed: 64}
		worked := rapid.IntRange(0, 60).Draw(t, "worked")
		if worked > 0 {
			b, _ = b.Count(Tally{Succeeded: worked}, 128, p, at(0))
		}
		failed := 0
		for ; b.Is(BreakerClosing) && failed < 100; failed++ {
			b, _ = b.Count(Tally{Failed: 1}, 128, p, at(0))
		}
		require.True(t, b.Is(BreakerOpen))
		require.LessOrEqual(t, failed, 12)
		require.True(t, worked > 0 || failed == 3, failed)
	})
}

func TestABreakerWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := DefaultBreakerPolicy()
		p.HasHealth = rapid.Bool().Draw(t, "health")
		b, now := Breaker{}, noon
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(90*time.Second)).Draw(t, "passed")))
			next := walk(t, b, p, now)

			text, err := json.Marshal(next)
			require.NoError(t, err)
			var read Breaker
			require.NoError(t, json.Unmarshal(text, &read))
			require.Equal(t, next, read, "the table keeps all of it")
			require.Less(t, len(text), 4<<10)

			checkChange(t, b, next, p, now)
			b = next
		}
		closeAll(t, b, p, now)
	})
}

// checkChange is what holds for each change.
func checkChange(t *rapid.T, b, next Breaker, p BreakerPolicy, now time.Time) {
	e, changed := BreakerEventOf(b, next)
	require.Equal(t, b.name() != next.name() || b.Allowed != next.Allowed || b.Epoch != next.Epoch, changed)
	require.True(t, next.Epoch == b.Epoch || next.Epoch == b.Epoch+1)
	require.LessOrEqual(t, next.Allows(64), 64)
	if next.Epoch != b.Epoch {
		require.Equal(t, []any{NormalizeTime(now), b.name(), next.name()}, []any{e.At, e.From, e.To})
	}
	if b.ByHand && !next.Is(BreakerClosed) {
		require.Equal(t, b, next, "only an operator closes it, and nobody probes")
	}
	require.Equal(t, next.Is(BreakerClosed), next.OutSince.IsZero())
	require.True(t, next.OutSince.Equal(b.OutSince) && next.OutWhy == b.OutWhy || next.Is(BreakerClosed) || b.Is(BreakerClosed), "why it is out, for as long as it is")
	require.False(t, next.Is(BreakerClosed) && next.OutWhy != "")
	switch next.name() {
	case BreakerOpen:
		require.Zero(t, next.Allows(64))
		wait := next.ProbeAt.Sub(next.Since)
		require.True(t, next.ByHand || wait <= p.MaxProbe*12/10, wait)
	case BreakerProbing:
		require.LessOrEqual(t, next.Allows(64), 1)
		require.True(t, b.Is(BreakerProbing) || !now.Before(b.ProbeAt), "a probe before its time")
		require.True(t, p.HasHealth || next.Probe == ProbeByOrder)
	case BreakerClosing:
		require.True(t, b.Is(BreakerClosing) || b.Is(BreakerProbing), "it closes after a probe")
		require.Zero(t, next.Allowed&(next.Allowed-1), "1, 2, 4, 8 …")
		require.True(t, next.Allowed <= 2*max(1, b.Allowed) && next.Allowed >= 1)
	case BreakerClosed:
		require.Equal(t, 64, next.Allows(64))
	}
}

// closeAll shows that a breaker closes once the ERP works, wherever it stands.
func closeAll(t *rapid.T, b Breaker, p BreakerPolicy, now time.Time) {
	if b.ByHand {
		b, _ = b.CloseByHand("done", Moment{Now: now})
	}
	for range 12 {
		now = now.Add(p.ProbeLimit + 2*p.MaxProbe)
		switch b.name() {
		case BreakerOpen, BreakerProbing:
			b, _ = b.BeginProbe(p, Moment{Now: now})
			b, _ = b.EndProbe(ProbeResult{Epoch: b.Epoch, Verdict: ProbeGood}, p, Moment{Now: now})
		case BreakerClosing:
			b, _ = b.Count(Tally{Epoch: b.Epoch, Succeeded: b.Allowed}, 64, p, Moment{Now: now})
		case BreakerClosed:
		}
	}
	require.True(t, b.Is(BreakerClosed), "%+v", b)
}
