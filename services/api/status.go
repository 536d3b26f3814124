package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// status is the module's answer to a status query, with its fields in its order.
type status struct {
	SyncID           int64         `json:"sync_id"`
	OrderID          *int64        `json:"order_id"`
	OrderIncrementID string        `json:"order_increment_id"`
	Status           domain.Status `json:"status"`
	Attempts         int           `json:"attempts"`
	MaxAttempts      int           `json:"max_attempts"`
	LastAttemptAt    *string       `json:"last_attempt_at"`
	NextAttemptAt    *string       `json:"next_attempt_at"`
	ErpReference     *string       `json:"erp_reference"`
	LastError        *string       `json:"last_error"`
	CreatedAt        string        `json:"created_at"`
	UpdatedAt        string        `json:"updated_at"`
	Source           string        `json:"source"`              // our own fields, after those of the module
	WaitsFor         string        `json:"waits_for,omitempty"` // what keeps an order that could be sent now
}

// syncStatus answers where an order stands. It reads one row and takes no lock, so it may be asked as often as support likes.
func (h *handler) syncStatus(w http.ResponseWriter, r *http.Request) {
	ref, ok := orderOf(w, r)
	if !ok {
		return
	}
	s, err := h.read(r.Context(), ref)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		notSynced(w, ref)
	case err != nil:
		httpapi.Failed(w, r, h.log, "status not read", err, notRead(ref), "order_increment_id", ref.IncrementID, "source", ref.Source)
	default:
		problem.JSON(w, http.StatusOK, s)
	}
}

// notSynced answers as the module does about an order without a sync: with 404 and a status, not with a problem. It does not tell an
// order that nobody has published from one without an invoice.
func notSynced(w http.ResponseWriter, ref domain.OrderRef) {
	answer := map[string]string{
		"order_increment_id": ref.IncrementID, "source": ref.Source, "status": string(domain.NotSynced), "message": "No sync record found for this order",
	}
	if err := domain.ValidateIncrementID(ref.IncrementID); err != nil {
		answer["detail"] = err.Error()
	}
	problem.JSON(w, http.StatusNotFound, answer)
}

// unknownOrder adds to the detail what is wrong with the number, like a character that nobody sees. It does so only for unknown
// orders: some known ones have such numbers, from before they were refused.
func unknownOrder(detail string, ref domain.OrderRef) string {
	if err := domain.ValidateIncrementID(ref.IncrementID); err != nil {
		return detail + "; " + err.Error()
	}
	return detail
}

// read reads the status from the projection's row, or from the gate while the gate is newer. Right after an event was accepted there
// is no row yet.
func (h *handler) read(ctx context.Context, ref domain.OrderRef) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var s status
	var g domain.Gate
	var row domain.Stamp
	var last, next *time.Time
	var created, updated time.Time
	err := h.pool.QueryRow(ctx, `
		SELECT g.sync_id, g.state, coalesce(g.closed_by, ''), coalesce(g.callback, ''), g.version, g.max_attempts, coalesce(v.order_id, o.order_id),
			coalesce(v.version, -1), coalesce(v.version_at, 'epoch'), coalesce(v.status, ''), coalesce(v.attempts, 0),
			v.last_attempt_at, v.next_attempt_at, v.erp_reference, v.last_error,
			coalesce(v.created_at, g.requested_at), coalesce(v.updated_at, g.updated_at), g.updated_at
		FROM erp_sync_gate g
		LEFT JOIN vendor_erp_sync v ON v.sync_id = g.sync_id
		LEFT JOIN sales_order o ON o.order_key = g.order_key
		WHERE g.order_key = $1 AND g.sync_id IS NOT NULL`, ref.Key()).
		Scan(&s.SyncID, &g.State, &g.ClosedBy, &g.Callback, &g.Version, &s.MaxAttempts, &s.OrderID,
			&row.Version, &row.Time, &s.Status, &s.Attempts,
			&last, &next, &s.ErpReference, &s.LastError, &created, &updated, &g.UpdatedAt)
	if err != nil {
		return s, err
	}
	s.OrderIncrementID, s.Source = ref.IncrementID, ref.Source
	// A resync, a settlement or a cancellation is shown at once, not when the projection has read it from Kafka.
	if g.Newer(row) {
		s.Status, s.LastError, next, updated = g.Status(), lastErrorOf(g, ref), nil, g.UpdatedAt
		if reference := g.CallbackReference(); reference != nil {
			s.ErpReference = reference
		}
		if g.Version.Class() == domain.ClassRequest { // a request starts a new generation
			s.Attempts, last = 0, nil
		}
	}
	s.WaitsFor = h.waits(ctx, s, next == nil || !next.After(time.Now()))
	s.LastAttemptAt, s.NextAttemptAt = moduleTime(last), moduleTime(next)
	s.CreatedAt, s.UpdatedAt = created.UTC().Format(domain.ModuleTime), updated.UTC().Format(domain.ModuleTime)
	return s, nil
}

// lastErrorOf is the error that the gate alone knows, until the projection has it.
func lastErrorOf(g domain.Gate, ref domain.OrderRef) *string {
	if g.ClosedBy != domain.ClosedByDeadLetter {
		return nil
	}
	return new(domain.DeadLetterText(ref))
}

// moduleTime is a time in the format of the module.
func moduleTime(t *time.Time) *string {
	if t == nil {
		return nil
	}
	s := t.UTC().Format(domain.ModuleTime)
	return &s
}

// notRead is the answer to a query about an order that the database did not answer.
func notRead(ref domain.OrderRef) problem.Problem {
	return problem.Problem{
		Code: "database_unavailable", Detail: "the database does not answer; ask again",
		OrderIncrementID: ref.IncrementID, Source: ref.Source,
	}
}
