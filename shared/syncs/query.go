package syncs

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// maxCandidates is how many rows a search looks at where its conditions are not all in the index that it walks along.
const maxCandidates = 2000

// builder makes a statement whose values are arguments.
type builder struct {
	args []any
}

func (b *builder) arg(value any) string {
	b.args = append(b.args, value)
	return fmt.Sprintf("$%d", len(b.args))
}

// query makes the statement of a search, its arguments, and at how many candidates it stops. Its rows are those of Sync, then whether
// the row matches, then the number of candidates. A row that does not match is the last candidate.
//
// The walks, the first that the filter allows:
//
//   - one order, key, reference, number or customer: few rows, each looked at;
//   - errors: along vendor_erp_sync_error, group by group;
//   - in the order of changes: along the changes of each status of each shop;
//   - in the order of creation: along the creations.
func (f Filter) query() (sql string, args []any, budget int) {
	var b builder
	order := "ASC"
	if f.Sort.down() {
		order = "DESC"
	}
	walk, where := f.walk(&b)
	budget = f.Limit + 1
	if len(where) > 0 {
		budget = max(budget, cmp.Or(f.candidates, maxCandidates))
	}
	by := fmt.Sprintf("%s %s, sync_id %s", f.Sort.column(), order, order)
	limit := b.arg(budget)
	walk = strings.ReplaceAll(walk, "{limit}", limit)
	matches := "true"
	if len(where) > 0 {
		matches = strings.Join(where, " AND ")
	}
	looked := `vendor_erp_sync v WHERE v.sync_id = c.sync_id LIMIT 1) v`
	if f.ofGroups != nil {
		looked += ` LEFT JOIN vendor_erp_sync_error e ON e.sync_id = v.sync_id`
	}
	// The errors of rows that do not match are read only where they decide.
	shown, joined := columns, withError
	if f.WithoutErrors {
		shown, joined = rowColumns+`, NULL::bigint, NULL::int, NULL::text`, ""
	}
	sql = `WITH candidates AS MATERIALIZED (SELECT * FROM (` + walk + `) w ORDER BY ` + by + ` LIMIT ` + limit + `),
	looked AS MATERIALIZED (SELECT ` + rowColumns + `, ` + matches + ` AS matches FROM candidates c CROSS JOIN LATERAL (SELECT * FROM ` + looked + `),
	page AS (SELECT * FROM looked WHERE matches ORDER BY ` + by + ` LIMIT ` + b.arg(f.Limit+1) + `),
	last AS (SELECT * FROM looked WHERE NOT matches ORDER BY ` + reversed(by) + ` LIMIT 1)
	SELECT ` + shown + `, matches, (SELECT count(*) FROM candidates)::int
	FROM (SELECT * FROM page UNION ALL SELECT * FROM last) v` + joined + ` ORDER BY ` + by
	return sql, b.args, budget
}

func reversed(by string) string {
	return strings.NewReplacer("ASC", "DESC", "DESC", "ASC").Replace(by)
}

// walk is a statement that returns sync_id and the column of the order, along one index, from the cursor on. {limit} stands for how many
// rows are enough. where is what it leaves to check of a row.
func (f Filter) walk(b *builder) (walk string, where []string) {
	column := f.Sort.column()
	sources := `(` + shopsQuery + `)`
	after := func(of string) string { return f.bounds(b, of) }
	few := f.few(b, sources)
	switch {
	case few != "":
		return `SELECT v.sync_id, v.` + column + ` FROM ` + few + after("v."), f.conditions(b, true)
	case f.ofGroups != nil && column == "updated_at":
		return `SELECT w.sync_id, w.updated_at FROM unnest(` + b.arg(f.ofGroups) + `::bigint[]) AS of_group CROSS JOIN LATERAL (
			SELECT x.sync_id, x.updated_at FROM vendor_erp_sync_error x WHERE x.group_id = of_group` + after("x.") +
			f.ordered("x.updated_at", "x.sync_id") + ` LIMIT {limit}) w`, f.conditions(b, true)
	case column == "updated_at":
		in := sources
		if f.Source != "" {
			in = `(SELECT ` + b.arg(f.Source) + `::text AS source)`
		}
		statuses := f.Statuses
		if len(statuses) == 0 {
			statuses = domain.Statuses
		}
		return `SELECT w.sync_id, w.updated_at FROM ` + in + ` AS shop CROSS JOIN unnest(` + b.arg(statuses) + `::text[]) AS is_in (status) CROSS JOIN LATERAL (
			SELECT x.sync_id, x.updated_at FROM vendor_erp_sync x WHERE x.source = shop.source AND x.status = is_in.status` + after("x.") +
			f.ordered("x.updated_at", "x.sync_id") + ` LIMIT {limit}) w`, f.conditions(b, false)
	default:
		return `SELECT x.sync_id, x.created_at FROM vendor_erp_sync x WHERE true` + after("x.") + f.ordered("x.created_at", "x.sync_id") + ` LIMIT {limit}`,
			f.conditions(b, true)
	}
}

// shopsQuery finds the shops that have syncs, by one look into an index for each.
const shopsQuery = `WITH RECURSIVE found AS (
	(SELECT source FROM vendor_erp_sync ORDER BY source LIMIT 1)
	UNION ALL
	SELECT (SELECT v.source FROM vendor_erp_sync v WHERE v.source > found.source ORDER BY v.source LIMIT 1) FROM found WHERE found.source IS NOT NULL
) SELECT source FROM found WHERE source IS NOT NULL`

// few names the rows of one order, key, reference, number or customer; empty: the filter has none of these.
func (f Filter) few(b *builder, sources string) string {
	switch {
	case f.Order != "" && f.Source != "":
		return `vendor_erp_sync v WHERE v.source = ` + b.arg(f.Source) + ` AND v.order_increment_id = ` + b.arg(f.Order)
	case f.Order != "":
		return sources + ` AS shop CROSS JOIN LATERAL (SELECT * FROM vendor_erp_sync v WHERE v.source = shop.source AND v.order_increment_id = ` + b.arg(f.Order) + ` LIMIT 1) v WHERE true`
	case f.Key != "":
		return `vendor_erp_sync v WHERE v.idempotency_key = ` + b.arg(f.Key)
	case f.ErpReference != "":
		return `vendor_erp_sync v WHERE v.erp_reference = ` + b.arg(f.ErpReference)
	case f.OrderID != 0:
		return `vendor_erp_sync v WHERE v.order_id = ` + b.arg(f.OrderID)
	case f.Email != "":
		return `(SELECT source, increment_id FROM sales_order o WHERE lower(o.snapshot ->> 'customer_email') = lower(` + b.arg(f.Email) + `)
			AND o.snapshot ->> 'customer_email' IS NOT NULL) o
			CROSS JOIN LATERAL (SELECT * FROM vendor_erp_sync v WHERE v.source = o.source AND v.order_increment_id = o.increment_id LIMIT 1) v WHERE true`
	}
	return ""
}

// bounds are the conditions on the column of the order: its range, and the cursor.
func (f Filter) bounds(b *builder, of string) string {
	since, until := f.UpdatedSince, f.UpdatedUntil
	if f.Sort.column() == "created_at" {
		since, until = f.CreatedSince, f.CreatedUntil
	}
	out := ""
	if !since.IsZero() {
		out += ` AND ` + of + f.Sort.column() + ` >= ` + b.arg(since)
	}
	if !until.IsZero() {
		out += ` AND ` + of + f.Sort.column() + ` < ` + b.arg(until)
	}
	if f.After != (Cursor{}) {
		than := ">"
		if f.Sort.down() {
			than = "<"
		}
		out += fmt.Sprintf(` AND (%s%s, %ssync_id) %s (%s::timestamptz, %s::bigint)`, of, f.Sort.column(), of, than, b.arg(f.After.time()), b.arg(f.After.syncID))
	}
	return out
}

func (f Filter) ordered(column, id string) string {
	order := "ASC"
	if f.Sort.down() {
		order = "DESC"
	}
	return fmt.Sprintf(` ORDER BY %s %s, %s %s`, column, order, id, order)
}

// conditions are what the walk leaves to check; all: shop and status too. The walk checks the column of the order.
func (f Filter) conditions(b *builder, all bool) (where []string) {
	if all && f.Source != "" {
		where = append(where, "v.source = "+b.arg(f.Source))
	}
	if all && len(f.Statuses) > 0 {
		where = append(where, "v.status = ANY("+b.arg(f.Statuses)+"::text[])")
	}
	if f.ofGroups != nil {
		where = append(where, "coalesce(e.group_id = ANY("+b.arg(f.ofGroups)+"::bigint[]), false)")
	}
	few := []struct {
		asked  bool
		column string
		value  any
	}{
		{f.Order != "", "v.order_increment_id", f.Order},
		{f.Key != "", "v.idempotency_key", f.Key},
		{f.ErpReference != "", "v.erp_reference", f.ErpReference},
		{f.OrderID != 0, "v.order_id", f.OrderID},
	}
	for _, c := range few {
		if c.asked {
			where = append(where, "coalesce("+c.column+" = "+b.arg(c.value)+", false)")
		}
	}
	if f.Email != "" {
		where = append(where, `EXISTS (SELECT FROM sales_order o WHERE o.source = v.source AND o.increment_id = v.order_increment_id
			AND lower(o.snapshot ->> 'customer_email') = lower(`+b.arg(f.Email)+`))`)
	}
	if f.AttemptsFrom > 0 {
		where = append(where, "v.attempts >= "+b.arg(f.AttemptsFrom))
	}
	if f.AttemptsTo > 0 {
		where = append(where, "v.attempts <= "+b.arg(f.AttemptsTo))
	}
	return append(where, f.otherTimes(b)...)
}

// otherTimes are the conditions on the time that the list is not ordered by.
func (f Filter) otherTimes(b *builder) (where []string) {
	column, since, until := "v.created_at", f.CreatedSince, f.CreatedUntil
	if f.Sort.column() == "created_at" {
		column, since, until = "v.updated_at", f.UpdatedSince, f.UpdatedUntil
	}
	if !since.IsZero() {
		where = append(where, column+" >= "+b.arg(since))
	}
	if !until.IsZero() {
		where = append(where, column+" < "+b.arg(until))
	}
	return where
}
