package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Channel is the Postgres notification channel on which the relay is woken.
const Channel = "erp_outbox"

// wakeTimeout bounds what a wake-up may cost its caller: the relay polls anyway.
const wakeTimeout = time.Second

// A notification in the writer's own transaction would serialise all commits of the database (a factor of four at 16
// writers), so it is sent after the commit, in its own, which need not be durable: hence synchronous_commit.
const notifyQuery = `SELECT set_config('synchronous_commit', 'off', true), pg_notify('` + Channel + `', '')`

var waking = struct {
	sync.Mutex
	pools map[*pgxpool.Pool]*wakeUp
}{pools: map[*pgxpool.Pool]*wakeUp{}}

type wakeUp struct{ sending, waiting sync.Mutex }

// Wake tells the relay that rows were committed. Call it after the commit. Per process and pool at most one wake-up is
// in flight and one waits; a caller that finds one waiting returns at once, as that one starts after its commit. A
// wake-up that fails is not reported: the relay finds the rows by polling, within 50 ms.
func Wake(ctx context.Context, pool *pgxpool.Pool) {
	w := wakeUpOf(pool)
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
