package syncs

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

const (
	// MaxValued is how many orders of a group Values looks at, the last changed first.
	MaxValued = 1000
	// MaxValuedInAll is how many it looks at, shared out evenly among the groups.
	MaxValuedInAll = 2000
)

// Value is what the orders of a group are worth.
type Value struct {
	Amounts []Amount // by currency
	Orders  int64    // that were looked at; the group may have more
}

// Amount is a sum of orders' grand totals, in decimals. Currency is empty for orders that name none.
type Amount struct {
	Currency   string
	GrandTotal string
}

// Values returns what the orders of the groups are worth, by group, as far as they are of the filter's shop and statuses. The amounts are
// those of the orders as they are known now. An order without a total counts as 0.
func Values(ctx context.Context, q postgres.Querier, f Filter, groups []Group) (map[int64]Value, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	out := map[int64]Value{}
	if len(groups) == 0 {
		return out, nil
	}
	sql, args := valuesQuery(f, groups)
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("adding up the orders of errors: %w", err)
	}
	var group, orders int64
	var amount Amount
	_, err = pgx.ForEachRow(rows, []any{&group, &amount.Currency, &amount.GrandTotal, &orders}, func() error {
		v := out[group]
		v.Amounts, v.Orders = append(v.Amounts, amount), v.Orders+orders
		out[group] = v
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("adding up the orders of errors: %w", err)
	}
	return out, nil
}

// valuesQuery finds the orders by one look into an index for each. What a shop sent as an amount has been checked; what somebody wrote
// into the table otherwise counts as 0.
func valuesQuery(f Filter, groups []Group) (sql string, args []any) {
	var b builder
	ids := b.arg(idsOf(groups))
	limit := b.arg(min(MaxValued, MaxValuedInAll/len(groups)))
	return `SELECT of_group, currency, sum(total)::text, count(*) FROM (
		SELECT of_group, coalesce(o.currency, '') AS currency,
			CASE WHEN o.total ~ '^-?[0-9]{1,40}([.][0-9]{1,40})?([eE][-+]?[0-9]{1,2})?$' THEN o.total::numeric ELSE 0 END AS total
		FROM unnest(` + ids + `::bigint[]) AS of_group
		CROSS JOIN LATERAL (SELECT x.sync_id FROM vendor_erp_sync_error x WHERE x.group_id = of_group ORDER BY x.updated_at DESC, x.sync_id DESC LIMIT ` + limit + `) x
		CROSS JOIN LATERAL (SELECT * FROM vendor_erp_sync v WHERE v.sync_id = x.sync_id LIMIT 1) c
		LEFT JOIN LATERAL (
			SELECT o.snapshot ->> 'currency' AS currency, o.snapshot -> 'totals' ->> 'grand_total' AS total
			FROM sales_order o WHERE o.source = c.source AND o.increment_id = c.order_increment_id LIMIT 1
		) o ON true
		WHERE ` + strings.Join(counted(&b, f), " AND ") + `
	) orders GROUP BY of_group, currency ORDER BY of_group, currency`, b.args
}

func idsOf(groups []Group) (ids []int64) {
	for _, g := range groups {
		ids = append(ids, g.ID)
	}
	return ids
}
