package bulk

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// A preview looks at this many orders at most, and no longer than this. What is beyond is counted where counts are kept, and else said to
// be "at least" what was seen.
const (
	maxLooked   = 10_000
	maxLookTime = 3 * time.Second
	lookedPage  = 500
	sampleSize  = 10
)

// Preview says what a plan would do now.
type Preview struct {
	Orders   int64 // that it selects
	AtLeast  bool  // there are more, and nobody has counted how many
	Unknown  int   // of the sync ids: there are no such orders
	LookedAt int   // so many orders Value and Refusals are about
	Value    []Value
	Refusals []Refusal
	Sample   []syncs.Sync
	Estimate

	Token     string
	ExpiresAt time.Time
}

// Value is what orders of one currency are worth.
type Value struct {
	Currency string // empty: the orders name none
	Total    string // the sum of their grand totals
	Orders   int    // those without a grand total not among them
}

// Refusal is how many orders the command would refuse.
type Refusal struct {
	State  domain.OrderState // which is why
	Orders int
}

// Preview looks at what a plan is about, and keeps it for Start. It changes no order. The plan must have passed Check.
func (s *Store) Preview(ctx context.Context, p Plan, by string) (out Preview, err error) {
	l := look{store: s, plan: p, values: map[string]*sum{}, refused: map[domain.OrderState]int{}}
	whole, err := l.all(ctx)
	if err != nil {
		return out, err
	}
	out = l.preview()
	if !whole {
		if out.Orders, out.AtLeast, err = s.count(ctx, *p.Filter, out.Orders); err != nil {
			return out, err
		}
	}
	if out.Estimate, err = s.estimate(ctx, p.Command, out.Orders-l.refusedOrders()); err != nil {
		return out, err
	}
	out.Token, out.ExpiresAt, err = s.keep(ctx, p, by)
	return out, err
}

// look goes through the orders of a plan.
type look struct {
	store   *Store
	plan    Plan
	looked  int
	unknown int
	sample  []syncs.Sync
	values  map[string]*sum // by currency
	refused map[domain.OrderState]int
}

// all looks at the orders; whole is false when some are left.
func (l *look) all(ctx context.Context) (whole bool, err error) {
	if l.plan.Filter == nil {
		return true, l.named(ctx)
	}
	began, f := time.Now(), selection(*l.plan.Filter, lookedPage)
	for {
		page, err := syncs.List(ctx, l.store.pool, f)
		if err != nil {
			return false, err
		}
		if err := l.page(ctx, page.Syncs); err != nil {
			return false, err
		}
		if page.Next == nil {
			return true, nil
		}
		if l.looked >= l.store.maxLooked || time.Since(began) > l.store.lookTime {
			return false, nil
		}
		f.After = *page.Next
	}
}

// selection is a filter as jobs and previews walk along it. A row that changes meanwhile comes later again, and none is passed over.
func selection(f syncs.Filter, page int) syncs.Filter {
	f.Sort, f.Limit = syncs.ByUpdate, page
	return f
}

// named looks at the orders that are named one by one.
func (l *look) named(ctx context.Context) error {
	ids := slices.Compact(slices.Sorted(slices.Values(l.plan.SyncIDs)))
	l.unknown = len(ids)
	for page := range slices.Chunk(ids, lookedPage) {
		found, err := syncs.OfIDs(ctx, l.store.pool, page, l.plan.Source)
		if err != nil {
			return err
		}
		l.unknown -= len(found)
		if err := l.page(ctx, found); err != nil {
			return err
		}
	}
	return nil
}

// page looks at some orders.
func (l *look) page(ctx context.Context, page []syncs.Sync) error {
	if len(page) == 0 {
		return nil
	}
	l.looked += len(page)
	l.sample = append(l.sample, page[:min(len(page), max(0, sampleSize-len(l.sample)))]...)
	refs, keys := make([]domain.OrderRef, len(page)), make([]string, len(page))
	for i, s := range page {
		refs[i] = domain.OrderRef{Source: s.Source, IncrementID: s.OrderIncrementID}
		keys[i] = refs[i].Key()
	}
	foreseen, err := l.store.orders.Foresee(ctx, l.plan.request(), refs)
	if err != nil {
		return err
	}
	for _, f := range foreseen {
		if f.Action.Refuses() {
			l.refused[f.State]++
		}
	}
	return l.value(ctx, keys)
}

// valueQuery adds up grand totals. What is no number is left out.
const valueQuery = `
SELECT currency, count(*)::int, sum(total::numeric)::text FROM (
	SELECT coalesce(o.snapshot ->> 'currency', '') AS currency, o.snapshot -> 'totals' ->> 'grand_total' AS total
	FROM unnest($1::text[]) AS k (order_key) CROSS JOIN LATERAL (SELECT * FROM sales_order o WHERE o.order_key = k.order_key LIMIT 1) o
) o WHERE CASE WHEN total ~ '^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$' THEN true END GROUP BY currency`

// value adds what some orders are worth.
func (l *look) value(ctx context.Context, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := l.store.pool.Query(ctx, valueQuery, keys)
	if err != nil {
		return fmt.Errorf("adding up %d orders: %w", len(keys), err)
	}
	var currency, total string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&currency, &n, &total}, func() error {
		if l.values[currency] == nil {
			l.values[currency] = &sum{}
		}
		l.values[currency].add(total, n)
		return nil
	})
	if err != nil {
		return fmt.Errorf("adding up %d orders: %w", len(keys), err)
	}
	return nil
}

// sum adds up decimal numbers without rounding.
type sum struct {
	total  big.Rat
	digits int // after the point
	orders int
}

func (s *sum) add(total string, n int) {
	if r, ok := new(big.Rat).SetString(total); ok {
		s.total.Add(&s.total, r)
	}
	_, fraction, _ := strings.Cut(total, ".")
	s.digits, s.orders = max(s.digits, len(fraction)), s.orders+n
}

func (l *look) refusedOrders() (n int64) {
	for _, orders := range l.refused {
		n += int64(orders)
	}
	return n
}

// preview is what was seen.
func (l *look) preview() Preview {
	out := Preview{Orders: int64(l.looked), Unknown: l.unknown, LookedAt: l.looked, Sample: l.sample}
	for _, currency := range slices.Sorted(maps.Keys(l.values)) {
		v := l.values[currency]
		out.Value = append(out.Value, Value{currency, v.total.FloatString(v.digits), v.orders})
	}
	for _, state := range domain.OrderStates {
		if n := l.refused[state]; n > 0 {
			out.Refusals = append(out.Refusals, Refusal{state, n})
		}
	}
	return out
}

// count is how many orders match a filter of which so many were seen. The projector keeps counts by shop, status and kind of error; of
// other filters, and while these counts are not ready, it is only known that there are at least as many as were seen.
func (s *Store) count(ctx context.Context, f syncs.Filter, seen int64) (n int64, atLeast bool, err error) {
	byGroup := syncs.Filter{
		Source: f.Source, Statuses: f.Statuses, ErrorCode: f.ErrorCode, Error: f.Error, HTTPStatus: f.HTTPStatus, ErrorGroup: f.ErrorGroup,
	}
	if !reflect.DeepEqual(f, byGroup) {
		return seen, true, nil
	}
	counts, ready, err := syncs.Counts(ctx, s.pool, f)
	if err != nil || !ready {
		return seen, true, err
	}
	if reflect.DeepEqual(f, syncs.Filter{Source: f.Source, Statuses: f.Statuses}) {
		for _, c := range counts {
			n += c.Syncs
		}
		return max(n, seen), false, nil
	}
	byGroup.Limit = math.MaxInt32
	groups, err := syncs.Groups(ctx, s.pool, byGroup)
	for _, g := range groups {
		n += g.Syncs
	}
	return max(n, seen), false, err
}
