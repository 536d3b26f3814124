package regulator

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/pace/pacetest"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// counted is a store that counts what it is asked.
type counted struct {
	Store
	changes, readings atomic.Int64
}

func (c *counted) Change(ctx context.Context, from pace.State, ops ...pace.Op) (pace.State, []domain.BreakerEvent, error) {
	c.changes.Add(1)
	return c.Store.Change(ctx, from, ops...)
}

func (c *counted) Follow(ctx context.Context, f pace.Follower) error {
	deliver := f.Deliver
	f.Deliver = func(v pace.View) {
		c.readings.Add(1)
		deliver(v)
	}
	return c.Store.Follow(ctx, f)
}

// runMembers runs so many processes on one store, until the end of the test, and returns the first with its store.
func runMembers(tb testing.TB, members int) (*Regulator, *counted) {
	tb.Helper()
	memory := pacetest.New()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	tb.Cleanup(func() { cancel(); running.Wait() })
	var first *Regulator
	var store *counted
	for i := range members {
		s := &counted{Store: memory}
		r := New(Params{
			ID: fmt.Sprint("process-", i), Store: s, Settings: setting.Fixed(setting.Defaults()), Log: slog.New(slog.DiscardHandler), Now: time.Now,
			Random: func() float64 { return 0.5 }, Probe: func(context.Context) domain.Answer { return domain.Answer{StatusCode: 200} },
		})
		if i == 0 {
			first, store = r, s
		}
		running.Go(func() { r.Run(ctx) })
	}
	return first, store
}

// succeed makes one call that succeeds.
func succeed(r *Regulator, order domain.OrderRef) bool {
	l, ok := r.Acquire(context.Background(), order, never)
	if !ok || !l.Begin() {
		return false
	}
	l.Done(domain.Answer{StatusCode: 201})
	return true
}

// While the breaker is closed and no limit is near, a call reads and writes nothing of what is shared.
func TestCallsDoNotTouchTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store := runMembers(t, 3)
		time.Sleep(2 * time.Second)
		changes, readings := store.changes.Load(), store.readings.Load()
		const calls, seconds = 10_000, 10
		for i := range calls {
			if !succeed(r, ref(i)) {
				t.Fatalf("call %d did not go out", i)
			}
			time.Sleep(seconds * time.Second / calls)
		}
		require.LessOrEqual(t, store.changes.Load()-changes, int64(seconds*time.Second/writeInterval)+1)
		perSecond := int64(time.Second/pace.PollInterval + time.Second/writeInterval) // it reads after its own writes too
		require.LessOrEqual(t, store.readings.Load()-readings, seconds*perSecond+1)
	})
}

// A process that nobody asks for a permit reads less often. Who asks does not wait for that, and then it reads as often as ever.
func TestAProcessWithoutCallsReadsLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store := runMembers(t, 3)
		readings := func(d time.Duration) int64 {
			before := store.readings.Load()
			time.Sleep(d)
			return store.readings.Load() - before
		}
		time.Sleep(idleAfter + pace.PollInterval)
		require.InDelta(t, 10, readings(10*pace.IdleInterval), 1)
		asked := time.Now()
		require.True(t, succeed(r, ref(1)))
		require.Zero(t, time.Since(asked))
		require.GreaterOrEqual(t, readings(10*pace.PollInterval), int64(10))
	})
}

// BenchmarkCall is what the pace adds to a call of an ERP that works, where no rate is set.
func BenchmarkCall(b *testing.B) {
	for _, members := range []int{1, 8} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			r, store := runMembers(b, members)
			order := ref(1)
			succeed(r, order) // it has joined
			began, before := time.Now(), store.changes.Load()
			b.ReportAllocs()
			for b.Loop() {
				if !succeed(r, order) {
					b.Fatal("a call did not go out")
				}
			}
			b.ReportMetric(float64(store.changes.Load()-before)/time.Since(began).Seconds(), "writes/s")
		})
	}
}
