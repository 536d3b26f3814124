package syncs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

const (
	// MaxTrend is how many syncs of a group Trends counts in a span of time.
	MaxTrend = 1000
	// MaxTrendInAll is how many syncs it looks at for an answer, shared out evenly among the spans of the groups.
	MaxTrendInAll = 24_000
)

// Point is how many syncs of a group changed last within a span of time.
type Point struct {
	Since, Until time.Time // Until is not in it
	Syncs        int64
	AtLeast      bool // there may be more
}

// Spans are so many spans of that length: the last one is the one that now is in. They begin at full hours or days of UTC.
func Spans(now time.Time, length time.Duration, n int) []Point {
	last := now.UTC().Truncate(length)
	spans := make([]Point, n)
	for i := range spans {
		spans[i].Since = last.Add(-length * time.Duration(n-1-i))
		spans[i].Until = spans[i].Since.Add(length)
	}
	return spans
}

// Trends returns, by group, how many of its syncs have changed last within each span, as far as they are of the filter's shop and statuses.
func Trends(ctx context.Context, q postgres.Querier, f Filter, groups []Group, spans []Point) (map[int64][]Point, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	out := map[int64][]Point{}
	if len(groups) == 0 {
		return out, nil
	}
	for _, g := range groups {
		out[g.ID] = append([]Point(nil), spans...)
	}
	sql, args, most := trendsQuery(f, groups, spans)
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("counting the errors of a time: %w", err)
	}
	var group, span, matched, looked int64
	_, err = pgx.ForEachRow(rows, []any{&group, &span, &matched, &looked}, func() error {
		p := &out[group][span-1]
		p.Syncs, p.AtLeast = matched, looked == most
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting the errors of a time: %w", err)
	}
	return out, nil
}

// trendsQuery looks at so many syncs of each span of each group. The syncs themselves are read only where shop or status is asked for.
func trendsQuery(f Filter, groups []Group, spans []Point) (sql string, args []any, most int64) {
	var b builder
	var since, until []time.Time
	for _, s := range spans {
		since, until = append(since, s.Since), append(until, s.Until)
	}
	most = int64(max(1, min(MaxTrend, MaxTrendInAll/(len(groups)*len(spans)))))
	ids, sinces, untils, limit := b.arg(idsOf(groups)), b.arg(since), b.arg(until), b.arg(most)
	matches := "true"
	if f.Source != "" || len(f.Statuses) > 0 {
		matches = `(SELECT ` + strings.Join(counted(&b, f), " AND ") + ` FROM vendor_erp_sync c WHERE c.sync_id = x.sync_id)`
	}
	return `SELECT of_group, span.n, (counted).matched, (counted).looked FROM unnest(` + ids + `::bigint[]) AS of_group
		CROSS JOIN unnest(` + sinces + `::timestamptz[], ` + untils + `::timestamptz[]) WITH ORDINALITY AS span (since, until, n)
		CROSS JOIN LATERAL (
			SELECT count(*) FILTER (WHERE matches) AS matched, count(*) AS looked FROM (
				SELECT ` + matches + ` AS matches FROM vendor_erp_sync_error x
				WHERE x.group_id = of_group AND x.updated_at >= span.since AND x.updated_at < span.until
				ORDER BY x.updated_at DESC, x.sync_id DESC LIMIT ` + limit + `) r
		) counted`, b.args, most
}
