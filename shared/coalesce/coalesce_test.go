package coalesce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	running     = 2
	slowRunning = 8
	maxWait     = 50 * time.Millisecond
)

func group(work func(context.Context, []*int) error) *Group[*int] {
	return &Group[*int]{Work: work, Running: running, SlowRunning: slowRunning, MaxWait: maxWait, MaxItems: 200, IsOwn: isAboutData}
}

var errData = errors.New("bad data")

func isAboutData(err error) bool { return errors.Is(err, errData) }

// txTime is what a transaction takes.
const txTime = maxWait * 4 / 5

// database takes its time for each transaction, and refuses items that are bad.
type database struct {
	locked []*int // a transaction with one of them takes a second more

	mu           sync.Mutex
	transactions [][]*int
	running      int
	most         int
	bad          map[*int]error
}

func (d *database) take(ctx context.Context, batch []*int) error {
	d.mu.Lock()
	d.transactions = append(d.transactions, slices.Clone(batch))
	d.running++
	d.most = max(d.most, d.running)
	d.mu.Unlock()
	time.Sleep(txTime)
	if slices.ContainsFunc(batch, func(it *int) bool { return slices.Contains(d.locked, it) }) {
		time.Sleep(time.Second)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	for _, it := range batch {
		if err := d.bad[it]; err != nil {
			return err
		}
	}
	return ctx.Err()
}

func request(n int) (batch []*int) {
	for range n {
		batch = append(batch, new(int))
	}
	return batch
}

func TestRequestsThatWaitShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		g := group(d.take)
		var requests sync.WaitGroup
		began := time.Now()
		for range 50 {
			requests.Go(func() { require.NoError(t, g.Do(t.Context(), request(3)...)) })
			time.Sleep(time.Microsecond) // two that end at once would be followed by two
		}
		requests.Wait()
		require.Equal(t, 2*txTime, time.Since(began))
		sizes := []int{}
		for _, batch := range d.transactions {
			sizes = append(sizes, len(batch))
		}
		require.Equal(t, []int{3, 3, 144}, sizes, "two begin at once, the others share the next")
		require.Equal(t, running, d.most)
		require.Zero(t, g.running)

		began = time.Now()
		require.NoError(t, g.Do(t.Context(), request(1)...))
		require.Equal(t, txTime, time.Since(began), "who is alone waits for nobody")
	})
}

func TestASharedTransactionHasItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		g := group(d.take)
		var requests sync.WaitGroup
		for _, n := range []int{1, 1, 150, 50, 1, 1000, 2} {
			requests.Go(func() { require.NoError(t, g.Do(t.Context(), request(n)...)) })
			time.Sleep(time.Microsecond)
		}
		requests.Wait()
		var sizes []int
		for _, batch := range d.transactions {
			sizes = append(sizes, len(batch))
		}
		slices.Sort(sizes)
		require.Equal(t, []int{1, 1, 1, 2, 200, 1000}, sizes)
	})
}

// Symptom: a transaction that waits for an order's lock holds up nobody but those who share it.
func TestAnOrderThatIsLockedHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		g := group(d.take)
		d.locked = request(slowRunning - 1)
		var requests sync.WaitGroup
		for _, it := range d.locked {
			requests.Go(func() { require.NoError(t, g.Do(t.Context(), it)) })
			time.Sleep(maxWait + time.Millisecond)
		}
		for range 20 {
			began := time.Now()
			require.NoError(t, g.Do(t.Context(), request(1)...))
			require.LessOrEqual(t, time.Since(began), maxWait+2*txTime)
		}
		requests.Wait()
		require.LessOrEqual(t, d.most, slowRunning)
		require.Zero(t, g.running)
	})
}

// An error about the data of one request is no error of the others. Without a database nobody is taken, and nobody tries.
func TestWhoseErrorItIs(t *testing.T) {
	data, away := errData, errors.New("no connection")
	for name, c := range map[string]struct {
		err    error
		others bool // they get it too
	}{"of_its_data": {data, false}, "of_the_database": {away, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &database{}
				g := group(d.take)
				bad := request(1)
				d.bad = map[*int]error{bad[0]: c.err}
				var requests sync.WaitGroup
				var errs [6]error
				for i, batch := range [][]*int{request(1), request(1), request(2), bad, request(1), request(1)} {
					requests.Go(func() { errs[i] = g.Do(t.Context(), batch...) })
					time.Sleep(time.Microsecond)
				}
				requests.Wait()
				for i, err := range errs {
					switch {
					case i == 3 || c.others && i > 1:
						require.ErrorIs(t, err, c.err, fmt.Sprint(i))
					default:
						require.NoError(t, err, fmt.Sprint(i))
					}
				}
				if c.others {
					require.Len(t, d.transactions, 3)
				}
			})
		})
	}
}

func TestACallerThatGoesTakesNobodyWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		g := group(d.take)
		var requests sync.WaitGroup
		waits, stopWaiting := context.WithCancel(t.Context())
		leads, stopLeading := context.WithCancel(t.Context())
		defer stopLeading()
		errs := map[string]error{}
		var mu sync.Mutex
		send := func(name string, ctx context.Context) {
			requests.Go(func() {
				err := g.Do(ctx, request(1)...)
				mu.Lock()
				defer mu.Unlock()
				errs[name] = err
			})
			time.Sleep(time.Microsecond)
		}
		send("first", t.Context())
		send("second", t.Context())
		send("goes while it leads", leads)
		send("goes while it waits", waits)
		send("stays", t.Context())
		time.Sleep(txTime / 2)
		stopWaiting()
		time.Sleep(time.Microsecond)
		time.Sleep(txTime)
		stopLeading()
		requests.Wait()
		require.ErrorIs(t, errs["goes while it waits"], context.Canceled)
		delete(errs, "goes while it waits")
		for name, err := range errs {
			require.NoError(t, err, name)
		}
		require.Zero(t, g.running)
		require.Empty(t, g.waiting)
	})
}

func TestATransactionThatPanicsTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		g := group(func(context.Context, []*int) error {
			n := calls.Add(1)
			time.Sleep(txTime)
			if n > running {
				panic("planted")
			}
			return nil
		})
		var requests sync.WaitGroup
		var errs [4]error
		for i := range errs {
			requests.Go(func() {
				defer func() { _ = recover() }()
				errs[i] = errors.New("panic")
				errs[i] = g.Do(t.Context(), request(1)...)
			})
			time.Sleep(time.Microsecond)
		}
		requests.Wait()
		require.NoError(t, errs[0])
		require.NoError(t, errs[1])
		require.Error(t, errs[2])
		require.Error(t, errs[3])
	})
}
