package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
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

// syncStatus answers where an order stands. It reads by key and takes no lock, so it may be asked as often as support likes.
func (h *handler) syncStatus(w http.ResponseWriter, r *http.Request) {
	ref, ok := orderOf(w, r)
	if !ok {
		return
	}
	s, err := h.statuses.read(r.Context(), ref)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		h.notSynced(w, r, ref)
	case err != nil:
		httpapi.Failed(w, r, h.log, "status not read", err, notRead(ref), "order_increment_id", ref.IncrementID, "source", ref.Source)
	default:
		problem.JSON(w, http.StatusOK, s)
	}
}

// absent is the module's answer about an order without a sync, and why it has none.
type absent struct {
	Message          string        `json:"message"`
	OrderIncrementID string        `json:"order_increment_id"`
	Source           string        `json:"source"`
	Status           domain.Status `json:"status"`
	Reason           absence       `json:"reason"`
	OtherSources     []string      `json:"other_sources,omitempty"` // shops that have an order of this number
	Refused          *refusedEvent `json:"refused,omitempty"`       // the newest event of the order that waits in the quarantine
	Detail           string        `json:"detail"`
}

// refusedEvent is an event of an order that was refused, and waits in the quarantine.
type refusedEvent struct {
	ID    int64  `json:"quarantine_id"`
	Code  string `json:"code"`  // the kind of reason
	Since string `json:"since"` // when it was refused for the first time, or published
	Error string `json:"error"` // the first thing that is wrong with it
}

// absence is why an order has no sync.
type absence string

const (
	notPublished  absence = "not_published"   // nobody has published the order
	isRefused     absence = "refused"         // an event of it was refused, and waits in the quarantine
	notInvoiced   absence = "not_invoiced"    // it is known, and no invoice came
	waitsForOrder absence = "waits_for_order" // an invoice came before its order, and waits in the quarantine
)

// notSynced answers as the module does about an order without a sync: with 404 and a status, not with a problem.
func (h *handler) notSynced(w http.ResponseWriter, r *http.Request, ref domain.OrderRef) {
	answer, err := h.whyAbsent(r.Context(), ref)
	if err != nil {
		httpapi.Failed(w, r, h.log, "status not read", err, notRead(ref), "order_increment_id", ref.IncrementID, "source", ref.Source)
		return
	}
	problem.JSON(w, http.StatusNotFound, answer)
}

// maxOtherSources bounds how many shops are named that have an order of the same number.
const maxOtherSources = 10

// whyAbsent finds out why an order has no sync. The shops are found by one look into an index for each. IS TRUE keeps Postgres from walking
// along the index that counts open entries of the quarantine, through all of them.
func (h *handler) whyAbsent(ctx context.Context, ref domain.OrderRef) (absent, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answer := absent{
		Message: "No sync record found for this order", OrderIncrementID: ref.IncrementID, Source: ref.Source, Status: domain.NotSynced, Reason: notPublished,
	}
	var known, waits bool
	err := h.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM sales_order WHERE order_key = $1),
			EXISTS (SELECT FROM commerce_quarantine WHERE order_key = $1 AND (state = 'open') IS TRUE), ARRAY(
			WITH RECURSIVE shops AS (
				(SELECT source FROM sales_order ORDER BY source LIMIT 1)
				UNION ALL
				SELECT (SELECT o.source FROM sales_order o WHERE o.source > shops.source ORDER BY o.source LIMIT 1) FROM shops WHERE shops.source IS NOT NULL
			)
			SELECT shops.source FROM shops WHERE shops.source <> $2 AND ($4 = '' OR shops.source = $4)
				AND EXISTS (SELECT FROM sales_order o WHERE o.source = shops.source AND o.increment_id = $3) LIMIT $5)`,
		ref.Key(), ref.Source, ref.IncrementID, httpapi.BoundSource(ctx), maxOtherSources).Scan(&known, &waits, &answer.OtherSources)
	if err == nil {
		answer.Refused, err = h.refusedOf(ctx, ref)
	}
	if err != nil {
		return answer, err
	}
	switch {
	case answer.Refused != nil:
		answer.Reason, answer.Detail = isRefused, fmt.Sprintf("an event of the order was refused: %s. GET %s/quarantine/%d shows it; correct it there, and send it again",
			answer.Refused.Error, httpapi.BasePath, answer.Refused.ID)
	case known:
		answer.Reason, answer.Detail = notInvoiced, "the order is known, and no invoice of it came: an invoice.created event or sync-order sends it"
	case waits:
		answer.Reason, answer.Detail = waitsForOrder, "an invoice of the order came, and waits in the quarantine until the order is published"
	case len(answer.OtherSources) > 0:
		answer.Detail = fmt.Sprintf("the shop %s has published no order of this number, unlike %s: name it with ?source=", ref.Source, strings.Join(answer.OtherSources, ", "))
	default:
		answer.Detail = unknownOrder("nobody has published the order, or its event was refused and had no number that can be read: look at the quarantine", ref)
	}
	return answer, nil
}

// refusedOf finds the newest event of an order that was refused; nil: there is none. An invoice that waits for its order is none: nobody
// has to do anything about it.
func (h *handler) refusedOf(ctx context.Context, ref domain.OrderRef) (*refusedEvent, error) {
	var r refusedEvent
	var since time.Time
	var wrong []problem.FieldError
	err := h.pool.QueryRow(ctx, `SELECT id, code, published_at, problems FROM commerce_quarantine
		WHERE about_order = $1 AND (state = 'open') IS TRUE AND order_key IS NULL ORDER BY id DESC LIMIT 1`, ref.Key()).Scan(&r.ID, &r.Code, &since, &wrong)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	r.Since = *moduleTime(&since)
	if len(wrong) > 0 {
		r.Error = domain.Printable(wrong[0].Error())
	}
	return &r, nil
}

// unknownOrder adds to the detail what is wrong with the number, like a character that nobody sees. It does so only for unknown
// orders: some known ones have such numbers, from before they were refused.
func unknownOrder(detail string, ref domain.OrderRef) string {
	if err := domain.ValidateIncrementID(ref.IncrementID); err != nil {
		return detail + "; " + err.Error()
	}
	return detail
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
