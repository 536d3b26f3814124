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

// Quarantine holds events of the commerce outbox that were refused, for the commands of operators.
type Quarantine struct {
	pool     *pgxpool.Pool
	accepter *accept.Accepter
}

// NewQuarantine makes one. Events that are sent again are accepted under these settings.
func NewQuarantine(pool *pgxpool.Pool, settings setting.Reader, log *slog.Logger) *Quarantine {
	return &Quarantine{pool: pool, accepter: accept.New(pool, settings, log)}
}

// List reads entries without their payloads, oldest first.
func (q *Quarantine) List(ctx context.Context, f QuarantineFilter) ([]QuarantineEntry, error) {
	return quarantine.List(ctx, q.pool, f)
}

// Get reads one entry with its payload.
func (q *Quarantine) Get(ctx context.Context, id int64) (QuarantineEntry, error) {
	return quarantine.Get(ctx, q.pool, id)
}

// Send gives entries to accept once more. Those that are accepted leave the quarantine.
func (q *Quarantine) Send(ctx context.Context, ids []int64) ([]Sent, error) {
	return quarantine.Send(ctx, q.pool, q.accepter, ids)
}

// SendCorrected gives accept another event in place of the entry's. The entry leaves only when that one is accepted.
func (q *Quarantine) SendCorrected(ctx context.Context, id int64, event json.RawMessage) (Sent, error) {
	return quarantine.SendCorrected(ctx, q.pool, q.accepter, id, event)
}
