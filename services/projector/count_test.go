package projector

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// countsOf are the counts as they are kept.
func countsOf(t require.TestingT, pool *pgxpool.Pool) []map[string]any {
	return query(t, pool, `SELECT source, status, group_id, n::bigint AS n FROM vendor_erp_sync_count WHERE n <> 0 ORDER BY source, status, group_id`)
}

// countedNow are the counts that the rows and their errors have.
func countedNow(t require.TestingT, pool *pgxpool.Pool) []map[string]any {
	return query(t, pool, `SELECT source, status, coalesce(group_id, 0) AS group_id, count(*) AS n FROM vendor_erp_sync LEFT JOIN vendor_erp_sync_error USING (sync_id)
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)
}

// errorsOf are the errors as lists show them.
func errorsOf(t require.TestingT, pool *pgxpool.Pool) []map[string]any {
	return query(t, pool, `SELECT sync_id, group_id, http_status, error_code, text, erp_code, field, updated_at FROM vendor_erp_sync_error JOIN vendor_erp_sync_error_group USING (group_id) ORDER BY sync_id`)
}

// Whatever is applied in whatever batches: the counts are those of the rows, each row with an error has its group, and a recount
// changes nothing.
func TestCountsAreThoseOfTheRows(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		_, err := pool.Exec(context.Background(), `TRUNCATE vendor_erp_sync, vendor_erp_sync_event, vendor_erp_sync_error, vendor_erp_sync_count`)
		require.NoError(t, err)
		h := drawHistory(t)
		applyInBatches(t, pool, rapid.Permutation(h.facts).Draw(t, "order"))
		want := countedNow(t, pool)
		require.Equal(t, want, countsOf(t, pool))
		require.Empty(t, query(t, pool, `SELECT sync_id FROM vendor_erp_sync LEFT JOIN vendor_erp_sync_error e USING (sync_id)
			WHERE (last_error IS NOT NULL AND status <> 'success') IS DISTINCT FROM (e.sync_id IS NOT NULL)`))
		errors := errorsOf(t, pool)
		_, err = pool.Exec(context.Background(), `UPDATE vendor_erp_sync_counted SET offsets = -1`)
		require.NoError(t, err)
		s := newStore(pool, live)
		require.NoError(t, s.recount(context.Background()))
		require.Equal(t, want, countsOf(t, pool))
		require.Equal(t, errors, errorsOf(t, pool))
		fits, err := countsFit(context.Background(), pool)
		require.NoError(t, err)
		require.True(t, fits)
	})
}

// failedAt is the facts of an order that the ERP refused with 422 at its first attempt, with this answer.
func failedAt(order int, text, answer string) []fact {
	requested := openGate(order, 1).RequestedSync(nil, "evt")
	d := domain.Decide(requested, domain.Outcome{Kind: domain.OutcomeFinal, Code: domain.ErrorRejected}, domain.RetryPolicy{}, began, 0)
	steps := []fact{
		{at: kafka.TopicPartition{Topic: event.TopicRequested}, Fact: domain.Fact{Sync: requested}},
		{at: kafka.TopicPartition{Topic: event.TopicBeforeSend}, Fact: domain.Fact{Sync: domain.Sending(requested, began)}},
		{at: kafka.TopicPartition{Topic: event.TopicAfterSend}, Fact: domain.Fact{Sync: d.After, Error: &text, Response: &answer}, httpStatus: ptr(422)},
		{at: kafka.TopicPartition{Topic: event.TopicFailed}, Fact: domain.Fact{Sync: *d.Terminal, Error: &text}},
	}
	for i := range steps {
		steps[i].offset, steps[i].Time = int64(order), began
	}
	return steps
}

// shownGroups are the groups that syncs have, and how many have each.
func shownGroups(t require.TestingT, pool *pgxpool.Pool) []map[string]any {
	return query(t, pool, `SELECT group_id, http_status, error_code, text, erp_code, field, sum(n)::bigint AS n FROM vendor_erp_sync_error_group
		JOIN vendor_erp_sync_count USING (group_id) WHERE n <> 0 GROUP BY 1 ORDER BY n DESC, field`)
}

// shownGroup is a group as shownGroups has it.
func shownGroup(g domain.ErrorGroup, n int64) map[string]any {
	return map[string]any{
		"group_id": g.ID(), "http_status": int32(g.HTTPStatus), "error_code": string(g.Code), "text": g.Text,
		"erp_code": g.Answer.Code, "field": g.Answer.Field, "n": n,
	}
}

// refused are orders that the ERP refused with the same words: three for a line's sku, one for its quantity, and one without saying more.
var refused = []string{
	`{"code": "ORD-17", "message": "no", "field": "items[0].sku"}`, `{"code": "ORD-17", "message": "no", "field": "items[3].sku"}`,
	`{"code": "ORD-17", "message": "no", "field": "items[12].sku"}`, `{"code": "ORD-17", "message": "no", "field": "items[0].qty"}`, `{"message": "no"}`,
}

func refusedGroups() []map[string]any {
	of := func(code, field string) domain.ErrorGroup {
		return domain.ErrorGroup{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no", Answer: domain.AnswerError{Code: code, Field: field}}
	}
	return []map[string]any{shownGroup(of("ORD-17", "items[#].sku"), 3), shownGroup(of("", ""), 1), shownGroup(of("ORD-17", "items[#].qty"), 1)}
}

// A failure's status and answer stand in the record of the answer, and the end comes in another one: in any batches, they make the same
// groups.
func TestFailuresAreTheSameGroupsHoweverTheyAreApplied(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]int{"in_order": {0, 1, 2, 3}, "the_end_first": {3, 2, 1, 0}, "the_answer_last": {0, 1, 3, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := testkit.Postgres(t).Pool
			s := newStore(pool, live)
			for o, answer := range refused {
				facts := failedAt(o, "no", answer)
				for _, i := range order {
					require.NoError(t, s.apply(t.Context(), batch{facts: facts[i : i+1]}))
				}
			}
			require.Equal(t, refusedGroups(), shownGroups(t, pool))
		})
	}
}

// A callback that rejects an order has an error of its own: what the ERP answered to the call before says nothing about it.
func TestACallbacksErrorIsNotWhatWasAnsweredBefore(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s := newStore(pool, live)
	facts := failedAt(0, "no", refused[0])
	settled := facts[0].Sync
	settled.Version, settled.Status = domain.CallbackVersion(1, 1), domain.Failed
	callback := fact{at: kafka.TopicPartition{Topic: event.TopicCallback}, Fact: domain.Fact{Sync: settled, Error: ptr("credit limit"), Time: began.Add(time.Hour)}}
	require.NoError(t, s.apply(t.Context(), batch{facts: append(facts, callback)}))
	want := []map[string]any{shownGroup(domain.ErrorGroup{Text: "credit limit"}, 1)}
	require.Equal(t, want, shownGroups(t, pool))
	require.NoError(t, s.recount(t.Context()))
	require.Equal(t, want, shownGroups(t, pool))
}

// What the groups are made of stands in the log: a rebuild, and an empty projection that reads the log again, give the same ones.
func TestGroupsComeFromTheLog(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		for o, answer := range refused {
			b.publish(failedAt(o, "no", answer))
		}
		require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, quiet))
		require.Equal(b, refusedGroups(), shownGroups(b, b.pool))

		b.exec(`TRUNCATE vendor_erp_sync_error_group, vendor_erp_sync_error, vendor_erp_sync_count`)
		_, found, err := b.rebuild(Rebuilding{})
		require.NoError(b, err)
		require.Empty(b, found)
		require.NoError(b, newStore(b.pool, live).recount(b.ctx))
		require.Equal(b, refusedGroups(), shownGroups(b, b.pool), "rebuilt")

		b.exec(`TRUNCATE vendor_erp_sync, vendor_erp_sync_event, vendor_erp_sync_history, projector_position`)
		b.exec(`TRUNCATE vendor_erp_sync_error_group, vendor_erp_sync_error, vendor_erp_sync_count`)
		require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, quiet))
		require.Equal(b, refusedGroups(), shownGroups(b, b.pool), "read again")
	})
}

// A release that told errors apart by other rules has left its groups: they are made anew from the rows, once.
func TestGroupsOfAnEarlierFingerprintAreMadeAnew(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s := newStore(pool, live)
	for o, answer := range refused {
		require.NoError(t, s.apply(t.Context(), batch{facts: failedAt(o, "no", answer)}))
	}
	require.NoError(t, s.recount(t.Context()))
	exec := func(sql string, args ...any) {
		_, err := pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	earlier := domain.ErrorGroup{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no"}.ID()
	exec(`UPDATE vendor_erp_sync_error SET group_id = $1`, earlier)
	exec(`DELETE FROM vendor_erp_sync_count`)
	exec(`INSERT INTO vendor_erp_sync_count SELECT source, status, $1, count(*) FROM vendor_erp_sync GROUP BY 1, 2`, earlier)
	require.NoError(t, s.recount(t.Context()))
	require.Len(t, shownGroups(t, pool), 1, "the counts are of today's fingerprint, so nobody makes them anew")

	exec(`UPDATE vendor_erp_sync_counted SET fingerprint = 1`)
	require.NoError(t, s.recount(t.Context()))
	require.Equal(t, refusedGroups(), shownGroups(t, pool))
	fits, err := countsFit(t.Context(), pool)
	require.NoError(t, err)
	require.True(t, fits)
}

// Rows that somebody else wrote, as an earlier release or a rebuild does, are counted by the next catch-up, and what follows is added.
func TestRowsThatNobodyCountedAreCounted(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		b.publish(success(0))
		b.run()
		counted := func() any {
			return query(b, b.pool, `SELECT coalesce(sum(n), 0)::bigint AS n FROM vendor_erp_sync_count WHERE status = 'success'`)[0]["n"]
		}
		b.within("the order is counted", func() bool { return counted() == int64(1) })
		_, err := b.pool.Exec(b.ctx, `UPDATE vendor_erp_sync_count SET n = 70; DELETE FROM vendor_erp_sync_counted`)
		require.NoError(b, err)
		b.publish(success(1))
		b.within("both are counted", func() bool { return counted() == int64(2) })
		p := New(b.cfg, b.pool, slog.New(slog.DiscardHandler))
		require.NoError(b, p.store.recount(b.ctx))
		require.Equal(b, countedNow(b, b.pool), countsOf(b, b.pool))
	})
}
