package ingest

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
)

// decider decides about entries of the quarantine as the routes do.
type decider struct {
	pool     *pgxpool.Pool
	accepter *accept.Accepter
}

func (d *decider) List(ctx context.Context, f quarantine.Filter) (quarantine.Page, error) {
	return quarantine.List(ctx, d.pool, f)
}

func (d *decider) Get(ctx context.Context, id int64) (quarantine.Entry, error) {
	return quarantine.Get(ctx, d.pool, id, "", 1<<30)
}

func (d *decider) Send(ctx context.Context, ids []int64) ([]quarantine.Sent, error) {
	return quarantine.Sender{Pool: d.pool, Accepter: d.accepter}.Send(ctx, ids)
}

func (d *decider) SendCorrected(ctx context.Context, id int64, event json.RawMessage) (quarantine.Sent, error) {
	return quarantine.Sender{Pool: d.pool, Accepter: d.accepter}.SendCorrected(ctx, id, event)
}
