package outbox

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Channel is the Postgres notification channel on which the relay is woken.
const Channel = "erp_outbox"

// wakeTimeout limits how long a wake-up may take its caller: the relay polls anyway.
const wakeTimeout = time.Second

// A notification in the writer's transaction would serialize all commits of the database (a factor of four at 16
// writers). So it is sent after the commit, in a transaction of its own. That one need not be durable, so
// synchronous_commit is off.
const notifyQuery = `SELECT set_config('synchronous_commit', 'off', true), pg_notify('` + Channel + `', '')`

var waking = struct {
	sync.Mutex
	pools map[*pgxpool.Pool]*wakeUp
}{pools: map[*pgxpool.Pool]*wakeUp{}}

type wakeUp struct {
	sending, waiting sync.Mutex

	here atomic.Pointer[func()] // of a relay that leads in this process
}

// OnWake lets Wake with this pool call f in place of a notification, until stop is called. A relay uses it while it leads: then the
// writers of its own process need not go by way of Postgres. f must not block.
func OnWake(pool *pgxpool.Pool, f func()) (stop func()) {
	w := wakeUpOf(pool)
	w.here.Store(&f)
	return func() { w.here.CompareAndSwap(&f, nil) }
}

// Wake tells the relay that rows were committed. Call it after the commit. For each pool at most one wake-up is in
// flight and one waits. When one waits already, Wake returns at once: that one starts after this commit too. Wake
// reports no failure, as the relay also finds the rows by polling.
func Wake(ctx context.Context, pool *pgxpool.Pool) {
	w := wakeUpOf(pool)
	if wake := w.here.Load(); wake != nil {
		(*wake)()
		return
	}
	if !w.waiting.TryLock() {
		return
	}
	w.sending.Lock()
	defer w.sending.Unlock()
	w.waiting.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	_, _ = pool.Exec(ctx, notifyQuery)
}

func wakeUpOf(pool *pgxpool.Pool) *wakeUp {
	waking.Lock()
	defer waking.Unlock()
	w, ok := waking.pools[pool]
	if !ok {
		w = &wakeUp{}
		waking.pools[pool] = w
	}
	return w
}
