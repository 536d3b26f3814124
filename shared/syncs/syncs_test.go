package syncs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var day = time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC)

// item is a sync with its customer and its error, as a test makes it.
type item struct {
	Sync

	email    string
	group    *domain.ErrorGroup
	currency string
	cents    int64
}

var kinds = []domain.ErrorGroup{
	{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no such sku #"},
	{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no such customer"},
	{HTTPStatus: 503, Code: domain.ErrorUnavailable, Text: "maintenance"},
	{Code: domain.ErrorTimeout, Text: "no answer within # s"},
}

// drawItems draws syncs whose values are often the same.
func drawItems(t *rapid.T) []item {
	n := rapid.IntRange(0, 40).Draw(t, "syncs")
	items := make([]item, n)
	for i := range items {
		shop := rapid.SampledFrom([]string{"default", "default", "outlet", "zoo"}).Draw(t, "shop")
		it := item{
			email:    rapid.SampledFrom([]string{"", "Jane@example.test", "joe@example.test"}).Draw(t, "email"),
			currency: rapid.SampledFrom([]string{"", "EUR", "USD"}).Draw(t, "currency"), cents: rapid.Int64Range(-500, 99_999_999).Draw(t, "cents"),
		}
		id := int64(100 + i)
		it.Sync = Sync{
			SyncID: id, Source: shop, OrderIncrementID: fmt.Sprint("0000", i/3, shop, i%3), Status: rapid.SampledFrom(domain.Statuses).Draw(t, "status"),
			Attempts: rapid.IntRange(0, 3).Draw(t, "attempts"), MaxAttempts: 5, IdempotencyKey: fmt.Sprint("ERP_", i/2), Generation: 1,
			CreatedAt: day.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "created")) * time.Hour),
			UpdatedAt: day.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "updated")) * time.Hour),
		}
		if rapid.Bool().Draw(t, "order id") {
			it.OrderID = new(int64(i / 4))
		}
		if it.Status == domain.Success {
			it.ErpReference = new(fmt.Sprint("ERP-", i/2))
		} else if rapid.Bool().Draw(t, "error") {
			g := rapid.SampledFrom(kinds).Draw(t, "kind")
			it.group, it.LastError, it.ErrorGroup, it.ErrorCode = &g, new(g.Text), new(g.ID()), new(string(g.Code))
			if g.HTTPStatus != 0 {
				it.HTTPStatus = new(g.HTTPStatus)
			}
		}
		items[i] = it
	}
	return items
}

// put writes the items as ingest and the projector do.
func put(t require.TestingT, pool *pgxpool.Pool, items []item) {
	_, err := pool.Exec(context.Background(), `TRUNCATE vendor_erp_sync, vendor_erp_sync_error, vendor_erp_sync_error_group, vendor_erp_sync_count, sales_order`)
	require.NoError(t, err)
	add(t, pool, items...)
}

func add(t require.TestingT, pool *pgxpool.Pool, items ...item) {
	exec := func(sql string, args ...any) {
		_, err := pool.Exec(context.Background(), sql, args...)
		require.NoError(t, err)
	}
	for _, it := range items {
		exec(`INSERT INTO vendor_erp_sync (sync_id, order_id, source, order_increment_id, status, attempts, max_attempts, last_error, erp_reference, idempotency_key,
				payload, response, created_at, updated_at, generation, attempt_version, attempt_version_at, version, version_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '{"sent": 1}', '{"answered": 1}', $11, $12, $13, 0, $11, 0, $11)`,
			it.SyncID, it.OrderID, it.Source, it.OrderIncrementID, it.Status, it.Attempts, it.MaxAttempts, it.LastError, it.ErpReference, it.IdempotencyKey,
			it.CreatedAt, it.UpdatedAt, it.Generation)
		snapshot := fmt.Sprintf(`{"totals": {"grand_total": "%s"}}`, decimal(it.cents))
		if it.currency != "" {
			snapshot = fmt.Sprintf(`{"currency": %q, "totals": {"grand_total": %s}}`, it.currency, decimal(it.cents))
		}
		if it.email != "" {
			snapshot = fmt.Sprintf(`{"customer_email": %q, %s`, it.email, snapshot[1:])
		}
		ref := domain.OrderRef{Source: it.Source, IncrementID: it.OrderIncrementID}
		exec(`INSERT INTO sales_order (order_key, source, increment_id, snapshot, created_at, updated_at) VALUES ($1, $2, $3, $4::json, now(), now())`,
			ref.Key(), it.Source, it.OrderIncrementID, snapshot)
		group := int64(0)
		if it.group != nil {
			group = it.group.ID()
			exec(`INSERT INTO vendor_erp_sync_error_group VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT DO NOTHING`, group, it.group.HTTPStatus, it.group.Code, it.group.Text, day)
			exec(`INSERT INTO vendor_erp_sync_error VALUES ($1, $2, $3)`, it.SyncID, group, it.UpdatedAt)
		}
		exec(`INSERT INTO vendor_erp_sync_count AS c VALUES ($1, $2, $3, 1) ON CONFLICT (source, status, group_id) DO UPDATE SET n = c.n + 1`, it.Source, it.Status, group)
	}
}

func decimal(cents int64) string { return big.NewRat(cents, 100).FloatString(2) }

func drawFilter(t *rapid.T) Filter {
	f := Filter{Limit: rapid.IntRange(1, 10).Draw(t, "limit"), Sort: rapid.SampledFrom(append(Sorts, "")).Draw(t, "sort"), candidates: rapid.IntRange(1, 20).Draw(t, "candidates")}
	at := func(name string) time.Time {
		return day.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, name)) * time.Hour)
	}
	all := filters(t, &f, at)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if rapid.IntRange(0, 4).Draw(t, name) == 0 {
			all[name]()
		}
	}
	return f
}

func filters(t *rapid.T, f *Filter, at func(string) time.Time) map[string]func() {
	return map[string]func(){
		"of_source":    func() { f.Source = rapid.SampledFrom([]string{"default", "outlet", "nobody"}).Draw(t, "source") },
		"of_status":    func() { f.Statuses = []domain.Status{domain.Failed, domain.Queued} },
		"of_success":   func() { f.Statuses = []domain.Status{domain.Success} },
		"of_order":     func() { f.Order = "00000default0" },
		"of_number":    func() { f.OrderID = 1 },
		"of_email":     func() { f.Email = "JANE@example.test" },
		"of_reference": func() { f.ErpReference = "ERP-1" },
		"of_key":       func() { f.Key = "ERP_1" },
		"of_code":      func() { f.ErrorCode = domain.ErrorRejected },
		"of_text":      func() { f.Error = "No Such SKU A7" },
		"of_http":      func() { f.HTTPStatus = 422 },
		"of_group":     func() { f.ErrorGroup = kinds[1].ID() },
		"attempts":     func() { f.AttemptsFrom = 2 },
		"few_attempts": func() { f.AttemptsTo = 2 },
		"since":        func() { f.CreatedSince = at("created since") },
		"until":        func() { f.CreatedUntil = at("created until") },
		"from":         func() { f.UpdatedSince = at("updated since") },
		"to":           func() { f.UpdatedUntil = at("updated until") },
	}
}

// matches is the filter's meaning, written down once more.
func matches(f Filter, it item) bool {
	within := func(at, since, until time.Time) bool {
		return !at.Before(since) && (until.IsZero() || at.Before(until))
	}
	is := func(asked string, has *string) bool { return asked == "" || (has != nil && *has == asked) }
	if f.groups() {
		g := it.group
		if g == nil || (f.ErrorCode != "" && g.Code != f.ErrorCode) || (f.HTTPStatus != 0 && g.HTTPStatus != f.HTTPStatus) ||
			(f.ErrorGroup != 0 && g.ID() != f.ErrorGroup) || !strings.Contains(strings.ToLower(g.Text), strings.ToLower(domain.GroupText(f.Error))) {
			return false
		}
	}
	return (f.Source == "" || it.Source == f.Source) && (len(f.Statuses) == 0 || slices.Contains(f.Statuses, it.Status)) &&
		is(f.Order, &it.OrderIncrementID) && is(f.Key, &it.IdempotencyKey) && is(f.ErpReference, it.ErpReference) &&
		(f.OrderID == 0 || (it.OrderID != nil && *it.OrderID == f.OrderID)) && (f.Email == "" || strings.EqualFold(f.Email, it.email)) &&
		it.Attempts >= f.AttemptsFrom && (f.AttemptsTo == 0 || it.Attempts <= f.AttemptsTo) &&
		within(it.CreatedAt, f.CreatedSince, f.CreatedUntil) && within(it.UpdatedAt, f.UpdatedSince, f.UpdatedUntil)
}

// Whatever is asked of whatever syncs, in pages of any size: all that match come, each once, in the order that was asked for.
func TestAListIsWhatItsFilterSays(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		items := drawItems(t)
		put(t, pool, items)
		for range 10 {
			f := drawFilter(t)
			var want []Sync
			for _, it := range items {
				if matches(f, it) {
					want = append(want, it.Sync)
				}
			}
			slices.SortFunc(want, func(a, b Sync) int {
				x, y := f.Sort.cursorOf(a), f.Sort.cursorOf(b)
				order := cmp.Or(cmp.Compare(x.micros, y.micros), cmp.Compare(x.syncID, y.syncID))
				if f.Sort.down() {
					return -order
				}
				return order
			})
			require.Equal(t, want, listed(t, pool, f, len(want)/f.Limit+len(items)/max(f.Limit+1, f.candidates)+1), "%+v", f)
		}
	})
}

// listed goes through all pages. Each but the last is full, or has looked at as many rows as it may.
func listed(t require.TestingT, pool *pgxpool.Pool, f Filter, maxPages int) (all []Sync) {
	for range maxPages {
		p, err := List(context.Background(), pool, f)
		require.NoError(t, err)
		require.LessOrEqual(t, len(p.Syncs), f.Limit)
		for _, s := range p.Syncs {
			s.CreatedAt, s.UpdatedAt = s.CreatedAt.UTC(), s.UpdatedAt.UTC()
			all = append(all, s)
		}
		if p.Next == nil {
			return all
		}
		require.NotEqual(t, f.After, *p.Next, "it goes on")
		after, err := ParseCursor(p.Next.String(), f.Sort)
		require.NoError(t, err)
		f.After = after
	}
	require.Fail(t, "too many pages")
	return nil
}

func TestCountsAndGroups(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		items := drawItems(t)
		put(t, pool, items)
		f := Filter{Limit: 100}
		if rapid.Bool().Draw(t, "of a shop") {
			f.Source = "default"
		}
		if rapid.Bool().Draw(t, "of statuses") {
			f.Statuses = []domain.Status{domain.Failed, domain.Queued}
		}
		counts, groups := map[string]Count{}, map[int64]int64{}
		cents, trend := map[string]int64{}, map[string]int64{}
		for _, it := range items {
			if !matches(f, it) {
				continue
			}
			key := it.Source + " " + string(it.Status)
			c := counts[key]
			c.Source, c.Status = it.Source, it.Status
			c.Syncs++
			if it.group != nil {
				c.Errors++
				groups[it.group.ID()]++
				cents[fmt.Sprint(it.group.ID(), it.currency)] += it.cents
				trend[fmt.Sprint(it.group.ID(), it.UpdatedAt.Hour())]++
			}
			counts[key] = c
		}
		got, ready, err := Counts(context.Background(), pool, f)
		require.NoError(t, err)
		require.False(t, ready, "no projector has counted")
		require.Len(t, got, len(counts))
		for _, c := range got {
			require.Equal(t, counts[c.Source+" "+string(c.Status)], c)
		}
		kindsNow, err := Groups(context.Background(), pool, f)
		require.NoError(t, err)
		require.Len(t, kindsNow, len(groups))
		require.True(t, slices.IsSortedFunc(kindsNow, func(a, b Group) int { return cmp.Compare(b.Syncs, a.Syncs) }))
		for _, g := range kindsNow {
			require.Equal(t, groups[g.ID], g.Syncs)
		}
		values, err := Values(context.Background(), pool, f, kindsNow)
		require.NoError(t, err)
		spans := Spans(day.Add(4*time.Hour+time.Minute), time.Hour, 3)
		trends, err := Trends(context.Background(), pool, f, kindsNow, spans)
		require.NoError(t, err)
		for _, g := range kindsNow {
			require.Equal(t, g.Syncs, values[g.ID].Orders)
			for _, a := range values[g.ID].Amounts {
				require.Equal(t, decimal(cents[fmt.Sprint(g.ID, a.Currency)]), a.GrandTotal)
				delete(cents, fmt.Sprint(g.ID, a.Currency))
			}
			require.Len(t, trends[g.ID], 3)
			for i, p := range trends[g.ID] {
				require.Equal(t, day.Add(time.Duration(2+i)*time.Hour), p.Since)
				require.Equal(t, trend[fmt.Sprint(g.ID, 2+i)], p.Syncs)
				require.False(t, p.AtLeast)
			}
		}
		require.Empty(t, cents, "each currency is there")
		_, err = pool.Exec(context.Background(), `UPDATE vendor_erp_sync_counted SET offsets = 0`)
		require.NoError(t, err)
		for name, ask := range map[string]Filter{"all": {}, "as asked": f, "of an error": {Source: f.Source, HTTPStatus: 422}} {
			total, exact, err := Total(context.Background(), pool, ask)
			require.NoError(t, err)
			require.True(t, exact)
			n := 0
			for _, it := range items {
				if matches(ask, it) {
					n++
				}
			}
			require.EqualValues(t, n, total, name)
		}
		_, exact, err := Total(context.Background(), pool, Filter{AttemptsFrom: 1})
		require.NoError(t, err)
		require.False(t, exact, "counts do not know attempts")
		_, err = pool.Exec(context.Background(), `UPDATE vendor_erp_sync_counted SET offsets = -1`)
		require.NoError(t, err)
		f.HTTPStatus = 422
		rejected, err := Groups(context.Background(), pool, f)
		require.NoError(t, err)
		for _, g := range rejected {
			require.Equal(t, 422, g.HTTPStatus)
		}
	})
}

func TestOneSync(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	put(t, pool, []item{{Sync: Sync{SyncID: 7, Source: "default", OrderIncrementID: "1", Status: domain.Success, MaxAttempts: 5, Generation: 1, CreatedAt: day, UpdatedAt: day}}})
	s, err := Get(t.Context(), pool, 7)
	require.NoError(t, err)
	c, err := ReadContents(t.Context(), pool, 7)
	require.NoError(t, err)
	require.Equal(t, "1", s.OrderIncrementID)
	require.Equal(t, Contents{new(`{"sent": 1}`), new(`{"answered": 1}`)}, c)
	_, err = Get(t.Context(), pool, 8)
	require.ErrorIs(t, err, ErrUnknown)
	_, err = ReadContents(t.Context(), pool, 8)
	require.ErrorIs(t, err, ErrUnknown)
}

func TestCursorsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "u", "u.1", "u.1.x", "u.x.1", "x.1.1", "u.-1.1", "u.999999999999999999.1", "u.1.1.1"} {
		_, err := ParseCursor(text, ByUpdate)
		require.ErrorContains(t, err, "is no cursor", text)
	}
	_, err := ParseCursor("c.1.1", ByUpdate)
	require.ErrorContains(t, err, "is of another order")
}

// What a shop's totals should not be, but somebody has written, is no reason to answer nothing.
func TestAnAmountThatIsNoneCountsAsNothing(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	g := kinds[0]
	for i, snapshot := range []string{`{"currency": "EUR", "totals": {"grand_total": "many"}}`, `{"currency": "EUR"}`, `{"currency": "EUR", "totals": {"grand_total": 1.5e1}}`, `{"totals": 7}`} {
		it := item{Sync: Sync{SyncID: int64(i + 1), Source: "default", OrderIncrementID: fmt.Sprint(i), Status: domain.Failed, CreatedAt: day, UpdatedAt: day, LastError: &g.Text}, group: &g}
		add(t, pool, it)
		_, err := pool.Exec(t.Context(), `UPDATE sales_order SET snapshot = $2::json WHERE increment_id = $1`, it.OrderIncrementID, snapshot)
		require.NoError(t, err)
	}
	values, err := Values(t.Context(), pool, Filter{}, []Group{{ID: g.ID()}})
	require.NoError(t, err)
	require.Equal(t, Value{Amounts: []Amount{{"", "0"}, {"EUR", "15"}}, Orders: 4}, values[g.ID()])
}

// A kind that no sync has is forgotten long after it was seen, with its counts; others stay.
func TestUnusedKindsAreForgotten(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	failed := func(id int64, g domain.ErrorGroup) item {
		return item{Sync: Sync{SyncID: id, Source: "default", OrderIncrementID: fmt.Sprint(id), Status: domain.Failed, CreatedAt: day, UpdatedAt: day, LastError: &g.Text}, group: &g}
	}
	put(t, pool, []item{failed(1, kinds[0]), failed(2, kinds[1]), failed(3, kinds[2])})
	_, err := pool.Exec(t.Context(), `DELETE FROM vendor_erp_sync_error WHERE sync_id > 1; UPDATE vendor_erp_sync_count SET n = 0 WHERE group_id <> 0`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `UPDATE vendor_erp_sync_error_group SET last_seen = '2024-02-01' WHERE group_id = $1`, kinds[2].ID())
	require.NoError(t, err)
	deleted, err := CleanGroups(t.Context(), pool, day.AddDate(0, 0, 1), 10)
	require.NoError(t, err)
	require.Equal(t, 1, deleted)
	var left, counts []int64
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT array_agg(group_id), (SELECT array_agg(group_id) FROM vendor_erp_sync_count) FROM vendor_erp_sync_error_group`).Scan(&left, &counts))
	require.ElementsMatch(t, []int64{kinds[0].ID(), kinds[2].ID()}, left)
	require.ElementsMatch(t, left, counts)
	deleted, err = CleanGroups(t.Context(), pool, day.AddDate(0, 0, 1), 10)
	require.NoError(t, err)
	require.Zero(t, deleted)
}

func TestSyncsByTheirIDs(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), fill, 30)
	require.NoError(t, err)
	ids := func(source string, ids ...int64) (out []int64) {
		found, err := OfIDs(t.Context(), pool, ids, source)
		require.NoError(t, err)
		for _, s := range found {
			out = append(out, s.SyncID)
		}
		return out
	}
	require.Equal(t, []int64{3, 10, 20}, ids("", 20, 3, 99, 10, 3))
	require.Equal(t, []int64{10, 20}, ids("outlet", 20, 3, 99, 10))
}
