package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var start = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// shelf is a database on which held orders are put, and Orders at a fixed time.
type shelf struct {
	*Orders
	pool *pgxpool.Pool
	put  int
}

func setup(t *testing.T) *shelf {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	o := New(pool, setting.Fixed(setting.Defaults()))
	o.now = func() time.Time { return start.Add(time.Hour) }
	return &shelf{Orders: o, pool: pool}
}

// hold puts orders that were requested a second after each other, in this order.
func (s *shelf) hold(t *testing.T, by domain.HeldBy, orders ...string) {
	t.Helper()
	s.holdNamed(t, by, "an item", orders...)
}

func (s *shelf) holdNamed(t *testing.T, by domain.HeldBy, item string, orders ...string) {
	t.Helper()
	in := domain.RequestPolicy{Enabled: by == domain.HeldByCron, MaxAttempts: 3}
	require.NoError(t, pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		for _, id := range orders {
			s.put++
			ref, at := domain.OrderRef{Source: "default", IncrementID: id}, start.Add(time.Duration(s.put)*time.Second)
			gates, err := gate.Lock(t.Context(), tx, []domain.OrderRef{ref}, at)
			require.NoError(t, err)
			g, ok := gates[ref.Key()].Request(int64(s.put), in, at)
			require.True(t, ok)
			require.NoError(t, gate.Save(t.Context(), tx, []domain.Gate{g}))
			_, err = tx.Exec(t.Context(), `INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, created_at, updated_at)
				VALUES ($1, 'default', $1, 7, $2, $3, $3)`, id, snapshotOf(id, item), at)
			require.NoError(t, err)
		}
		return nil
	}))
}

func snapshotOf(id, item string) string {
	return fmt.Sprintf(`{"order_increment_id": %q, "items": [{"name": %q, "price": 1.50}]}`, id, item)
}

// written are the requests in the outbox, in the order of their ids.
func (s *shelf) written(t *testing.T) (out []event.Sync) {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT payload FROM erp_outbox WHERE topic = $1 ORDER BY id`, event.TopicRequested)
	require.NoError(t, err)
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	require.NoError(t, err)
	for _, p := range payloads {
		v, err := event.DecodeSync(p)
		require.NoError(t, err)
		out = append(out, v)
	}
	return out
}

func (s *shelf) released(t *testing.T) (ids []string) {
	t.Helper()
	for _, v := range s.written(t) {
		ids = append(ids, v.Sync.OrderIncrementID)
	}
	return ids
}

func (s *shelf) release(t *testing.T, limit int) int {
	t.Helper()
	n, err := s.Release(t.Context(), Releasing{HeldBy: domain.HeldByCron, Limit: limit, Cause: "cron"})
	require.NoError(t, err)
	return n
}

func TestReleaseInOrderOfArrivalUpToItsLimit(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.hold(t, domain.HeldByCron, "9", "3", "5")
	s.hold(t, domain.HeldByDisabled, "1")
	s.hold(t, domain.HeldByCron, "2")
	require.Equal(t, 2, s.release(t, 2))
	require.Equal(t, []string{"9", "3"}, s.released(t))
	counts, err := s.Held(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[domain.HeldBy]int{domain.HeldByCron: 2, domain.HeldByDisabled: 1}, counts)
	require.Equal(t, 2, s.release(t, 100))
	require.Zero(t, s.release(t, 100))
	require.Equal(t, []string{"9", "3", "5", "2"}, s.released(t))
}

// What is released is the generation that was held: its key and numbers, and the order as it is now.
func TestReleaseWritesTheRequestOfTheGate(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.hold(t, domain.HeldByCron, "1")
	require.Equal(t, 1, s.release(t, 1))
	got := s.written(t)[0]
	gates, err := gate.NewStore(s.pool).Read(t.Context(), []string{"1"})
	require.NoError(t, err)
	g := *gates["1"]
	require.Equal(t, domain.GateOpen, g.State)
	require.Equal(t, domain.RequestVersion(1, 1), g.Version)
	require.Equal(t, domain.RequestVersion(1, 1), got.Sync.Version)
	require.Equal(t, domain.IdempotencyKey(g.Ref, 1), got.Sync.IdempotencyKey)
	require.True(t, *got.Sync.Released)
	require.Equal(t, domain.Queued, got.Sync.Status)
	require.Equal(t, "cron", got.Sync.Cause)
	require.EqualValues(t, 7, *got.Sync.OrderID)
	require.Equal(t, start.Add(time.Second), got.Sync.CreatedAt)
	require.JSONEq(t, snapshotOf("1", "an item"), string(got.Order))
	require.Contains(t, string(got.Order), "1.50", "amounts keep their digits")
}

// Two schedulers, and more, that release at the same time share the orders; each goes out once.
func TestReleaseByManyAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprint(1000+i))
	}
	s.hold(t, domain.HeldByCron, names...)
	var many sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		many.Go(func() {
			for left := true; left && errs[i] == nil; {
				_, errs[i] = s.Release(t.Context(), Releasing{HeldBy: domain.HeldByCron, Limit: 7})
				counts, err := s.Held(t.Context())
				errs[i] = errors.Join(errs[i], err)
				left = counts[domain.HeldByCron] > 0
			}
		})
	}
	many.Wait()
	require.NoError(t, errors.Join(errs...))
	require.ElementsMatch(t, names, s.released(t))
}

func TestReleasePassesOverWhatSomebodyHasLocked(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.hold(t, domain.HeldByCron, "1", "2", "3")
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = gate.LockKnown(t.Context(), tx, []string{"1"})
	require.NoError(t, err)
	require.Equal(t, 1, s.release(t, 1))
	require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context())))
	require.Equal(t, 2, s.release(t, 2))
	require.Equal(t, []string{"2", "1", "3"}, s.released(t))
}

// A release of large orders takes fewer at a time, and at least one.
func TestReleaseIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.holdNamed(t, domain.HeldByCron, strings.Repeat("x", 3<<20), "1", "2", "3")
	s.holdNamed(t, domain.HeldByCron, strings.Repeat("x", 9<<20), "4", "5")
	require.Equal(t, 2, s.release(t, 100))
	require.Equal(t, 1, s.release(t, 100))
	require.Equal(t, 1, s.release(t, 100))
	require.Equal(t, 1, s.release(t, 100))
	require.Equal(t, []string{"1", "2", "3", "4", "5"}, s.released(t))
}

func TestReleaseAndWhatGoesWithItAreOne(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.hold(t, domain.HeldByCron, "1")
	no := errors.New("no")
	_, err := s.Release(t.Context(), Releasing{HeldBy: domain.HeldByCron, Limit: 1, InTx: func(_ context.Context, _ pgx.Tx, n int) error {
		require.Equal(t, 1, n)
		return no
	}})
	require.ErrorIs(t, err, no)
	require.Empty(t, s.released(t))
	called := false
	n, err := s.Release(t.Context(), Releasing{HeldBy: domain.HeldByDisabled, Limit: 1, InTx: func(_ context.Context, _ pgx.Tx, n int) error {
		called = true
		require.Zero(t, n)
		return nil
	}})
	require.NoError(t, err)
	require.Zero(t, n)
	require.True(t, called, "also when none is held")
}

func TestReleaseOfNothingWhileTheConnectorIsOff(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.hold(t, domain.HeldByDisabled, "1")
	s.settings = setting.Fixed{Enabled: false, ImmediateSync: true}
	_, err := s.Release(t.Context(), Releasing{HeldBy: domain.HeldByDisabled, Limit: 1})
	require.ErrorIs(t, err, ErrDisabled)
	require.Empty(t, s.released(t))
}

// Held because the connector was off, then for the cron: no fact is written, and the place in the order of arrival stays.
func TestReholdKeepsTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.hold(t, domain.HeldByDisabled, "8", "7")
	s.hold(t, domain.HeldByCron, "6")
	moved, err := s.Rehold(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 1, moved)
	moved, err = s.Rehold(t.Context(), 100)
	require.NoError(t, err)
	require.Equal(t, 1, moved)
	moved, err = s.Rehold(t.Context(), 100)
	require.NoError(t, err)
	require.Zero(t, moved)
	require.Empty(t, s.released(t))
	require.Equal(t, 3, s.release(t, 100))
	require.Equal(t, []string{"8", "7", "6"}, s.released(t))
	require.True(t, slices.IsSortedFunc(s.written(t), func(a, b event.Sync) int { return a.Sync.CreatedAt.Compare(b.Sync.CreatedAt) }))
	require.True(t, json.Valid(s.written(t)[0].Order))
}
