package regulator

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/pace/pacetest"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/setting/settingtest"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// bench is an installation in a bubble: a store, settings, and regulators.
type bench struct {
	t        *testing.T
	store    *pacetest.Memory
	settings *settingtest.Changeable
	health   func() domain.Answer
	probe    func(ctx context.Context) domain.Answer // in place of health
	lossy    *lossy                                  // what stands between the regulators and the store
	log      *testkit.Log
	reading  sync.Mutex // while health runs; and for what it and the test both use

	regulators []*Regulator
	stops      []func()
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, change func(*setting.Settings), test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := setting.Defaults()
		if change != nil {
			change(&s)
		}
		b := &bench{
			t: t, store: pacetest.New(), settings: settingtest.New(s), log: &testkit.Log{},
			health: func() domain.Answer { return domain.Answer{StatusCode: 200} },
		}
		b.lossy = &lossy{Store: b.store}
		defer func() {
			for _, stop := range b.stops {
				stop()
			}
		}()
		test(t, b)
	})
}

// start runs a regulator, and waits until it has joined.
func (b *bench) start(id string) *Regulator {
	r := New(Params{
		ID: id, Store: b.lossy, Settings: b.settings, Log: slog.New(slog.NewTextHandler(b.log, nil)), Now: time.Now,
		Random: func() float64 { return 0.5 }, Probe: func(ctx context.Context) domain.Answer {
			b.reading.Lock()
			if probe := b.probe; probe != nil {
				b.reading.Unlock()
				return probe(ctx)
			}
			defer b.reading.Unlock()
			return b.health()
		},
	})
	b.regulators = append(b.regulators, r)
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	b.stops = append(b.stops, sync.OnceFunc(func() { cancel(); running.Wait() }))
	time.Sleep(2 * time.Second)
	return r
}

// now does something while no probe reads or writes.
func (b *bench) now(f func()) {
	b.reading.Lock()
	defer b.reading.Unlock()
	f()
}

func ref(n int) domain.OrderRef {
	return domain.OrderRef{Source: "default", IncrementID: fmt.Sprint(n)}
}

func never() bool { return false }

// within gets a permit, if there is one within the time.
func within(r *Regulator, d time.Duration, order int) *Permit {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	l, _ := r.Acquire(ctx, ref(order), never)
	return l
}

// call makes one call that gets the status.
func call(t *testing.T, r *Regulator, order, status int) {
	t.Helper()
	l := within(r, time.Second, order)
	require.NotNil(t, l, "call %d goes out", order)
	require.True(t, l.Begin())
	l.Done(domain.Answer{StatusCode: status})
}

func outage(t *testing.T, r *Regulator) {
	t.Helper()
	for i := range 10 {
		call(t, r, i, 500)
	}
}

// By one list of members it is the turn of one, by another list that of another one. So nobody has a turn before all go by the same list.
func TestTurnsWaitUntilAllGoByTheSameMembers(t *testing.T) {
	now := time.Unix(1_000_000, 0).Add(turn - time.Millisecond) // the others told after the turn began
	own := pace.Member{Member: domain.Member{ID: "a", Roster: 7}}
	other := pace.Member{Member: domain.Member{ID: "b", Roster: 7}}
	shares := func(own, other pace.Member) (sum int) {
		for range 2 { // turns
			own.SeenAt, other.SeenAt = now, now
			s := setting.Defaults()
			s.MaxInFlight = 1
			r := New(Params{ID: "a", Settings: setting.Fixed(s), Now: time.Now})
			r.members, r.roster = []pace.Member{own, other}, 7
			sum += r.share(now)
			now = now.Add(turn)
		}
		return sum
	}
	require.Equal(t, 1, shares(own, other), "one of two turns")
	older := other
	older.Roster = 6
	require.Zero(t, shares(own, older), "another goes by an older list")
	untold := own
	untold.Roster = 6
	require.Zero(t, shares(untold, other), "the others do not know that this process goes by the new list")
	older.Roster = 0
	require.Equal(t, 1, shares(own, older), "a process of an older version does not tell")
}

func TestAnOutageStopsTheCallsOfAllAndAProbeLetsThemOutAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		works := false
		b.health = func() domain.Answer {
			if works {
				return domain.Answer{StatusCode: 200}
			}
			return domain.Answer{Failure: domain.ErrorNetwork, Cause: "connection refused"}
		}
		first, second := b.start("first"), b.start("second")
		outage(t, first)
		require.Nil(t, within(first, 0, 11), "its own calls stop at once")
		time.Sleep(250 * time.Millisecond)
		require.Nil(t, within(second, time.Minute, 12), "and the other's within 250 ms")
		require.Nil(t, within(first, time.Hour, 13), "for as long as the probe fails")

		b.now(func() { works = true })
		for i := range 200 {
			call := within(first, 2*time.Minute, i)
			require.NotNil(t, call)
			require.True(t, call.Begin())
			call.Done(domain.Answer{StatusCode: 201})
		}
		time.Sleep(time.Second) // the last change is written
		require.NotNil(t, within(second, time.Second, 14))
		states := ""
		for _, e := range b.store.Events() {
			if e.IsNews() {
				states += string(e.From) + ">" + string(e.To) + " "
			}
		}
		require.Equal(t, "closed>open closing>closed ", states)
		require.Contains(t, b.log.String(), "calls to the ERP stop until it works again")
		require.Contains(t, b.log.String(), "all calls to the ERP go out again")
	})
}

// Symptom: an operator had mended the ERP's address, and orders waited up to a minute for the next probe.
func TestAnotherAddressIsProbedAtOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		works := false
		b.health = func() domain.Answer { return domain.Answer{StatusCode: map[bool]int{true: 200, false: 503}[works]} }
		first := b.start("first")
		b.start("second")
		outage(t, first)
		require.Nil(t, within(first, time.Hour, 11))
		b.now(func() { works = true })
		require.Nil(t, within(first, time.Second, 12), "the next probe is a minute away")
		b.settings.Change(func(s *setting.Settings) { s.ErpBaseURL = "http://elsewhere.example/rest" })
		require.NotNil(t, within(first, time.Second, 13))
	})
}

// Symptom: a breaker in memory began closed after a restart, so each restart cost more attempts.
func TestARestartDoesNotCloseTheBreaker(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.health = func() domain.Answer { return domain.Answer{StatusCode: 503} }
		outage(t, b.start("first"))
		time.Sleep(time.Second)
		b.stops[0]()
		require.Nil(t, within(b.start("first again"), time.Hour, 1))
	})
}

func TestWithoutAHealthEndpointOneOrderIsTheProbe(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		b.health = func() domain.Answer { return domain.Answer{StatusCode: 404} }
		r := b.start("first")
		b.start("second")
		outage(t, r)
		began := time.Now()
		probe := within(r, time.Minute, 1)
		require.NotNil(t, probe)
		require.GreaterOrEqual(t, time.Since(began), 4*time.Second)
		require.Nil(t, within(r, 10*time.Second, 2), "no second call beside the probe")
		require.False(t, probe.Begin(), "a permit of ten seconds ago is too old")
		probe.Release()
		probe = within(r, time.Minute, 1)
		require.NotNil(t, probe, "the probe was not made, so another is")
		require.True(t, probe.Begin())
		probe.Done(domain.Answer{StatusCode: 201})
		require.NotNil(t, within(r, time.Minute, 3))
	})
}

func TestAProbeWaitsForTheEndOfAWindow(t *testing.T) {
	inBubble(t, func(s *setting.Settings) { s.Maintenance = "1 0 * * * 5m UTC" }, func(t *testing.T, b *bench) {
		var probes []time.Time
		b.health = func() domain.Answer {
			probes = append(probes, time.Now())
			return domain.Answer{StatusCode: 503}
		}
		began := time.Now().Truncate(24 * time.Hour)
		r := b.start("first")
		outage(t, r)
		time.Sleep(time.Until(began.Add(7 * time.Minute)))
		b.stops[0]()
		require.NotEmpty(t, probes)
		before := 0
		for _, at := range probes {
			if at.Before(began.Add(time.Minute)) {
				before++
				continue
			}
			require.False(t, at.Before(began.Add(6*time.Minute)), "a probe at %s", at)
		}
		require.Positive(t, before)
		require.Greater(t, len(probes), before)
	})
}

// Symptom: with a Kafka that took longer than a second for an intent, each permit was too old when its call could begin. No order was
// sent any more, and each wrote its intent again and again.
func TestASlowWayFromThePermitToTheCallDelaysNobodyForEver(t *testing.T) {
	inBubble(t, func(s *setting.Settings) { s.Rate = 50 }, func(t *testing.T, b *bench) {
		r := b.start("first")
		slow := func() (began int) {
			permits := []*Permit{within(r, time.Minute, 1), within(r, time.Minute, 2)}
			time.Sleep(3 * time.Second)
			for _, p := range permits {
				if p.Begin() {
					began++
				}
				p.Release()
			}
			return began
		}
		require.Zero(t, slow(), "who was held up on the way does not call beside those that came meanwhile")
		require.Equal(t, 2, slow(), "but when that is how long it takes, it is waited for")
		for i := range 100 {
			call(t, r, i, 201)
		}
		require.Zero(t, slow(), "the way has been quick since")
	})
}

func TestRetryAfterHoldsAllExactlyUntilThen(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		first, second := b.start("first"), b.start("second")
		l := within(first, time.Second, 1)
		require.True(t, l.Begin())
		began := time.Now()
		l.Done(domain.Answer{StatusCode: 429, RetryAfter: "90"})
		time.Sleep(10 * time.Millisecond)
		var all sync.WaitGroup
		for _, r := range []*Regulator{first, second} {
			all.Go(func() {
				l := within(r, time.Hour, 2)
				if waited := time.Since(began); l == nil || waited < 90*time.Second || waited > 91*time.Second {
					t.Errorf("it waited %s", waited)
				}
				l.Release()
			})
		}
		all.Wait()
	})
}

func TestNothingGoesOutInAWindowAndAPermitFromBeforeIsNone(t *testing.T) {
	// A bubble begins at midnight UTC, at the start of 2000.
	inBubble(t, func(s *setting.Settings) { s.Maintenance = "5 0 * * * 1h UTC" }, func(t *testing.T, b *bench) {
		r := b.start("first")
		time.Sleep(5*time.Minute - 2500*time.Millisecond)
		before := within(r, time.Second, 1)
		require.NotNil(t, before)
		time.Sleep(600 * time.Millisecond)
		require.False(t, before.Begin(), "the window has begun")
		before.Release()
		l := within(r, 2*time.Hour, 2)
		require.NotNil(t, l)
		require.Equal(t, "01:05:00.02", time.Now().UTC().Format("15:04:05.99"))
	})
}

func TestTheRateIsOneForAll(t *testing.T) {
	inBubble(t, func(s *setting.Settings) { s.Rate = 50 }, func(t *testing.T, b *bench) {
		all := []*Regulator{b.start("first"), b.start("second"), b.start("third")}
		var mu sync.Mutex
		var begun []time.Time
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var callers sync.WaitGroup
		for i := range 60 {
			callers.Go(func() {
				r := all[i%len(all)]
				for {
					l, ok := r.Acquire(ctx, ref(i), never)
					if !ok {
						return
					}
					if l.Begin() {
						mu.Lock()
						begun = append(begun, time.Now())
						mu.Unlock()
						time.Sleep(100 * time.Millisecond)
						l.Done(domain.Answer{StatusCode: 201})
					} else {
						l.Release()
					}
				}
			})
		}
		callers.Wait()
		for i := range begun {
			n := 0
			for _, other := range begun[i:] {
				if other.Sub(begun[i]) < time.Second {
					n++
				}
			}
			require.LessOrEqual(t, n, 51, "calls in a second")
		}
		require.Greater(t, len(begun), 950, "of 1000 that the rate allows")
	})
}

func TestWaitersLeaveWhenTheyMustStopAndAreServedInOrder(t *testing.T) {
	inBubble(t, func(s *setting.Settings) { s.MaxInFlight = 1 }, func(t *testing.T, b *bench) {
		r := b.start("first")
		held := within(r, time.Second, 0)
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		stopped := false
		for i := 1; i <= 5; i++ {
			all.Go(func() {
				l, ok := r.Acquire(t.Context(), ref(i), func() bool {
					mu.Lock()
					defer mu.Unlock()
					return i == 3 && stopped
				})
				if !ok {
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				l.Release()
			})
			synctest.Wait()
		}
		mu.Lock()
		stopped = true
		mu.Unlock()
		time.Sleep(time.Second)
		held.Release()
		all.Wait()
		require.Equal(t, []int{1, 2, 4, 5}, order)
	})
}

func TestNoCallGoesOutWhileTheStateIsUnknown(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		r := b.start("first")
		call(t, r, 1, 201)
		b.store.SetAway(true)
		time.Sleep(2 * time.Second)
		require.Nil(t, within(r, time.Hour, 2))
		b.store.SetAway(false)
		require.NotNil(t, within(r, 2*time.Second, 3))
	})
}

// An ERP takes 50 calls a second, and says so by 429 alone.
func TestARateThatNobodySetIsLearnt(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		const perSecond, minutes = 50, 4
		all := []*Regulator{b.start("first"), b.start("second"), b.start("third"), b.start("fourth")}
		var mu sync.Mutex
		began := time.Now()
		counted, taken, refused := map[int64]int{}, 0, 0
		answer := func() domain.Answer {
			mu.Lock()
			defer mu.Unlock()
			now, settled := time.Now(), time.Since(began) > time.Minute
			counted[now.Unix()]++
			switch {
			case counted[now.Unix()] > perSecond:
				if settled {
					refused++
				}
				return domain.Answer{StatusCode: 429}
			case settled:
				taken++
			}
			return domain.Answer{StatusCode: 201}
		}
		ctx, cancel := context.WithTimeout(t.Context(), minutes*time.Minute)
		defer cancel()
		var callers sync.WaitGroup
		for i := range 4 * 64 {
			callers.Go(func() {
				for {
					l, ok := all[i%len(all)].Acquire(ctx, ref(i), never)
					if !ok {
						return
					}
					if l.Begin() {
						a := answer()
						time.Sleep(50 * time.Millisecond)
						l.Done(a)
					} else {
						l.Release()
					}
				}
			})
		}
		callers.Wait()
		used, share := float64(taken)/(perSecond*(minutes-1)*60), float64(refused)/float64(taken+refused)
		t.Logf("%.1f %% of the rate is used, %.2f %% of the calls got 429", 100*used, 100*share)
		require.GreaterOrEqual(t, used, 0.95)
		require.LessOrEqual(t, share, 0.01)
	})
}
