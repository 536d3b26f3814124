package orders

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Note keeps what the ERP says of an order on its timeline, though it settles nothing. known is false when the order has
// no sync. Its version is that of the generation's request, the lowest there is, so that it changes no field of the row.
func (o *Orders) Note(ctx context.Context, a Ask, said string) (known bool, err error) {
	if !o.settings.Current().Enabled {
		return false, ErrDisabled
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err = postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		c := change{tx: tx, ask: a, now: domain.Time(o.now())}
		if _, err := c.read(ctx); err != nil {
			return err
		}
		g := c.answer.Gate
		if known = g.State != domain.GateNone; !known {
			return nil
		}
		s := g.RequestedSync(c.orderID, Cause("webhook", "", domain.KeepableText(said)))
		s.Released = nil
		r, err := event.NewNote(event.Sync{Sync: s, Response: &event.Response{Body: a.Body}}, a.Body, event.Context{Traceparent: a.Traceparent, At: c.now})
		if err != nil {
			return err
		}
		return outbox.Publish(ctx, tx, []event.Record{r})
	})
	if err != nil {
		return false, fmt.Errorf("noting a callback of order %s: %w", a.Ref.Key(), err)
	}
	outbox.Wake(ctx, o.pool)
	return known, nil
}
