package regulator

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/pace/pacetest"
	"github.com/erpconnector/erpconnector/shared/setting"
)

var (
	firstSeed = flag.Int64("pace.seed", 1, "the first seed of the simulation")
	seedCount = flag.Int64("pace.seeds", 10, "how many seeds the simulation runs; the gate runs 200")
)

// The promises that the simulation judges: how soon the other processes hold. Then how long a seed takes.
const (
	holdWithin = 250 * time.Millisecond
	simulated  = 4 * time.Minute
	calm       = 3 * time.Minute // at the end nothing is disturbed, so calls must succeed again
)

// Several processes call one ERP through outages, flapping, windows and storms of 429, while they come, go and die, and the store is
// away at times. A seed that fails is repeated by: go test ./syncer/internal/regulator -run Simulation -pace.seed N -pace.seeds 1
func TestSimulation(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seedCount; seed++ {
		t.Run(fmt.Sprint("seed_", seed), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					t.Logf("repeat it: go test ./syncer/internal/regulator -run Simulation -pace.seed %d -pace.seeds 1", seed)
				}
			}()
			synctest.Test(t, func(t *testing.T) { newWorld(t, seed).run() })
		})
	}
}

// world is one simulated ERP with those who call it.
type world struct {
	t        *testing.T
	store    *pacetest.Memory
	settings setting.Settings
	began    time.Time
	gap      time.Duration // from one disturbance to the next, at most

	mu        sync.Mutex
	rng       *rand.Rand
	down      bool
	away      bool             // the store is
	awaySince time.Time        // or since when it is back
	busy      bool             // it answers some calls with 429
	holds     []hold           // what it asked for
	inFlight  map[*process]int // of processes that live
	begun     []time.Time
	good      int // successes in the calm at the end
	orders    int
}

type hold struct {
	by          *process
	from, until time.Time
}

// process is one syncer. A dead one does not reach the store any more.
type process struct {
	store *pacetest.Memory
	dead  context.Context //nolint:containedctx // of the whole process
	kill  func()
	stop  func()
}

func (p *process) Change(ctx context.Context, from pace.State, ops ...pace.Op) (pace.State, []domain.BreakerEvent, error) {
	if p.dead.Err() != nil {
		return pace.State{}, nil, pacetest.ErrAway
	}
	return p.store.Change(ctx, from, ops...)
}

func (p *process) Follow(ctx context.Context, f pace.Follower) error { return p.store.Follow(ctx, f) }

func (p *process) Leave(ctx context.Context, id string) error {
	if p.dead.Err() != nil {
		return pacetest.ErrAway
	}
	return p.store.Leave(ctx, id)
}

func newWorld(t *testing.T, seed int64) *world {
	w := &world{t: t, store: pacetest.New(), settings: setting.Defaults(), began: time.Now(), gap: 20 * time.Second, rng: rand.New(rand.NewPCG(uint64(seed), 15)), inFlight: map[*process]int{}} //nolint:gosec // a seed that can be repeated
	w.settings.MaxInFlight = []int{1, 3, 8, 12}[w.rng.IntN(4)]
	if w.rng.IntN(3) == 0 {
		w.settings.Rate = float64(2 + w.rng.IntN(20))
	}
	if w.rng.IntN(3) == 0 {
		w.settings.Maintenance = "1 0 * * * 45s UTC"
	}
	if w.rng.IntN(3) == 0 {
		w.gap = 2 * time.Second
	}
	w.store.Latency = func() time.Duration { return w.random(5 * time.Millisecond) }
	return w
}

func (w *world) random(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(d)))
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { w.disturb(ctx) })
	time.Sleep(simulated + calm)
	cancel()
	all.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.good == 0 {
		w.t.Error("no call succeeded in the calm at the end")
	}
	w.judgeRate()
}

// disturb starts, stops and kills processes, and makes the ERP and the store fail. At the end it lets all be well.
func (w *world) disturb(ctx context.Context) {
	var running []*process
	var all sync.WaitGroup
	for n := 0; time.Since(w.began) < simulated; n++ {
		w.mu.Lock()
		dice, at := w.rng.IntN(10), w.rng.IntN(8)
		w.mu.Unlock()
		switch {
		case len(running) == 0 || dice < 3 && len(running) < 8:
			running = append(running, w.start(&all, n))
		case dice == 3 && at < len(running):
			running[at].stop()
			running = append(running[:at:at], running[at+1:]...)
		case dice == 4 && at < len(running):
			w.ended(running[at])
			running[at].kill()
			w.mu.Lock()
			delete(w.inFlight, running[at]) // its calls end with it
			w.mu.Unlock()
			running = append(running[:at:at], running[at+1:]...)
		case dice < 8:
			w.mu.Lock()
			w.down, w.busy = dice == 5 || dice == 6 && !w.down, dice == 7
			w.mu.Unlock()
		case dice == 8:
			w.setAway(true)
			time.Sleep(w.random(5 * time.Second))
			w.setAway(false)
		}
		time.Sleep(w.random(w.gap))
	}
	w.mu.Lock()
	w.down, w.busy = false, false
	w.mu.Unlock()
	if len(running) == 0 {
		running = append(running, w.start(&all, 1_000_000))
	}
	for _, e := range w.store.Events() { // of those that no operator made
		if (e.From == domain.BreakerOpen || e.From == domain.BreakerProbing) && e.To == domain.BreakerClosed {
			w.t.Errorf("%s: a breaker was forgotten: it went from %s to %s", e.At.Sub(w.began), e.From, e.To)
		}
	}
	<-ctx.Done()
	for _, p := range running {
		p.stop()
	}
	all.Wait()
}

func (w *world) setAway(away bool) {
	w.store.SetAway(away)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away, w.awaySince = away, time.Now()
}

// tells reports whether the processes have heard of each other. While the store is away they cannot, and stop after pace.MaxAge. When it
// is back, those who have something to tell need a moment.
func (w *world) tells(now time.Time) bool {
	if w.away {
		return now.Sub(w.awaySince) > pace.MaxAge
	}
	return now.Sub(w.awaySince) > 2*holdWithin+pace.PollInterval
}

// ended forgets the waits that only p knew of: it ends before it could tell the others, so they cannot hold.
func (w *world) ended(p *process) {
	known := w.store.Peek().Hold.Until
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.holds = slices.DeleteFunc(w.holds, func(h hold) bool {
		couldTell := now.Sub(h.from) > holdWithin && !w.away && w.tells(now)
		return h.by == p && known.Before(h.until) && !couldTell
	})
}

func (w *world) start(all *sync.WaitGroup, n int) *process {
	p := &process{store: w.store}
	p.dead, p.kill = context.WithCancel(context.Background())
	calling, stop := context.WithCancel(p.dead)
	p.stop = stop
	r := New(Params{
		ID: fmt.Sprint("process-", n), Store: p, Settings: setting.Fixed(w.settings), Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Random: func() float64 { return float64(w.random(time.Second)) / float64(time.Second) }, Probe: w.health,
	})
	w.mu.Lock()
	w.inFlight[p] = 0
	w.mu.Unlock()
	all.Go(func() {
		regulating, end := context.WithCancel(p.dead)
		var callers, regulator sync.WaitGroup
		regulator.Go(func() { r.Run(regulating) })
		for range w.settings.MaxInFlight {
			callers.Go(func() {
				for calling.Err() == nil {
					w.callOnce(calling, p, r)
				}
			})
		}
		callers.Wait()
		end()
		regulator.Wait()
		w.ended(p)
		p.kill()
	})
	return p
}

func (w *world) health(context.Context) domain.Answer {
	time.Sleep(w.random(200 * time.Millisecond))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return domain.Answer{StatusCode: 502}
	}
	return domain.Answer{StatusCode: 200}
}

func (w *world) callOnce(ctx context.Context, p *process, r *Regulator) {
	w.mu.Lock()
	w.orders++
	order := ref(w.orders)
	w.mu.Unlock()
	l, ok := r.Acquire(ctx, order, never)
	if !ok {
		return
	}
	defer l.Release()
	time.Sleep(w.random(20 * time.Millisecond)) // gate and intent
	if p.dead.Err() != nil || !l.Begin() {
		return
	}
	w.begin(p)
	time.Sleep(300*time.Millisecond + w.random(300*time.Millisecond))
	if p.dead.Err() != nil {
		return
	}
	l.Done(w.answer(p))
}

// begin judges a call that begins.
func (w *world) begin(p *process) {
	b := w.store.Peek().Breaker
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.begun = append(w.begun, now)
	w.inFlight[p]++
	total := 0
	for _, n := range w.inFlight {
		total += n
	}
	if most := w.settings.MaxInFlight; float64(total) > 1.05*float64(most) {
		w.t.Errorf("%s: %d calls at once, %d are allowed", now.Sub(w.began), total, most)
	}
	for _, h := range w.holds {
		if late := h.by == p || now.Sub(h.from) > holdWithin && w.tells(now); late && now.Before(h.until) {
			w.t.Errorf("%s: a call %s before the Retry-After of %s", now.Sub(w.began), h.until.Sub(now), h.from.Sub(w.began))
		}
	}
	if until, shut := w.settings.Calendar().Until(now); shut {
		w.t.Errorf("%s: a call inside a window, which ends at %s", now.Sub(w.began), until.Sub(w.began))
	}
	stopped := b.Is(domain.BreakerOpen) || b.Is(domain.BreakerProbing) // the health endpoint always tells here, so no order is a probe
	if stopped && !b.ByOrder && w.tells(now) && now.Sub(b.OutSince) > holdWithin && now.Sub(b.Since) > holdWithin {
		w.t.Errorf("%s: a call while the breaker is %s since %s", now.Sub(w.began), b.State, b.Since.Sub(w.began))
	}
	if b.Is(domain.BreakerProbing) && b.Probe == domain.ProbeByOrder && !b.ByOrder {
		w.t.Errorf("%s: an order is the probe, although the health endpoint tells", now.Sub(w.began))
	}
}

func (w *world) answer(p *process) domain.Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, lives := w.inFlight[p]; lives {
		w.inFlight[p]--
	}
	now := time.Now()
	switch {
	case w.down:
		return domain.Answer{StatusCode: 500}
	case w.busy && w.rng.IntN(3) == 0:
		a := domain.Answer{StatusCode: 429}
		if seconds := w.rng.IntN(10); seconds > 4 {
			a.RetryAfter = fmt.Sprint(seconds)
			w.holds = append(w.holds, hold{by: p, from: now, until: now.Add(time.Duration(seconds) * time.Second)})
		}
		return a
	case w.rng.IntN(50) == 0:
		return domain.Answer{StatusCode: 422}
	}
	if now.Sub(w.began) > simulated+calm/2 {
		w.good++
	}
	return domain.Answer{StatusCode: 201}
}

// judgeRate looks at each second.
func (w *world) judgeRate() {
	if w.settings.Rate == 0 {
		return
	}
	first := 0
	for last := range w.begun {
		for w.begun[last].Sub(w.begun[first]) >= time.Second {
			first++
		}
		if n := last - first + 1; float64(n) > w.settings.Rate*1.05+2 {
			w.t.Errorf("%s: %d calls in a second, %v are allowed", w.begun[last].Sub(w.began), n, w.settings.Rate)
			return
		}
	}
}
