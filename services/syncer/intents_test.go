package syncer

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

const writeTime = 2 * time.Millisecond

// slowBroker takes writeTime for each write. It remembers when each began.
type slowBroker struct {
	mu    sync.Mutex
	began []time.Time
}

func (b *slowBroker) produce(ctx context.Context, r *kgo.Record, written func(*kgo.Record, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began = append(b.began, time.Now())
	time.AfterFunc(writeTime, func() { written(r, ctx.Err()) })
}

// requests is how many requests the intents were written in: those of one moment share one.
func (b *slowBroker) requests() int {
	moments := map[time.Time]bool{}
	for _, at := range b.began {
		moments[at] = true
	}
	return len(moments)
}

// write has so many callers write so many intents each, one after another, each after a call of that time.
func (b *slowBroker) write(callers, each int, call time.Duration) {
	w := &intents{produce: b.produce}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond) // they are out of step
			for range each {
				_ = w.write(context.Background(), &kgo.Record{})
				time.Sleep(call)
			}
		})
	}
	all.Wait()
}

func TestIntentsOfManyCallersShareRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &slowBroker{}
		b.write(64, 50, 10*time.Millisecond)
		require.Len(t, b.began, 64*50)
		require.Less(t, b.requests(), 64*50/15)
	})
}

// Fewer have nothing to gain: each is written at once.
func TestIntentsOfFewCallersDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &slowBroker{}
		began := time.Now()
		b.write(restIntents-1, 50, 9*time.Millisecond)
		require.Equal(t, (restIntents-2)*time.Millisecond+50*(9*time.Millisecond+writeTime), time.Since(began))
	})
}

func TestAnIntentsErrorIsItsCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &slowBroker{}
		w := &intents{produce: b.produce}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		var all sync.WaitGroup
		for i := range 3 * restIntents {
			all.Go(func() {
				ctx, want := t.Context(), error(nil)
				if i%2 == 0 {
					ctx, want = ended, context.Canceled
				}
				for range 3 {
					require.ErrorIs(t, w.write(ctx, &kgo.Record{}), want)
				}
			})
		}
		all.Wait()
		require.Zero(t, w.underWay)
	})
}
