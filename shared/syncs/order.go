package syncs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// ErrNoOrder says that no shop's event has told of the order.
var ErrNoOrder = errors.New("no event has told of the order")

// KnownOrder is an order as it is known, in the form in which its shop published it: the next request is made of it. It holds personal
// data.
type KnownOrder struct {
	Order   json.RawMessage
	KnownAt *time.Time // the newest time known of the order, which a further event must reach to count; nil: none is known
}

// ReadOrder reads an order as it is known. It returns ErrNoOrder when nothing is.
func ReadOrder(ctx context.Context, q postgres.Querier, ref domain.OrderRef) (k KnownOrder, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var text string
	err = q.QueryRow(ctx, `SELECT snapshot::text, snapshot_at FROM sales_order WHERE order_key = $1`, ref.Key()).Scan(&text, &k.KnownAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return k, ErrNoOrder
	case err != nil:
		return k, fmt.Errorf("reading order %s: %w", ref.Key(), err)
	}
	k.Order = json.RawMessage(text)
	return k, nil
}
