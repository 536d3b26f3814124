package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/problem"
)

const (
	maxRequestBytes = 1 << 20
	waitDefault     = 10 * time.Second // how long an answer waits for the end of what it started
	waitMost        = 60 * time.Second
)

// orderRequest is the module's body, and ours beside it.
type orderRequest struct {
	OrderIncrementID string           `json:"orderIncrementId"`
	Source           string           `json:"source"`
	NewKey           bool             `json:"newKey"`       // resync: under a new idempotency key
	Reason           string           `json:"reason"`       // by hand, and of newKey: required
	ErpReference     domain.Reference `json:"erpReference"` // settle: the ERP's reference, when there is one
}

// result is the module's answer to sync-order and resync-order.
type result struct {
	Success          bool          `json:"success"`
	SyncID           int64         `json:"sync_id"`
	OrderIncrementID string        `json:"order_increment_id"`
	Status           domain.Status `json:"status"`
	Message          string        `json:"message"`
	ErpReference     *string       `json:"erp_reference"`
	Attempts         int           `json:"attempts"`
	LastError        *string       `json:"last_error"`
	NextAttemptAt    *string       `json:"next_attempt_at,omitempty"`
	Generation       int           `json:"generation"`
	Detail           string        `json:"detail,omitempty"`
}

// asked is a request that may be asked, by its path.
type asked struct {
	request    domain.Request
	done       string // the module's message of success
	failed     string
	needReason bool
}

var (
	askSync    = asked{request: domain.RequestSync, done: "Order synced successfully", failed: "Order sync failed"}
	askResync  = asked{request: domain.RequestResync, done: "Order resynced successfully", failed: "Order resync failed"}
	askSendNow = asked{request: domain.RequestSendNow, done: "Order synced successfully", failed: "Order sync failed", needReason: true}
	askCancel  = asked{request: domain.RequestCancel, done: "Order cancelled", failed: "Order cancelled", needReason: true}
	askSettle  = asked{request: domain.RequestSettle, done: "Order settled", failed: "Order not settled", needReason: true}
)

// ask answers one of the requests.
func (h *handler) ask(what asked) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ref, ok := h.readOrder(w, r, what)
		if !ok {
			return
		}
		a := orders.Ask{
			Ref: ref, Request: what.request, Who: asker(r), Reason: body.Reason, NewKey: body.NewKey,
			Traceparent: r.Header.Get(event.HeaderTraceparent),
		}
		a.Reference = body.ErpReference.Text()
		answer, err := h.orders.Do(r.Context(), a)
		if err != nil {
			h.failed(w, ref, err)
			return
		}
		h.log.Info("order request", "request", what.request, "order_increment_id", ref.IncrementID, "source", ref.Source,
			"standing", answer.Standing, "action", answer.Action, "generation", answer.Gate.Generation)
		h.answer(w, r, what, answer)
	}
}

// asker is who asks, for the log and the history. There is one token; once tokens have names, it is the token's.
func asker(*http.Request) string { return "api" }

func (h *handler) readOrder(w http.ResponseWriter, r *http.Request, what asked) (body orderRequest, ref domain.OrderRef, ok bool) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil {
		problem.Write(w, problem.Problem{
			Status: http.StatusBadRequest, Code: "not_json", Detail: `send {"orderIncrementId": "000000123"}: ` + inWords(err),
		})
		return body, ref, false
	}
	ref = domain.OrderRef{Source: body.Source, IncrementID: body.OrderIncrementID}
	if ref.Source == "" {
		ref.Source = domain.DefaultSource
	}
	var errs []map[string]string
	add := func(pointer, detail string) {
		errs = append(errs, map[string]string{"pointer": pointer, "detail": detail})
	}
	if body.OrderIncrementID == "" {
		add("/orderIncrementId", "is required: the order's increment id, like 000000123")
	} else if err := domain.ValidateIncrementID(ref.IncrementID); err != nil {
		add("/orderIncrementId", err.Error())
	}
	if err := domain.ValidateSource(ref.Source); err != nil {
		add("/source", err.Error())
	}
	switch {
	case (what.needReason || body.NewKey) && body.Reason == "":
		add("/reason", "is required: it stands in the order's log; name no customer in it")
	case len(body.Reason) > orders.MaxReasonBytes:
		add("/reason", fmt.Sprintf("has %d bytes; at most %d are taken", len(body.Reason), orders.MaxReasonBytes))
	}
	if body.NewKey && what.request != domain.RequestResync {
		add("/newKey", "goes with resync-order only")
	}
	if body.ErpReference != "" && what.request != domain.RequestSettle {
		add("/erpReference", "goes with settle-order only")
	} else if err := body.ErpReference.Validate(); err != nil {
		add("/erpReference", err.Error())
	}
	if len(errs) > 0 {
		problem.Write(w, problem.Problem{
			Status: http.StatusUnprocessableEntity, Code: "request_refused", Errors: errs, Detail: "nothing was done; correct what errors lists",
		})
		return body, ref, false
	}
	return body, ref, true
}

// inWords tells of a body that could not be read, without the names of our types.
func inWords(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("%s is a JSON %s, which it must not be", cmp.Or(wrong.Field, "the body"), wrong.Value)
	}
	return err.Error()
}

// disabled is what a request comes to that would send an order while the connector is off.
var disabled = problem.Problem{
	Status: http.StatusServiceUnavailable, Code: "connector_disabled", Message: "ERP Connector is not enabled",
	Detail: "the connector is off: switch it on in the settings and ask again; nothing was done",
}

// disabledRetryAfter is in seconds: an operator turns the connector on, which takes longer than a failing database.
const disabledRetryAfter = "60"

func writeDisabled(w http.ResponseWriter) {
	w.Header().Set("Retry-After", disabledRetryAfter)
	problem.Write(w, disabled)
}

// failed tells of a request that could not be taken.
func (h *handler) failed(w http.ResponseWriter, ref domain.OrderRef, err error) {
	if errors.Is(err, orders.ErrDisabled) {
		writeDisabled(w)
		return
	}
	h.log.Error("order request not taken", "order_increment_id", ref.IncrementID, "source", ref.Source, "error", err)
	w.Header().Set("Retry-After", "5")
	problem.Write(w, problem.Problem{
		Status: http.StatusServiceUnavailable, Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether this was taken: look at sync-status, then ask again",
	})
}

// refusal is why a request is not possible where the order stands, and what is.
func refusal(what asked, a orders.Answer) problem.Problem {
	id := a.Gate.Ref.IncrementID
	if a.Action == domain.RefuseNone {
		detail := fmt.Sprintf("order %s is not known: publish it first, with an order.placed or invoice.created event", id)
		if a.Standing == domain.Known {
			detail = fmt.Sprintf("order %s is known, but nothing was ever to be sent: sync-order sends it", id)
		}
		return problem.Problem{Status: http.StatusNotFound, Code: "order_not_found", Detail: detail}
	}
	detail := map[domain.Standing]string{
		domain.StandsQueued:   "is on its way to the ERP: wait for its end, or settle it",
		domain.StandsInFlight: "is being sent to the ERP: wait for its end, or settle it",
		domain.StandsSuccess:  "has reached the ERP already: resync-order sends it once more",
		domain.StandsFailed:   "has failed: resync-order sends it again",
	}[a.Standing]
	return problem.Problem{
		Status: http.StatusConflict, Code: "order_" + string(a.Standing),
		Detail: fmt.Sprintf("order %s %s; nothing was done (%s)", id, detail, what.request),
	}
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request, what asked, a orders.Answer) {
	if a.Action == domain.RefuseNone || a.Action == domain.RefuseState {
		problem.Write(w, refusal(what, a))
		return
	}
	wait := waitDefault
	if seconds, err := strconv.ParseFloat(r.URL.Query().Get("wait"), 64); err == nil && seconds >= 0 {
		wait = min(time.Duration(seconds*float64(time.Second)), waitMost)
	}
	row, err := h.waiting.await(r.Context(), a.Gate, wait)
	if err != nil {
		h.failed(w, a.Gate.Ref, err)
		return
	}
	status, res := resultOf(what, a, row)
	problem.JSON(w, status, res)
}

// resultOf is what the caller is told: 200 once the generation it asked for has ended, 202 before.
func resultOf(what asked, a orders.Answer, row generation) (int, result) {
	res := result{
		SyncID: a.Gate.SyncID, OrderIncrementID: a.Gate.Ref.IncrementID, Status: row.status, ErpReference: row.reference,
		Attempts: row.attempts, LastError: row.lastError, Generation: a.Gate.Generation, NextAttemptAt: moduleTime(row.next),
	}
	switch {
	case row.newer:
		res.Status, res.Message = domain.Failed, what.failed
		res.Detail = "somebody asked for a newer resync before this one had ended; sync-status shows where that one stands"
	case row.status == domain.Success:
		res.Success, res.Message = true, what.done
	case row.status == domain.Failed && what.request == domain.RequestCancel && a.Action == domain.ActSettle:
		res.Success, res.Message = true, what.done
	case row.status == domain.Failed:
		res.Message, res.Detail = what.failed, "resync-order sends it again"
	default:
		res.Message, res.Detail = "Order sync is under way", "sync-status shows where it stands"
		return http.StatusAccepted, res
	}
	return http.StatusOK, res
}
