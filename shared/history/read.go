package history

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

const queryTimeout = 5 * time.Second

// Range is how far back is looked, in how many points.
type Range struct {
	Name   string
	Step   time.Duration // of one point
	Points int
}

// Ranges are those that can be asked for. Each step is a span of rows that are kept as long as the range.
var Ranges = []Range{{"hour", minute, 60}, {"day", tenMinutes, 144}, {"week", hour, 168}}

// Since is when the first point begins. The last one runs still.
func (r Range) Since(now time.Time) time.Time {
	return now.UTC().Truncate(r.Step).Add(-time.Duration(r.Points-1) * r.Step)
}

// Point is what is counted of a step.
type Point struct {
	Since, Until time.Time // until now for the last one
	Counts
}

// Read returns the points of a range, the oldest first, and their sum. Empty source: of all shops. It reads some 400 rows a shop.
func Read(ctx context.Context, q postgres.Querier, r Range, source string, now time.Time) (points []Point, sum Counts, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	since := r.Since(now)
	rows, err := q.Query(ctx, readQuery, since, source)
	if err != nil {
		return nil, sum, fmt.Errorf("reading the history: %w", err)
	}
	points = make([]Point, r.Points)
	for i := range points {
		at := since.Add(time.Duration(i) * r.Step)
		points[i].Since, points[i].Until = at, at.Add(r.Step)
	}
	points[r.Points-1].Until = now.UTC()
	all, err := pgx.CollectRows(rows, scanStored)
	if err != nil {
		return nil, sum, fmt.Errorf("reading the history: %w", err)
	}
	for _, s := range all {
		if i := int(s.at.Sub(since) / r.Step); i < len(points) { // beyond: of a clock that is ahead
			points[i].add(s.Counts)
		}
	}
	for _, p := range points {
		sum.add(p.Counts)
	}
	return points, sum, nil
}

const readQuery = `SELECT ` + storedColumns + ` FROM ` + Table + ` h
	WHERE span IN (60, 600, 3600) AND at >= $1 AND ($2 = '' OR source = $2)`
