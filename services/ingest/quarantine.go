package ingest

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/setting"
)

type (
	// QuarantineEntry is one event in the quarantine, with the reason.
	QuarantineEntry = quarantine.Entry
	// QuarantinePage is a stretch of the quarantine.
	QuarantinePage = quarantine.Page
	// QuarantineFilter selects entries.
	QuarantineFilter = quarantine.Filter
	// QuarantineCode is the kind of reason.
	QuarantineCode = quarantine.Code
	// QuarantineWords are a filter as people write it.
	QuarantineWords = quarantine.Words
	// Sent is what became of an entry that was sent again.
	Sent = quarantine.Sent
)

// QuarantineHTTP is the door of events that were refused over HTTP.
const QuarantineHTTP = quarantine.HTTP

var (
	// QuarantineCodes are the kinds of reasons.
	QuarantineCodes = quarantine.Codes
	// QuarantineDoors are the ways by which events come.
	QuarantineDoors = quarantine.Doors
	// QuarantineSelectingWords are the names of the words that select entries.
	QuarantineSelectingWords = quarantine.SelectingWords
)

// CheckQuarantineReason finds what is wrong with the reason of a discard.
func CheckQuarantineReason(reason string) []problem.FieldError { return checkReason(reason) }

// Quarantine holds events that were refused, for the commands of operators.
type Quarantine struct {
	pool     *pgxpool.Pool
	accepter *accept.Accepter
}

// NewQuarantine makes one. Events that are sent again are accepted under these settings.
func NewQuarantine(pool *pgxpool.Pool, settings setting.Reader, log *slog.Logger) *Quarantine {
	return &Quarantine{pool: pool, accepter: accept.New(pool, settings, log)}
}

// List reads a page of entries without their payloads, oldest first. It may be short, and have a next one all the same.
func (q *Quarantine) List(ctx context.Context, f QuarantineFilter) (QuarantinePage, error) {
	return quarantine.List(ctx, q.pool, f)
}

// Get reads one entry with its payload.
func (q *Quarantine) Get(ctx context.Context, id int64) (QuarantineEntry, error) {
	return quarantine.Get(ctx, q.pool, id, "", 0)
}

// Send gives entries to accept once more. Those that are accepted leave the quarantine.
func (q *Quarantine) Send(ctx context.Context, ids []int64) ([]Sent, error) {
	return quarantine.Sender{Pool: q.pool, Accepter: q.accepter}.Send(ctx, ids)
}

// TrySend says what would become of entries that are sent, and changes nothing.
func (q *Quarantine) TrySend(ctx context.Context, ids []int64) ([]Sent, error) {
	return quarantine.Sender{Pool: q.pool, Accepter: q.accepter, DryRun: true}.Send(ctx, ids)
}

// SendCorrected gives accept another event in place of the entry's. The entry leaves only when that one is accepted.
func (q *Quarantine) SendCorrected(ctx context.Context, id int64, event json.RawMessage) (Sent, error) {
	return quarantine.Sender{Pool: q.pool, Accepter: q.accepter}.SendCorrected(ctx, id, event)
}

// Discard decides that entries are not needed, and returns the ids of those that it has discarded.
func (q *Quarantine) Discard(ctx context.Context, ids []int64, by, why string) ([]int64, error) {
	return quarantine.Discard(ctx, q.pool, ids, "", by, why)
}
