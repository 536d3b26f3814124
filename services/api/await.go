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
	pollInterval = 25 * time.Millisecond // of requests that wait
	readTimeout  = 10 * time.Second
)

// A command answers once its order has ended, so many requests wait at the same time: a shop that pushes 500 orders by hand has 500
// open requests. Each could look by itself; then 500 of them would be 20,000 queries a second. So one goroutine looks for all, and
// only while somebody waits.

// generation is a generation in the projection.
type generation struct {
	status    domain.Status
	attempts  int
	next      *time.Time
	reference *string
	lastError *string
	newer     bool // the order has a newer one
}

// projected is the row of an order: the generation that it shows, and how far it has caught up.
type projected struct {
	number int
	stamp  domain.Stamp
	row    generation
}

// of is the generation that the gate has allotted, as far as the row shows it; ended reports whether it has ended.
//
// The projection is behind the gate by some milliseconds, and by more when it is busy. So a row of an older generation says nothing
// yet: with it, a resync of a failed order would be answered with the old failure. A row of a newer one means that somebody asked for
// another resync meanwhile, which has superseded this one.
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

// reader reads the rows of orders by their keys.
type reader func(ctx context.Context, keys []string) (map[string]projected, error)

// rowsOf reads them from the database.
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

// waiters are the requests that wait for the end of a generation. One query a tick reads the rows for all of them.
type waiters struct {
	read reader

	mu      sync.Mutex
	waiting map[*waiter]bool
	poller  *poller // nil while nobody waits
}

// waiter is one request that waits.
type waiter struct {
	key  string
	seen chan reading // the latest reading; it replaces an older one that was not taken
}

// reading is an order's row at one tick, or why it was not read.
type reading struct {
	projected

	err error
}

// poller is the goroutine that reads for all.
type poller struct {
	stop context.CancelFunc
	done chan struct{}
}

func newWaiters(read reader) *waiters { return &waiters{read: read, waiting: map[*waiter]bool{}} }

// await waits until the generation has ended, or the time is over, and returns what is known then.
func (w *waiters) await(ctx context.Context, g domain.Gate, wait time.Duration) (generation, error) {
	// Most commands that change nothing are answered by this reading, and so is ?wait=0.
	first, err := w.readOne(ctx, g.Ref.Key())
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
		case latest := <-one.seen:
			if latest.err != nil { // the command was taken; failed says so
				return known, latest.err
			}
			if known, ended = latest.of(g); ended {
				return known, nil
			}
		case <-deadline.C:
			return known, nil
		case <-ctx.Done():
			return known, ctx.Err()
		}
	}
}

// readOne reads one order.
func (w *waiters) readOne(ctx context.Context, key string) (projected, error) {
	found, err := w.read(ctx, []string{key})
	if err != nil {
		return projected{}, err
	}
	l := readingOf(found, key)
	return l.projected, l.err
}

// readingOf is the reading of one order.
func readingOf(found map[string]projected, key string) reading {
	p, known := found[key]
	if !known {
		return reading{err: fmt.Errorf("order %s has no gate any more", key)}
	}
	return reading{projected: p}
}

// join adds a request. The first one starts the poller.
func (w *waiters) join(key string) *waiter {
	one := &waiter{key: key, seen: make(chan reading, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[one] = true
	if w.poller == nil {
		ctx, stop := context.WithCancel(context.Background())
		w.poller = &poller{stop: stop, done: make(chan struct{})}
		go w.poll(ctx, w.poller.done)
	}
	return one
}

// leave takes a request off. The last one stops the poller, and waits for it: after a server has stopped, no goroutine reads on.
func (w *waiters) leave(one *waiter) {
	w.mu.Lock()
	delete(w.waiting, one)
	ended := w.poller
	if len(w.waiting) > 0 {
		ended = nil
	} else {
		w.poller = nil
	}
	w.mu.Unlock()
	if ended != nil {
		ended.stop()
		<-ended.done
	}
}

// poll looks for all who wait, tick by tick.
func (w *waiters) poll(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.pollOnce(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// pollOnce reads the rows and gives each request its own.
func (w *waiters) pollOnce(ctx context.Context) {
	keys := w.keys()
	found, err := w.read(ctx, keys)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.waiting {
		l := reading{err: err}
		if err == nil {
			if _, read := slices.BinarySearch(keys, one.key); !read {
				continue // it joined after the query
			}
			l = readingOf(found, one.key)
		}
		// Only pollOnce sends, under the lock, so there is room after this. A slow request never holds up the others.
		select {
		case <-one.seen:
		default:
		}
		one.seen <- l
	}
}

// keys are the keys of the orders that somebody waits for, each once.
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
