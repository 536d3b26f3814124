package outbox

import (
	"context"
	"fmt"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Server identifies a Postgres server and its history. A standby that was promoted has a timeline of its own, and so
// has a server that was recovered to an earlier time. A new cluster (initdb, pg_upgrade) has another system identifier.
type Server struct {
	System   string // the system identifier, which is too large for a JSON number
	Timeline int
}

func (s Server) String() string { return fmt.Sprintf("system %s, timeline %d", s.System, s.Timeline) }

// ServerOf reads which server answers. It fails on a standby.
func ServerOf(ctx context.Context, on postgres.Querier) (s Server, err error) {
	if err := on.QueryRow(ctx, `SELECT system, timeline FROM erp_server()`).Scan(&s.System, &s.Timeline); err != nil {
		return s, fmt.Errorf("asking Postgres which server it is: %w", err)
	}
	return s, nil
}

// Trace is what the table has for an id that was relayed.
type Trace struct {
	UUID    string // of the message; empty when there is no such row
	Dropped bool   // there is no row, as retention has dropped all up to there: it drops partitions of the table from the first on
}

const traceQuery = `
SELECT coalesce((SELECT uuid FROM erp_outbox WHERE id = $1), ''),
    NOT EXISTS (SELECT FROM erp_outbox WHERE id <= $1)
    AND NOT EXISTS (SELECT FROM erp_outbox_partitions() WHERE from_id <= 1)`

// TraceOf looks for the row with the id.
func TraceOf(ctx context.Context, on postgres.Querier, id int64) (t Trace, err error) {
	if err := on.QueryRow(ctx, traceQuery, id).Scan(&t.UUID, &t.Dropped); err != nil {
		return t, fmt.Errorf("looking for outbox row %d: %w", id, err)
	}
	return t, nil
}

// Ids are epoch << 40 | number, see migrations/0006. Ids between two epochs were never allotted. So the query counts
// the rest of the epoch of the id, and the ids from the first row of the newest epoch on.
const lagQuery = `
WITH last AS (` + lastIDQuery + `)
SELECT CASE WHEN last.id >> 40 = $1::bigint >> 40 THEN last.id - $1
    ELSE coalesce((SELECT max(id) FROM erp_outbox WHERE id > $1 AND id < (($1::bigint >> 40) + 1) << 40) - $1, 0)
        + coalesce(last.id + 1 - (SELECT min(id) FROM erp_outbox WHERE id >= last.id >> 40 << 40), 0)
    END
FROM last`

// Lag returns how many ids were allotted after the given one.
func Lag(ctx context.Context, on postgres.Querier, after int64) (ids int64, err error) {
	if err := on.QueryRow(ctx, lagQuery, after).Scan(&ids); err != nil {
		return 0, fmt.Errorf("counting outbox ids after %d: %w", after, err)
	}
	return ids, nil
}
