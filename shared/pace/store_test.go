package pace_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var noon = time.Date(2024, 1, 15, 12, 0, 0, 0, time.UTC)

func newStore(t *testing.T) (*pace.Store, *pgxpool.Pool) {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	return pace.NewStore(pool), pool
}

func open(why string) pace.Op {
	return func(s pace.State) pace.State {
		s.Breaker, _ = s.Breaker.OpenByHand(why, domain.Moment{Now: noon, By: "jane"})
		return s
	}
}

func closeByHand(s pace.State) pace.State {
	s.Breaker, _ = s.Breaker.CloseByHand("it works", domain.Moment{Now: noon.Add(time.Hour), By: "joe"})
	return s
}

func TestTheStateSurvives(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	v, err := store.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, pace.State{}, v.State)
	require.Empty(t, v.Members)

	hold := domain.Hold{Until: noon.Add(time.Minute), Why: "the ERP asked to wait"}
	limit := domain.Limit{Value: 7, Latencies: []time.Duration{time.Millisecond}, Decreased: noon, Minimum: time.Millisecond}
	next := noon.Add(1500 * time.Microsecond)
	learnt, meter := domain.LearntRate{Ceiling: 50, Cut: 0.03, CutAt: noon}, domain.Meter{}.With(domain.HealthGood, noon)
	made := pace.Settings{MaxInFlight: 64, Rate: 0.5}
	after, events, err := store.Change(t.Context(), v.State, open("a new server"), func(s pace.State) pace.State {
		s.Hold, s.Limit, s.Next, s.Made, s.Learnt, s.Meter = hold, limit, next, made, learnt, meter
		return s
	})
	require.NoError(t, err)
	require.Len(t, events, 1)
	read, err := pace.NewStore(pool).Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, after, read.State)
	require.Equal(t, pace.State{Breaker: after.Breaker, Hold: hold, Limit: limit, Next: next, Made: made, Learnt: learnt, Meter: meter, Version: 1}, read.State)
	require.Equal(t, domain.BreakerOpen, read.Breaker.State)

	_, _, err = store.Change(t.Context(), read.State, closeByHand)
	require.NoError(t, err)
	past, err := store.History(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, past, 2)
	require.Equal(t, domain.BreakerEvent{At: noon.Add(time.Hour), From: domain.BreakerOpen, To: domain.BreakerClosed, Why: "it works", By: "joe"}, past[0].BreakerEvent)
	require.Equal(t, domain.BreakerEvent{At: noon, From: domain.BreakerClosed, To: domain.BreakerOpen, Why: "a new server", By: "jane"}, past[1].BreakerEvent)
}

// Who changes a state that somebody else has changed meanwhile must not undo that.
func TestNoChangeIsLost(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	const processes, changes = 8, 25
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			known := pace.State{} // it is old as soon as another process has changed it
			for range changes {
				after, _, err := store.Change(t.Context(), known, func(s pace.State) pace.State {
					s.Limit.Succeeded++
					return s
				})
				if err != nil {
					t.Error(err)
					return
				}
				known = after
			}
		})
	}
	all.Wait()
	v, err := store.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, processes*changes, v.Limit.Succeeded)
	require.EqualValues(t, processes*changes, v.Version)
}

// following is a member that goes by a store.
type following struct {
	mu   sync.Mutex
	seen []pace.View
	busy int
	tell chan struct{}
	stop func()
}

func follow(t *testing.T, store *pace.Store, id string) *following {
	t.Helper()
	f := &following{tell: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		err := store.Follow(ctx, pace.Follower{
			Member: func() domain.Member {
				f.mu.Lock()
				defer f.mu.Unlock()
				return domain.Member{ID: id, InFlight: f.busy}
			},
			Tell: f.tell,
			Deliver: func(v pace.View) {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.seen = append(f.seen, v)
			},
		})
		if ctx.Err() == nil {
			t.Error("it ended by itself: ", err)
		}
	})
	f.stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(f.stop)
	return f
}

// newest is what the member has read last.
func (f *following) newest() (v pace.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) > 0 {
		v = f.seen[len(f.seen)-1]
	}
	return v
}

// 250 ms is the promise: all processes hold within it. A notification takes a few milliseconds; the poll is for one that is lost.
func TestEveryFollowerHearsOfAChange(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	var all []*following
	for i := range 4 {
		all = append(all, follow(t, store, fmt.Sprint("member-", i)))
	}
	testkit.Eventually(t, func() bool {
		for _, f := range all {
			if len(f.newest().Members) != len(all) {
				return false
			}
		}
		return true
	}, "all know each other")
	after, _, err := store.Change(t.Context(), pace.State{}, open("a new server"))
	require.NoError(t, err)
	began := time.Now()
	for _, f := range all {
		testkit.Eventually(t, func() bool { return f.newest().Version == after.Version }, "the change is known")
	}
	t.Logf("%d followers heard within %s", len(all), time.Since(began))
}

func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	first := follow(t, store, "first")
	testkit.Eventually(t, func() bool { return len(first.newest().Members) == 1 }, "it is a member itself")
	joined := first.newest().Members[0].JoinedAt
	second := follow(t, store, "second")
	testkit.Eventually(t, func() bool { return len(first.newest().Members) == 2 }, "the first knows the second")
	second.mu.Lock()
	second.busy = 3
	second.mu.Unlock()
	second.tell <- struct{}{}
	testkit.Eventually(t, func() bool { return first.newest().InFlight() == 3 }, "the first knows the second's calls")

	second.stop()
	require.NoError(t, store.Leave(t.Context(), "second"))
	testkit.Eventually(t, func() bool { return len(first.newest().Members) == 1 }, "the second has left")
	require.Equal(t, joined, first.newest().Members[0].JoinedAt)

	first.stop() // as if it were dead
	_, err := pool.Exec(t.Context(), `UPDATE erp_member SET seen_at = clock_timestamp() - interval '4 seconds'`)
	require.NoError(t, err)
	v, err := store.Load(t.Context())
	require.NoError(t, err)
	require.Empty(t, v.Members)
	again := follow(t, store, "first")
	testkit.Eventually(t, func() bool { return len(again.newest().Members) == 1 }, "it is back")
	require.True(t, again.newest().Members[0].JoinedAt.After(joined), "others have counted without it: it joins anew")
}
