package api

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
)

const (
	awaitInterval = 25 * time.Millisecond // between two looks of those who wait
	readTimeout   = 5 * time.Second
)

// generation is a generation as the projection has it.
type generation struct {
	status    domain.Status
	attempts  int
	next      *time.Time
	reference *string
	lastError *string
	newer     bool // the order has a newer one
}

// projected is an order's row: which generation it shows, and how far it has caught up.
type projected struct {
	number int
	stamp  domain.Stamp
	row    generation
}

// of is what the row tells of the generation that the gate has allotted; ended tells that it will not change by itself.
func (p projected) of(g domain.Gate) (out generation, ended bool) {
	switch {
	case p.number > g.Generation:
		p.row.newer = true
		return p.row, true
	case p.number < g.Generation || g.Newer(p.stamp):
		return generation{status: g.Status(), lastError: lastErrorOf(g, g.Ref)}, false
	}
	return p.row, p.row.status == domain.Success || p.row.status == domain.Failed
}

// reader reads the rows of orders, by their keys.
type reader func(ctx context.Context, keys []string) (map[string]projected, error)

func rowsOf(pool *pgxpool.Pool) reader {
	return func(ctx context.Context, keys []string) (map[string]projected, error) {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		rows, err := pool.Query(ctx, `
			SELECT g.order_key, coalesce(v.generation, 0), coalesce(v.version, -1), coalesce(v.version_at, 'epoch'), coalesce(v.status, ''),
				coalesce(v.attempts, 0), v.next_attempt_at, v.erp_reference, v.last_error
			FROM erp_sync_gate g LEFT JOIN vendor_erp_sync v ON v.sync_id = g.sync_id WHERE g.order_key = ANY($1)`, keys)
		out := make(map[string]projected, len(keys))
		if err == nil {
			var key string
			var p projected
			_, err = pgx.ForEachRow(rows, []any{
				&key, &p.number, &p.stamp.Version, &p.stamp.Time, &p.row.status, &p.row.attempts, &p.row.next, &p.row.reference, &p.row.lastError,
			}, func() error {
				out[key] = p
				return nil
			})
		}
		if err != nil {
			return nil, fmt.Errorf("reading %d orders: %w", len(keys), err)
		}
		return out, nil
	}
}

// waiters are requests that wait for the end of a generation. They look together, with one query a tick, however many they are.
type waiters struct {
	read reader

	mu      sync.Mutex
	waiting map[*waiter]bool
	looking *looking // nil while nobody waits
}

// waiter is one request.
type waiter struct {
	key  string
	seen chan look // the last look; an older one that was not taken is thrown away
}

type look struct {
	projected

	err error
}

// looking is the goroutine that looks for all.
type looking struct {
	stop context.CancelFunc
	done chan struct{}
}

func newWaiters(read reader) *waiters { return &waiters{read: read, waiting: map[*waiter]bool{}} }

// await looks until the generation has ended, or the time is over: then it tells what is known.
func (w *waiters) await(ctx context.Context, g domain.Gate, wait time.Duration) (generation, error) {
	first, err := w.lookAt(ctx, g.Ref.Key())
	if err != nil {
		return generation{}, err
	}
	known, ended := first.of(g)
	if ended || wait <= 0 {
		return known, nil
	}
	one := w.join(g.Ref.Key())
	defer w.leave(one)
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		select {
		case l := <-one.seen:
			if l.err != nil {
				return known, l.err
			}
			if known, ended = l.of(g); ended {
				return known, nil
			}
		case <-deadline.C:
			return known, nil
		case <-ctx.Done():
			return known, ctx.Err()
		}
	}
}

// lookAt is a look at one order.
func (w *waiters) lookAt(ctx context.Context, key string) (projected, error) {
	found, err := w.read(ctx, []string{key})
	if err != nil {
		return projected{}, err
	}
	l := lookOf(found, key)
	return l.projected, l.err
}

func lookOf(found map[string]projected, key string) look {
	p, known := found[key]
	if !known {
		return look{err: fmt.Errorf("order %s has no gate any more", key)}
	}
	return look{projected: p}
}

func (w *waiters) join(key string) *waiter {
	one := &waiter{key: key, seen: make(chan look, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[one] = true
	if w.looking == nil {
		ctx, stop := context.WithCancel(context.Background())
		w.looking = &looking{stop: stop, done: make(chan struct{})}
		go w.look(ctx, w.looking.done)
	}
	return one
}

// leave ends the looking with the last who waits.
func (w *waiters) leave(one *waiter) {
	w.mu.Lock()
	delete(w.waiting, one)
	ended := w.looking
	if len(w.waiting) > 0 {
		ended = nil
	} else {
		w.looking = nil
	}
	w.mu.Unlock()
	if ended != nil {
		ended.stop()
		<-ended.done
	}
}

// look looks for all who wait, tick by tick.
func (w *waiters) look(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	tick := time.NewTicker(awaitInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.lookOnce(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (w *waiters) lookOnce(ctx context.Context) {
	keys := w.keys()
	found, err := w.read(ctx, keys)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.waiting {
		l := look{err: err}
		if err == nil {
			if _, asked := slices.BinarySearch(keys, one.key); !asked {
				continue // came meanwhile
			}
			l = lookOf(found, one.key)
		}
		select {
		case <-one.seen:
		default:
		}
		one.seen <- l
	}
}

// keys are those of the orders that are waited for, each once.
func (w *waiters) keys() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := make([]string, 0, len(w.waiting))
	for one := range w.waiting {
		keys = append(keys, one.key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
