package bulk

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/setting/settingtest"
	"github.com/erpconnector/erpconnector/shared/syncs"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var day = time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC)

// bench is jobs on a database of their own, whose clock and settings a test moves. Time passes by itself, a millisecond a look.
type bench struct {
	t        require.TestingT
	pool     *pgxpool.Pool
	store    *Store
	runner   *Runner
	settings *settingtest.Changeable
	clock    time.Time

	mu   sync.Mutex
	ends map[Result]int // that were observed
}

func newBench(t require.TestingT, pool *pgxpool.Pool) *bench {
	b := &bench{t: t, pool: pool, settings: settingtest.New(setting.Defaults()), clock: day.AddDate(0, 1, 0), ends: map[Result]int{}}
	b.store = NewStore(pool, b.settings)
	b.store.now = b.now
	b.runner = b.another()
	return b
}

func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = b.clock.Add(time.Millisecond)
	return b.clock
}

// another is one more process that carries jobs out.
func (b *bench) another() *Runner {
	r := NewRunner(b.pool, b.settings, slog.New(slog.DiscardHandler), func(_ Command, result Result, n int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ends[result] += n
	})
	r.now = b.now
	return r
}

func (b *bench) exec(sql string, args ...any) {
	_, err := b.pool.Exec(context.Background(), sql, args...)
	require.NoError(b.t, err)
}

var rejected = domain.ErrorGroup{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no such sku #"}

// orders writes n orders of a shop that are in a state, with sync ids from one on: as accept, the ERP's answer and the projector do.
func (b *bench) orders(source string, from, n int, status domain.Status) {
	ctx := context.Background()
	require.NoError(b.t, pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		var refs []domain.OrderRef
		for i := range n {
			refs = append(refs, domain.OrderRef{Source: source, IncrementID: fmt.Sprint(100_000 + from + i)})
		}
		gates, err := gate.Lock(ctx, tx, refs, day)
		if err != nil {
			return err
		}
		var requested []domain.Gate
		for i, ref := range refs {
			g, _ := gates[ref.Key()].Request(int64(from+i), domain.RequestPolicy{Enabled: true, ImmediateSync: status != domain.Pending, MaxAttempts: 3}, day)
			switch status {
			case domain.Failed:
				g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByFailure
			case domain.Success:
				g.State, g.ClosedBy, g.KeyAnswered = domain.GateClosed, domain.ClosedByAnswer, true
			default:
			}
			requested = append(requested, g)
		}
		return gate.Save(ctx, tx, requested)
	}))
	b.exec(`INSERT INTO sales_order (order_key, source, increment_id, snapshot, created_at, updated_at)
		SELECT g.order_key, g.source, g.increment_id, json_build_object('currency', 'EUR', 'totals', json_build_object('grand_total', '10.50')), $1, $1
		FROM erp_sync_gate g WHERE g.sync_id BETWEEN $2 AND $3`, day, from, from+n-1)
	b.exec(`INSERT INTO vendor_erp_sync (sync_id, source, order_increment_id, status, attempts, max_attempts, last_error, idempotency_key,
			created_at, updated_at, generation, attempt_version, attempt_version_at, version, version_at)
		SELECT g.sync_id, g.source, g.increment_id, $4, 1, 3, CASE WHEN $4 = 'failed' THEN 'no such sku A1' END, g.idempotency_key,
			$1, $1::timestamptz + g.sync_id * interval '1 second', g.generation, 0, $1, g.version, $1
		FROM erp_sync_gate g WHERE g.sync_id BETWEEN $2 AND $3`, day, from, from+n-1, status)
	group := int64(0)
	if status == domain.Failed {
		group = rejected.ID()
		b.exec(`INSERT INTO vendor_erp_sync_error_group VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT DO NOTHING`, group, rejected.HTTPStatus, rejected.Code, rejected.Text, day)
		b.exec(`INSERT INTO vendor_erp_sync_error SELECT sync_id, $3, updated_at FROM vendor_erp_sync WHERE sync_id BETWEEN $1 AND $2`, from, from+n-1, group)
	}
	b.exec(`INSERT INTO vendor_erp_sync_count AS c VALUES ($1, $2, $3, $4) ON CONFLICT (source, status, group_id) DO UPDATE SET n = c.n + excluded.n`, source, status, group, n)
	b.exec(`UPDATE vendor_erp_sync_counted SET offsets = 0`)
}

// end brings orders that are under way to their end, as the syncer and the projector do: those that a job has sent, at most so many.
func (b *bench) end(status domain.Status, limit int) {
	b.exec(`
		WITH ended AS (
			SELECT v.sync_id, g.generation, g.order_key FROM vendor_erp_sync v JOIN erp_sync_gate g ON g.sync_id = v.sync_id
			WHERE g.state = 'open' ORDER BY v.sync_id LIMIT $2
		), closed AS (
			UPDATE erp_sync_gate g SET state = 'closed', closed_by = CASE $1 WHEN 'success' THEN 'answer' ELSE 'failure' END, key_answered = $1 = 'success'
			FROM ended e WHERE g.order_key = e.order_key
		) UPDATE vendor_erp_sync v SET status = $1, generation = e.generation, updated_at = now(), last_error = CASE $1 WHEN 'failed' THEN 'again' END
		FROM ended e WHERE v.sync_id = e.sync_id`, status, limit)
}

// commands are how many requests each order has in the outbox.
func (b *bench) commands() map[string]int {
	rows, err := b.pool.Query(context.Background(), `SELECT key, count(*)::int FROM erp_outbox GROUP BY key`)
	require.NoError(b.t, err)
	out := map[string]int{}
	var key string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&key, &n}, func() error { out[key] = n; return nil })
	require.NoError(b.t, err)
	return out
}

func failedOf(source string) *syncs.Filter {
	return &syncs.Filter{Source: source, Statuses: []domain.Status{domain.Failed}}
}

func anyone(Plan) error { return nil }

// start previews a plan and starts it.
func (b *bench) start(p Plan) Job {
	require.Empty(b.t, p.Check())
	preview, err := b.store.Preview(context.Background(), p, "jane")
	require.NoError(b.t, err)
	j, err := b.store.Start(context.Background(), preview.Token, "jane", anyone)
	require.NoError(b.t, err)
	return j
}

// step lets a process do some of the work.
func (b *bench) step(r *Runner) Step {
	s, err := r.Step(context.Background())
	require.NoError(b.t, err)
	return s
}

// steps lets a process work until there is nothing more to do at once.
func (b *bench) steps() {
	for b.step(b.runner).More {
	}
}

func (b *bench) job(id int64) Job {
	j, err := b.store.Get(context.Background(), id)
	require.NoError(b.t, err)
	return j
}

// counts are a job's numbers: selected, waiting, sent, succeeded, failed, refused.
func (b *bench) counts(id int64) [6]int64 {
	j := b.job(id)
	return [6]int64{j.Selected, j.Waiting(), j.Sent, j.Succeeded, j.Failed, j.Refused}
}

func setup(t *testing.T) *bench {
	t.Helper()
	return newBench(t, testkit.Postgres(t).Pool)
}
