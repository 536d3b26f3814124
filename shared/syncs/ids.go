package syncs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/postgres"
)

// OfIDs reads the syncs of these ids, by their ids; only those of one shop unless source is empty. Ids without a sync are left out.
func OfIDs(ctx context.Context, q postgres.Querier, ids []int64, source string) ([]Sync, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM vendor_erp_sync v`+withError+` WHERE v.sync_id = ANY($1) AND ($2 = '' OR v.source = $2) ORDER BY v.sync_id`, ids, source)
	if err != nil {
		return nil, fmt.Errorf("reading %d syncs: %w", len(ids), err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Sync])
	if err != nil {
		return nil, fmt.Errorf("reading %d syncs: %w", len(ids), err)
	}
	return found, nil
}
