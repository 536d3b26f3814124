package regulator

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// lossy is a store that loses answers to changes.
type lossy struct {
	Store
	loses atomic.Pointer[func(after pace.State) bool] // nil: none
}

func (l *lossy) Change(ctx context.Context, from pace.State, ops ...pace.Op) (pace.State, []domain.BreakerEvent, error) {
	after, events, err := l.Store.Change(ctx, from, ops...)
	if loses := l.loses.Load(); loses != nil && (*loses)(after) {
		return pace.State{}, nil, errors.New("the connection was lost")
	}
	return after, events, err
}

// Symptom: a process that stopped took the probe with its last change, or died with it, and nobody probed for erp_timeout and 10 s.
func TestAProcessThatStopsKeepsNoProbe(t *testing.T) {
	away := domain.Answer{Failure: domain.ErrorNetwork, Cause: "connection refused"}
	for name, test := range map[string]func(t *testing.T, b *bench){
		"it_was_about_to_take_it": func(t *testing.T, b *bench) {
			due := b.store.Peek().Breaker.ProbeAt
			time.Sleep(time.Until(due) - 100*time.Millisecond)
			b.store.SetAway(true)
			time.Sleep(200 * time.Millisecond)
			b.store.SetAway(false)
		},
		"it_asks_the_health_endpoint": func(t *testing.T, b *bench) {
			asked := make(chan struct{})
			ask := sync.OnceFunc(func() { close(asked) })
			b.now(func() {
				b.probe = func(ctx context.Context) domain.Answer {
					ask()
					<-ctx.Done()
					return domain.Answer{Failure: domain.ErrorNetwork, Cause: "context canceled"}
				}
			})
			<-asked
		},
		"it_does_not_know_that_it_has_it": func(t *testing.T, b *bench) {
			stopping := make(chan struct{})
			stop := b.stops[0]
			loses := func(after pace.State) bool {
				probing := after.Breaker.Is(domain.BreakerProbing)
				if probing {
					b.lossy.loses.Store(nil)
					go stop()
					close(stopping)
				}
				return probing
			}
			b.lossy.loses.Store(&loses)
			<-stopping
		},
		"an_order_is_it_and_none_came": func(t *testing.T, b *bench) {
			b.now(func() { b.probe = func(context.Context) domain.Answer { return domain.Answer{StatusCode: 404} } })
			waiting, leave := context.WithCancel(t.Context())
			left := make(chan struct{})
			go func() {
				defer close(left)
				l, ok := b.regulators[0].Acquire(waiting, ref(1), never)
				if !ok {
					t.Error("no order is the probe")
					return
				}
				<-waiting.Done()
				l.Release()
			}()
			for !b.store.Peek().Breaker.Is(domain.BreakerProbing) || b.store.Peek().Breaker.Probe != domain.ProbeByOrder {
				time.Sleep(10 * time.Millisecond)
			}
			leave()
			<-left
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, b *bench) {
				b.health = func() domain.Answer { return away }
				outage(t, b.start("first"))
				time.Sleep(time.Second)
				test(t, b)
				b.stops[0]()
				stands := b.store.Peek().Breaker
				require.Equal(t, domain.BreakerOpen, stands.State, "%+v", stands)
				require.Empty(t, b.store.Members())
				b.now(func() {
					b.probe = nil
					b.health = func() domain.Answer { return domain.Answer{StatusCode: 200} }
				})
				next := b.start("second") // it takes two seconds to join
				require.NotNil(t, within(next, 5*time.Second, 2), "the next process probes as soon as a probe is due")
			})
		})
	}
}

// Nobody asks an ERP whether it works at a time when it asked for no calls, or when its window is on.
func TestAHoldAndAWindowHoldProbesToo(t *testing.T) {
	for name, test := range map[string]struct {
		answer  domain.Answer
		change  func(s *setting.Settings)
		byOrder bool
		quiet   time.Duration // after the outage began
	}{
		"retry_after":          {answer: domain.Answer{StatusCode: 503, RetryAfter: "60"}, quiet: time.Minute},
		"retry_after_by_order": {answer: domain.Answer{StatusCode: 503, RetryAfter: "60"}, byOrder: true, quiet: time.Minute},
		// A bubble begins at midnight UTC, and a regulator joins within two seconds.
		"window":          {answer: domain.Answer{StatusCode: 500}, change: func(s *setting.Settings) { s.Maintenance = "1 0 * * * 10m UTC" }, quiet: 11 * time.Minute},
		"window_by_order": {answer: domain.Answer{StatusCode: 500}, byOrder: true, change: func(s *setting.Settings) { s.Maintenance = "1 0 * * * 10m UTC" }, quiet: 11 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, test.change, func(t *testing.T, b *bench) {
				var probes []time.Duration
				midnight := time.Now()
				b.health = func() domain.Answer {
					probes = append(probes, time.Since(midnight))
					return domain.Answer{StatusCode: 503}
				}
				if test.byOrder {
					b.settings.Change(func(s *setting.Settings) { s.HealthPath = "" })
				}
				r := b.start("first")
				b.start("second")
				if test.change != nil {
					time.Sleep(time.Minute - time.Since(midnight) - time.Second)
				}
				began := time.Since(midnight)
				leases := make([]*Permit, 10)
				for i := range leases {
					leases[i] = within(r, time.Second, i)
					require.True(t, leases[i].Begin())
				}
				for _, l := range leases {
					l.Done(test.answer)
				}
				require.False(t, b.store.Peek().Breaker.Is(domain.BreakerProbing))
				quiet := test.quiet
				if test.change == nil {
					quiet += began
				}
				l := within(r, quiet-time.Since(midnight)-time.Millisecond, 11)
				require.Nil(t, l, "an order went out after %s", time.Since(midnight))
				b.now(func() { require.Empty(t, probes) })
				if test.byOrder {
					require.NotNil(t, within(r, 10*time.Second, 12), "then an order is the probe")
					return
				}
				time.Sleep(10 * time.Second)
				b.now(func() { require.NotEmpty(t, probes, "then the health endpoint is asked") })
			})
		})
	}
}

// Symptom: where Kafka took more than a second to store an intent, each lease was too old for its call, and no order was ever sent.
func TestALeaseMayBeUsedLateUnlessTheRateIsLimited(t *testing.T) {
	for rate, want := range map[float64]bool{0: true, 50: false} {
		inBubble(t, func(s *setting.Settings) { s.Rate = rate }, func(t *testing.T, b *bench) {
			l := within(b.start("first"), time.Second, 1)
			require.NotNil(t, l)
			time.Sleep(10 * time.Second)
			require.Equal(t, want, l.Begin(), "with the rate %v", rate)
			l.Release()
		})
	}
}
