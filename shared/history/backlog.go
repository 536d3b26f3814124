package history

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Stage is where an order waits.
type Stage string

// The stages, in the order of the flow.
const (
	Held     Stage = "held"      // for the cron, or until the connector is on
	Outbox   Stage = "outbox"    // accepted, and not yet read from the log: in the outbox, or right behind it
	Queued   Stage = "queued"    // for its first attempt
	InFlight Stage = "in_flight" // the ERP is being called
	Retry    Stage = "retry"     // an attempt has failed, and another follows
	Failed   Stage = "failed"    // until somebody sends it again
)

// Stages are all stages.
var Stages = []Stage{Held, Outbox, Queued, InFlight, Retry, Failed}

// Waiting is how many orders wait at a stage, and since when.
type Waiting struct {
	Stage   Stage
	Orders  int64
	AtLeast bool       // there may be more: not all were looked at
	Oldest  *time.Time // when the one that waits longest came to the stage; nil: none was found among those that were looked at
}

// maxLooked bounds how many orders are looked at: the newest of those that are open, for Outbox; and of each shop the oldest ones that are
// queued, to tell those that were tried from the others.
const (
	maxOpened = 1000
	maxQueued = 100
)

// Backlog returns what waits, by stage. Empty source: of all shops. Counts are those that the projector keeps. It looks at a bounded
// number of orders of each shop, along indexes.
func Backlog(ctx context.Context, q postgres.Querier, source string) ([]Waiting, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := q.Query(ctx, backlogQuery, source, maxOpened, maxQueued)
	if err != nil {
		return nil, fmt.Errorf("reading what waits: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Waiting])
	if err != nil {
		return nil, fmt.Errorf("reading what waits: %w", err)
	}
	out := make([]Waiting, len(Stages))
	for i, stage := range Stages {
		out[i].Stage = stage
		for _, w := range found {
			if w.Stage == stage {
				out[i] = w
			}
		}
	}
	return out, nil
}

// backlogQuery: what has an error and is queued was tried. An open gate without a row of its generation is not read from the log yet.
const backlogQuery = `
WITH places AS (
	SELECT source, CASE
			WHEN status = 'pending' THEN 'held' WHEN status = 'in_progress' THEN 'in_flight' WHEN status = 'failed' THEN 'failed'
			WHEN group_id = 0 THEN 'queued' ELSE 'retry' END AS stage, status, sum(n)::bigint AS n
	FROM vendor_erp_sync_count c WHERE status <> 'success' AND ($1 = '' OR source = $1) GROUP BY 1, 2, 3 HAVING sum(n) > 0
), waiting AS (
	SELECT stage, n, CASE
		WHEN status <> 'queued' THEN
			(SELECT v.updated_at FROM vendor_erp_sync v WHERE v.source = p.source AND v.status = p.status ORDER BY v.updated_at LIMIT 1)
		ELSE (SELECT min(v.updated_at) FILTER (WHERE (v.last_error IS NULL) = (p.stage = 'queued')) FROM (
			SELECT updated_at, last_error FROM vendor_erp_sync v WHERE v.source = p.source AND v.status = 'queued' ORDER BY v.updated_at LIMIT $3) v)
		END AS oldest
	FROM places p
), opened AS (
	SELECT g.source, g.sync_id, g.generation, g.updated_at FROM erp_sync_gate g
	WHERE g.state = 'open' AND g.state IN ('held', 'open') ORDER BY g.updated_at DESC LIMIT $2
), unread AS (
	SELECT source, updated_at FROM opened g
	WHERE (SELECT v.generation FROM vendor_erp_sync v WHERE v.sync_id = g.sync_id) IS DISTINCT FROM g.generation
)
SELECT stage, sum(n)::bigint, false, min(oldest) FROM waiting GROUP BY stage
UNION ALL SELECT 'outbox', count(*) FILTER (WHERE $1 = '' OR source = $1), count(*) = $2, min(updated_at) FILTER (WHERE $1 = '' OR source = $1) FROM unread`
