package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var now = time.Date(2026, 1, 15, 10, 30, 20, 0, time.UTC)

// drawFact is any fact that may count, of the last nine days.
func drawFact(t *rapid.T) Fact {
	f := Fact{
		Topic: rapid.SampledFrom([]string{event.TopicRequested, event.TopicBeforeSend, event.TopicAfterSend, event.TopicSuccess, event.TopicFailed, event.TopicCallback}).Draw(t, "topic"),
		Time:  now.Add(-time.Duration(rapid.IntRange(0, 9*24*3600).Draw(t, "age")) * time.Second),
	}
	if rapid.Bool().Draw(t, "lately") {
		f.Time = now.Add(-time.Duration(rapid.IntRange(0, 3*3600).Draw(t, "age")) * time.Second)
	}
	f.Sync = domain.Sync{
		Source: rapid.SampledFrom([]string{"default", "outlet"}).Draw(t, "source"), Generation: rapid.IntRange(1, 2).Draw(t, "generation"),
		ErrorCode: rapid.SampledFrom([]domain.ErrorCode{"", domain.ErrorUnavailable, domain.ErrorTimeout, domain.ErrorConflict}).Draw(t, "code"),
		ClosedBy:  rapid.SampledFrom([]domain.ClosedBy{"", domain.ClosedByCancelled, domain.ClosedBySuperseded, domain.ClosedByRejected}).Draw(t, "closed_by"),
		CreatedAt: f.Time.Add(-time.Duration(rapid.IntRange(0, 10_000).Draw(t, "waited")) * time.Millisecond),
	}
	f.Sync.Version = domain.RequestVersion(f.Sync.Generation, rapid.IntRange(0, 1).Draw(t, "number"))
	if f.Topic == event.TopicAfterSend && rapid.Bool().Draw(t, "called") {
		f.Took = new(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "took")) * time.Millisecond)
	}
	return f
}

// plain is the model: it counts the facts of a point one by one.
func plain(facts []Fact, p Point, source string) map[string]int64 {
	out := map[string]int64{}
	for _, f := range facts {
		if f.Time.Before(p.Since) || !f.Time.Before(p.Until) || source != "" && f.Sync.Source != source {
			continue
		}
		switch f.Topic {
		case event.TopicRequested:
			if f.Sync.Version.Number() == 0 {
				out["accepted"]++
			}
		case event.TopicAfterSend:
			out["attempts"]++
			class := map[domain.ErrorCode]string{domain.ErrorUnavailable: "unavailable", domain.ErrorTimeout: "timeout", domain.ErrorConflict: "other"}
			if name, is := class[f.Sync.ErrorCode]; is {
				out[name]++
			}
			if f.Took != nil {
				out["calls"]++
			}
		case event.TopicSuccess:
			out["succeeded"]++
			if f.Sync.Generation == 1 {
				out["orders"]++
			}
		case event.TopicFailed:
			switch f.Sync.ClosedBy {
			case domain.ClosedByCancelled, domain.ClosedBySuperseded:
				out["cancelled"]++
			default:
				out["failed"]++
			}
		}
	}
	return out
}

// counted is a point in the form of the model.
func counted(p Point) map[string]int64 {
	out := map[string]int64{
		"accepted": int64(p.Accepted), "succeeded": int64(p.Succeeded), "failed": int64(p.Failed), "cancelled": int64(p.Cancelled),
		"attempts": int64(p.Attempts), "calls": p.Calls.Count(), "orders": p.Orders.Count(),
	}
	for i, n := range p.AttemptErrors {
		out[Classes[i]] = int64(n)
	}
	for name, n := range out {
		if n == 0 {
			delete(out, name)
		}
	}
	return out
}

func write(t require.TestingT, pool *pgxpool.Pool, tally Tally) {
	text, err := tally.JSON()
	require.NoError(t, err)
	_, err = pool.Exec(context.Background(), InsertInto(Table, 1), text)
	require.NoError(t, err)
}

// In whatever batches the facts are written, and whenever old rows are added up: each range counts each fact once.
func TestTheHistoryIsThatOfThePlainModel(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		_, err := pool.Exec(context.Background(), `TRUNCATE vendor_erp_sync_history`)
		require.NoError(t, err)
		facts := rapid.SliceOfN(rapid.Custom(drawFact), 1, 60).Draw(t, "facts")
		for rest := facts; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			tally := make(Tally)
			for _, f := range rest[:n] {
				tally.Add(f, now)
			}
			write(t, pool, tally)
			rest = rest[n:]
			if rapid.Bool().Draw(t, "roll") {
				_, err := Roll(context.Background(), pool, now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "minutes"))*time.Minute), 10)
				require.NoError(t, err)
			}
		}
		for _, r := range Ranges {
			for _, source := range []string{"", "outlet"} {
				points, sum, err := Read(context.Background(), pool, r, source, now.Add(time.Second))
				require.NoError(t, err)
				require.Len(t, points, r.Points)
				all := map[string]int64{}
				for _, p := range points {
					want := plain(facts, p, source)
					require.Equal(t, want, counted(p), "%s %s", r.Name, p.Since)
					for name, n := range want {
						all[name] += n
					}
				}
				require.Equal(t, all, counted(Point{Counts: sum}))
			}
		}
	})
}

func TestRollKeepsASpanOfRowsAsLongAsARangeNeedsIt(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	tally := make(Tally)
	for age := time.Duration(0); age < 9*24*time.Hour; age += 7 * time.Minute {
		tally.Add(Fact{Topic: event.TopicAfterSend, Sync: domain.Sync{Source: "default"}, Time: now.Add(-age)}, now.Add(-age)) // applied at once
	}
	write(t, pool, tally)
	before := len(tally)
	for {
		taken, err := Roll(t.Context(), pool, now, 100)
		require.NoError(t, err)
		require.LessOrEqual(t, taken, 100)
		if taken < 100 {
			break
		}
	}
	rows, err := pool.Query(t.Context(), `SELECT span, count(*)::int, min(at), sum(attempts)::int FROM vendor_erp_sync_history GROUP BY span ORDER BY span`)
	require.NoError(t, err)
	type kept struct {
		Span, Rows int
		From       time.Time
		Attempts   int
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[kept])
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.Less(t, all[0].Rows+all[1].Rows+all[2].Rows, before/4)
	for i, r := range []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
		require.False(t, all[i].From.After(Ranges[i].Since(now)), "%v", all[i])
		require.Less(t, now.Sub(all[i].From), r+25*time.Hour+2*time.Hour, "%v", all[i])
	}
	taken, err := Roll(t.Context(), pool, now, 100)
	require.NoError(t, err)
	require.Zero(t, taken, "nothing is left to do")
}

// fillWeek makes the history of 20 shops that were busy all week, as Roll leaves it.
func fillWeek(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	tally := make(Tally)
	for shop := range 20 {
		for at := now.Add(-Keep); at.Before(now); at = at.Add(time.Minute) {
			source := fmt.Sprintf("shop-%d", shop)
			took := time.Duration(random.IntN(3000)) * time.Millisecond
			tally.Add(Fact{Topic: event.TopicAfterSend, Sync: domain.Sync{Source: source}, Time: at, Took: &took}, now)
			tally.Add(Fact{Topic: event.TopicSuccess, Sync: domain.Sync{Source: source, Generation: 1, CreatedAt: at.Add(-2 * took)}, Time: at}, now)
		}
	}
	write(t, pool, tally)
}

// A week of 20 shops is read along the primary key, and is some thousand rows.
func TestARangeIsReadAlongTheIndex(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	fillWeek(t, pool)
	for _, r := range Ranges {
		rows, err := pool.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off) `+readQuery, r.Since(now), "")
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Contains(t, strings.Join(plan, "\n"), "vendor_erp_sync_history_pkey")
		require.NotContains(t, strings.Join(plan, "\n"), "Seq Scan")
		all, err := pool.Query(t.Context(), readQuery, r.Since(now), "")
		require.NoError(t, err)
		found, err := pgx.CollectRows(all, scanStored)
		require.NoError(t, err)
		require.Less(t, len(found), 20*450, r.Name)
	}
}
