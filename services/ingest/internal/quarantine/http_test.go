package quarantine

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
)

// keep keeps an event of a shop as one that was refused.
func (r room) keep(k *Keeper, source, eventID, body string) {
	r.t.Helper()
	k.Keep(r.t.Context(), []accept.Incoming{{Body: []byte(body)}}, []accept.Result{{Result: accept.Refused, Source: source, EventID: eventID}})
}

func (r room) exec(sql string, args ...any) {
	r.t.Helper()
	_, err := r.pool.Exec(r.t.Context(), sql, args...)
	require.NoError(r.t, err)
}

func (r room) events(f Filter) (ids []string) {
	r.t.Helper()
	for _, e := range r.list(f) {
		ids = append(ids, e.EventID)
	}
	return ids
}

// A shop that sends nothing but wrong events fills its own part of the quarantine. What was refused longest ago makes room, however old
// the entry is: one that is repeated is news.
func TestAShopHasSoManyEntriesAtMost(t *testing.T) {
	t.Parallel()
	r := setup(t)
	k := NewKeeper(r.pool, slog.New(slog.DiscardHandler))
	k.most = 3
	r.add(bad("outbox 1"), bad("outbox 2"), bad("outbox 3"), bad("outbox 4"))
	r.keep(k, "outlet", "o1", "{}")
	for i := range 3 {
		r.keep(k, "default", fmt.Sprint("e", i), "{}")
	}
	r.keep(k, "default", "e0", "{}")
	r.keep(k, "default", "e3", "{}")
	require.ElementsMatch(t, []string{"e0", "e2", "e3"}, r.events(Filter{Door: HTTP, Source: "default"}))
	require.Equal(t, []string{"o1"}, r.events(Filter{Door: HTTP, Source: "outlet"}))
	require.Len(t, r.list(Filter{Door: Outbox}), 4)
	require.Equal(t, []Counted{{HTTP, Refused, 3}, {Outbox, Refused, 4}}, r.counts("default"))
}

func (r room) counts(source string) []Counted {
	r.t.Helper()
	counts, err := Counts(r.t.Context(), r.pool, Open, source)
	require.NoError(r.t, err)
	return counts
}

// Of HTTP the last refusal counts, of the outbox only the decision that it is not needed. What waits of the outbox is the only copy of
// its event.
func TestCleanDeletesWhatHasAged(t *testing.T) {
	t.Parallel()
	r := setup(t)
	k := NewKeeper(r.pool, slog.New(slog.DiscardHandler))
	ids := r.add(bad("waits"), bad("discarded"))
	for _, eventID := range []string{"old", "repeated", "discarded http"} {
		r.keep(k, "default", eventID, "{}")
	}
	done, err := Discard(t.Context(), r.pool, []int64{ids[1]}, "", "anna", "a test")
	require.NoError(t, err)
	require.Equal(t, ids[1:], done)
	r.exec(`UPDATE commerce_quarantine SET published_at = now() - interval '2 years', quarantined_at = now() - interval '1 year',
		discarded_at = now() - interval '1 year' WHERE discarded_at IS NOT NULL OR state = 'open'`)
	r.exec(`UPDATE commerce_quarantine SET quarantined_at = now() WHERE event_id = 'repeated'`)
	for _, want := range []int64{1, 1, 1, 0} {
		deleted, err := Clean(t.Context(), r.pool, time.Now().Add(-time.Hour), 1)
		require.NoError(t, err)
		require.Equal(t, want, deleted)
	}
	require.Equal(t, []string{"old", "repeated"}, r.events(Filter{}), "the entry of the outbox was given the id old")
	require.Equal(t, Outbox, r.list(Filter{})[0].Door)
}

// An entry that an operator is sending is neither deleted, nor waited for.
func TestCleanPassesOverWhatSomebodyHolds(t *testing.T) {
	t.Parallel()
	r := setup(t)
	k := NewKeeper(r.pool, slog.New(slog.DiscardHandler))
	r.keep(k, "default", "e1", "{}")
	holder, err := r.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `SELECT FROM commerce_quarantine FOR UPDATE`)
	require.NoError(t, err)
	deleted, err := Clean(t.Context(), r.pool, time.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	require.Zero(t, deleted)
	require.NoError(t, holder.Rollback(t.Context()))
}

// An event that is accepted while an operator sends its entry does not wait for that, which could be a deadlock.
func TestAcceptPassesOverAnEntryThatIsBeingSent(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.keep(NewKeeper(r.pool, slog.New(slog.DiscardHandler)), "default", "e1", bad("e1"))
	holder, err := r.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `SELECT FROM commerce_quarantine FOR UPDATE`)
	require.NoError(t, err)
	results, err := r.accepter.Accept(t.Context(), []accept.Incoming{{Body: []byte(placed("e1", "1"))}})
	require.NoError(t, err)
	require.Equal(t, accept.Accepted, results[0].Result)
	require.NoError(t, holder.Rollback(t.Context()))
}

// A preview leaves nothing behind: no event, no try, and no entry less.
func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.exec(`ALTER TABLE sales_order ADD CHECK (increment_id <> '3')`)
	ids := r.add(placed("e1", "1"), bad("e2"), placed("e3", "3"))
	s := r.sender()
	s.DryRun = true
	sent, err := s.Send(t.Context(), ids)
	require.NoError(t, err)
	var verdicts []accept.Verdict
	for _, one := range sent {
		verdicts = append(verdicts, one.Result.Result)
	}
	require.Equal(t, []accept.Verdict{accept.Accepted, accept.Refused, accept.Refused}, verdicts)
	for _, e := range r.list(Filter{}) {
		require.Equal(t, []any{1, Refused}, []any{e.Tries, e.Code})
	}
	require.Len(t, r.list(Filter{}), 3)
	var events int
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT count(*) FROM accepted_event`).Scan(&events))
	require.Zero(t, events)
}

// One search looks at so many entries, and the next page goes on from there, though the first one is empty.
func TestASearchLooksAtSoManyEntries(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.exec(`INSERT INTO commerce_quarantine (source, code, problems, payload, published_at, quarantined_at)
		SELECT 'default', CASE WHEN i = $1 + 1 THEN 'failed' ELSE 'refused' END, '[]', '', now(), now() FROM generate_series(1, $1 + 2) i`, maxCandidates)
	page, err := List(t.Context(), r.pool, Filter{Code: Failed, Limit: 5})
	require.NoError(t, err)
	require.Equal(t, Page{Next: maxCandidates, Entries: page.Entries}, page)
	require.Empty(t, page.Entries)
	page, err = List(t.Context(), r.pool, Filter{Code: Failed, Limit: 5, After: page.Next})
	require.NoError(t, err)
	require.EqualValues(t, maxCandidates+1, page.Entries[0].ID)
	require.Equal(t, []int64{1, 0}, []int64{page.Selected, page.Next})
}

// Searches and counts walk along an index, whatever the statistics of the table say.
func TestSearchesWalkAlongAnIndex(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.exec(`INSERT INTO commerce_quarantine (source, event_id, about_order, code, problems, payload, published_at, quarantined_at)
		SELECT 'shop-' || i % 10, 'e' || i, i::text, 'refused', '[]', '', now(), now() FROM generate_series(1, 2000) i`)
	for _, statistics := range []string{`SELECT 1`, `ANALYZE commerce_quarantine`} {
		r.exec(statistics)
		for name, c := range map[string]struct {
			filter Filter
			index  string
		}{
			"all":        {Filter{Limit: 5}, "commerce_quarantine_pkey"},
			"by_text":    {Filter{Code: Refused, Text: "x", Limit: 5}, "commerce_quarantine_pkey"},
			"of_a_shop":  {Filter{Source: "shop-1", Limit: 5}, "commerce_quarantine_source"},
			"of_an_id":   {Filter{EventID: "e7", Source: "shop-7", Limit: 5}, "commerce_quarantine_event"},
			"of_a_order": {Filter{OrderKey: "7", Limit: 5}, "commerce_quarantine_about"},
		} {
			sql, args := c.filter.query()
			require.Contains(t, r.plan(sql, args), " using "+c.index+" ", name)
		}
		for _, source := range []string{"", "shop-1"} {
			sql, args := countQuery(Open, source)
			require.Contains(t, r.plan(sql, args), "commerce_quarantine_counts")
		}
	}
}

// plan is the one that a statement has for any values, as the connector's connections make it.
func (r room) plan(sql string, args []any) (plan string) {
	r.t.Helper()
	require.NoError(r.t, r.pool.AcquireFunc(r.t.Context(), func(c *pgxpool.Conn) error {
		nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(args)), ", ")
		results, err := c.Conn().PgConn().Exec(r.t.Context(), "PREPARE asked AS "+sql+"; EXPLAIN EXECUTE asked ("+nulls+"); DEALLOCATE asked").ReadAll()
		for _, row := range results[len(results)-2].Rows {
			plan += string(row[0]) + "\n"
		}
		return err
	}))
	require.NotContains(r.t, plan, "Seq Scan on commerce_quarantine")
	return plan
}

// Words are refused by name, all at once.
func TestWords(t *testing.T) {
	t.Parallel()
	f, wrong := Words{Source: "outlet", Order: "1/2", Since: "2024-01-15", Until: "2024-01-15T10:00:00+02:00", State: "all"}.Filter()
	require.Empty(t, wrong)
	require.Equal(t, Filter{
		Source: "outlet", OrderKey: "outlet/1%2F2", Since: time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC), Until: time.Date(2024, 1, 15, 8, 0, 0, 0, time.UTC),
	}, f)
	for name, w := range map[string]Words{
		"state": {State: "opn"}, "door": {Door: "x"}, "source": {Source: "Outlet"}, "code": {Code: "x"}, "order": {Order: "a\nb"},
		"event_id": {EventID: "a\x00"}, "text": {Text: "\xff"}, "since": {Since: "today"}, "until": {Since: "2024-01-15", Until: "2024-01-15"},
	} {
		_, wrong := w.Filter()
		require.Len(t, wrong, 1, name)
		require.Equal(t, name, wrong[0].Parameter)
	}
	require.True(t, Words{State: "all"}.IsEmpty())
	require.False(t, Words{Door: "http"}.IsEmpty())
}

// The statement of one request does not wait for ever: an answer to a shop comes before.
func TestKeepDoesNotWaitForALock(t *testing.T) {
	t.Parallel()
	r := setup(t)
	k := NewKeeper(r.pool, slog.New(slog.DiscardHandler))
	r.keep(k, "default", "e1", "{}")
	holder, err := r.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `SELECT FROM commerce_quarantine FOR UPDATE`)
	require.NoError(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	k.Keep(gone, []accept.Incoming{{Body: []byte("{}")}}, []accept.Result{{Result: accept.Refused, Source: "default", EventID: "e1"}})
	require.Less(t, time.Since(began), 3*keepTimeout)
	require.NoError(t, holder.Rollback(t.Context()))
}
