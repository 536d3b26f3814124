package ingest

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/setting"
)

type (
	// QuarantineEntry is one event in the quarantine, with the reason.
	QuarantineEntry = quarantine.Entry
	// QuarantineFilter selects entries.
	QuarantineFilter = quarantine.Filter
	// QuarantineCode is the kind of reason.
	QuarantineCode = quarantine.Code
	// Sent is what became of an entry that was sent again.
	Sent = quarantine.Sent
)

// QuarantineCodes are the kinds of reasons.
var QuarantineCodes = quarantine.Codes

// Quarantine holds what was refused from the commerce outbox, for the operator's commands.
type Quarantine struct {
	pool     *pgxpool.Pool
	accepter *accept.Accepter
}

// NewQuarantine makes one. What is sent again is accepted under the settings.
func NewQuarantine(pool *pgxpool.Pool, settings setting.Reader, log *slog.Logger) *Quarantine {
	return &Quarantine{pool: pool, accepter: accept.New(pool, settings, log)}
}

// List gives entries without their payloads, oldest first.
func (q *Quarantine) List(ctx context.Context, f QuarantineFilter) ([]QuarantineEntry, error) {
	return quarantine.List(ctx, q.pool, f)
}

// Get gives one entry with its payload.
func (q *Quarantine) Get(ctx context.Context, id int64) (QuarantineEntry, error) {
	return quarantine.Get(ctx, q.pool, id)
}

// Send gives entries to accept once more; what is accepted leaves the quarantine.
func (q *Quarantine) Send(ctx context.Context, ids []int64) ([]Sent, error) {
	return quarantine.Send(ctx, q.pool, q.accepter, ids)
}

// SendCorrected gives accept another event in place of the entry's, which stays as it was unless that one is accepted.
func (q *Quarantine) SendCorrected(ctx context.Context, id int64, event json.RawMessage) (Sent, error) {
	return quarantine.SendCorrected(ctx, q.pool, q.accepter, id, event)
}
