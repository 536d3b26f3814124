package orders

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/gate"
)

// Foreseen is what a command would do to an order, as the order stands now.
type Foreseen struct {
	State  domain.OrderState
	Action domain.Action
}

// Foresee says what a request would do to each order, in their order. It locks nothing, so it may be wrong a moment later: Do decides.
func (o *Orders) Foresee(ctx context.Context, request domain.Request, refs []domain.OrderRef) ([]Foreseen, error) {
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	keys := make([]string, len(refs))
	for i, ref := range refs {
		keys[i] = ref.Key()
	}
	gates, err := gate.NewStore(o.pool).Read(ctx, keys)
	if err != nil {
		return nil, err
	}
	seen, err := o.projected(ctx, gates)
	if err != nil {
		return nil, err
	}
	now := domain.NormalizeTime(o.now())
	out := make([]Foreseen, len(refs))
	for i, key := range keys {
		out[i].State = domain.StateUnknown
		if g := gates[key]; g != nil {
			out[i].State = domain.StateOf(true, new(g.CaughtUp(seen[g.SyncID])), seen[g.SyncID], now)
		}
		out[i].Action = domain.ActionFor(request, out[i].State)
	}
	return out, nil
}

// projected reads what the projection shows of the orders of gates, by their sync ids.
func (o *Orders) projected(ctx context.Context, gates map[string]*domain.Gate) (map[int64]domain.Projected, error) {
	ids := make([]int64, 0, len(gates))
	for _, g := range gates {
		ids = append(ids, g.SyncID)
	}
	rows, err := o.pool.Query(ctx, `SELECT sync_id, status, generation, attempts, next_attempt_at, version, version_at FROM vendor_erp_sync WHERE sync_id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("reading %d orders: %w", len(ids), err)
	}
	out := make(map[int64]domain.Projected, len(ids))
	var id int64
	var p domain.Projected
	_, err = pgx.ForEachRow(rows, []any{&id, &p.Status, &p.Generation, &p.Attempts, &p.NextAttemptAt, &p.Stamp.Version, &p.Stamp.Time}, func() error {
		out[id] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d orders: %w", len(ids), err)
	}
	return out, nil
}
