package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const (
	maxRequestBytes = 1 << 20
	waitDefault     = 10 * time.Second // how long an answer waits for the end of what it started
	maxWait         = 60 * time.Second
)

// orderRequest is the module's body, and ours beside it.
type orderRequest struct {
	OrderIncrementID string           `json:"orderIncrementId"`
	Source           *string          `json:"source"`
	NewKey           bool             `json:"newKey"`       // resync: under a new idempotency key
	Reason           string           `json:"reason"`       // by hand, and of newKey: required
	ErpReference     domain.Reference `json:"erpReference"` // settle: the ERP's reference, when there is one
}

// commands know all their members: one that is misspelt may have named another order.
var commands = door{
	shape: strictjson.ShapeOf[orderRequest]().Closed(), example: `{"orderIncrementId": "000000123"}`, refused: "request_refused",
}

// result is the module's answer to sync-order and resync-order.
type result struct {
	Success          bool          `json:"success"`
	SyncID           int64         `json:"sync_id"`
	OrderIncrementID string        `json:"order_increment_id"`
	Source           string        `json:"source"`
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
	request domain.Request
	done    string // the module's message of success
	failed  string
}

var (
	askSync    = asked{request: domain.RequestSync, done: "Order synced successfully", failed: "Order sync failed"}
	askResync  = asked{request: domain.RequestResync, done: "Order resynced successfully", failed: "Order resync failed"}
	askSendNow = asked{request: domain.RequestSendNow, done: "Order synced successfully", failed: "Order sync failed"}
	askCancel  = asked{request: domain.RequestCancel, done: "Order cancelled", failed: "Order cancelled"}
	askSettle  = asked{request: domain.RequestSettle, done: "Order settled", failed: "Order not settled"}
)

// ask answers one of the requests.
func (h *handler) ask(what asked) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		parameters := httpapi.ParametersOf(r)
		wait := parameters.Seconds("wait", waitDefault, maxWait)
		if len(parameters.Wrong) > 0 {
			httpapi.RefuseQuery(w, parameters.Wrong)
			return
		}
		a, ok := readCommand(w, r, what)
		if !ok {
			return
		}
		answer, err := h.orders.Do(r.Context(), a)
		if err != nil {
			h.failed(w, a.Ref, err)
			return
		}
		h.log.Info("order request", "request", a.Request, "order_increment_id", a.Ref.IncrementID, "source", a.Ref.Source,
			"standing", answer.State, "action", answer.Action, "generation", answer.Gate.Generation)
		h.answer(w, r, what, answer, wait)
	}
}

// asker is who asks, for the log and the history. There is one token; once tokens have names, it is the token's.
func asker(*http.Request) string { return "api" }

// readCommand reads what is asked; ok is false when the answer has been given.
func readCommand(w http.ResponseWriter, r *http.Request, what asked) (a orders.Command, ok bool) {
	raw, ok := readBody(w, r, maxRequestBytes)
	if !ok {
		return a, false
	}
	var body orderRequest
	if !commands.decode(w, raw, &body) {
		return a, false
	}
	a, wrong := commandOf(r, what, body)
	if len(wrong) > 0 {
		commands.refuse(w, wrong)
		return a, false
	}
	return a, true
}

// commandOf is what a body asks, and everything that is wrong with it.
func commandOf(r *http.Request, what asked, body orderRequest) (a orders.Command, wrong []problem.FieldError) {
	add := func(pointer, code, detail string) {
		wrong = append(wrong, problem.FieldError{Pointer: pointer, Code: code, Detail: detail})
	}
	if body.OrderIncrementID == "" {
		add("/orderIncrementId", problem.CodeRequired, "is required: the order's increment id, like 000000123")
	} else if err := domain.ValidateKnownIncrementID(body.OrderIncrementID); err != nil {
		add("/orderIncrementId", problem.CodeInvalid, err.Error())
	}
	source, wrongSource := sourceOf(r, body.Source)
	wrong = append(wrong, wrongSource...)
	a = orders.Command{
		Ref: domain.OrderRef{Source: source, IncrementID: body.OrderIncrementID}, Request: what.request, Who: asker(r), Reason: body.Reason,
		Traceparent: r.Header.Get(event.HeaderTraceparent),
	}
	switch {
	case body.NewKey && what.request == domain.RequestResync:
		a.Request = domain.RequestAnew
	case body.NewKey:
		add("/newKey", problem.CodeMisplaced, "goes with resync-order only")
	}
	if body.ErpReference != "" {
		a.Reference = body.ErpReference.Text()
		if what.request != domain.RequestSettle {
			add("/erpReference", problem.CodeMisplaced, "goes with settle-order only")
		}
	}
	return a, append(wrong, a.Check()...)
}

// disabled is what a request comes to that would send an order while the connector is off.
var disabled = problem.Problem{
	Status: http.StatusServiceUnavailable, Code: "connector_disabled", Message: "ERP Connector is not enabled",
	Detail: "the connector is off: switch it on in the settings and ask again; nothing was done",
}

// disabledRetryAfter is in seconds: an operator turns the connector on, which takes longer than a failing database.
const disabledRetryAfter = "60"

// writeDisabled tells it, and of which order; ref is empty when it is about none.
func writeDisabled(w http.ResponseWriter, ref domain.OrderRef) {
	w.Header().Set("Retry-After", disabledRetryAfter)
	p := disabled
	p.OrderIncrementID, p.Source = ref.IncrementID, ref.Source
	problem.Write(w, p)
}

// failed tells of a request that could not be taken.
func (h *handler) failed(w http.ResponseWriter, ref domain.OrderRef, err error) {
	if errors.Is(err, orders.ErrDisabled) {
		writeDisabled(w, ref)
		return
	}
	h.log.Error("order request not taken", "order_increment_id", ref.IncrementID, "source", ref.Source, "error", err)
	w.Header().Set("Retry-After", "5")
	problem.Write(w, problem.Problem{
		Status: http.StatusServiceUnavailable, Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether this was taken: look at sync-status, then ask again",
		OrderIncrementID: ref.IncrementID, Source: ref.Source,
	})
}

// refusal is why a request is not possible where the order stands, and what is.
func refusal(what asked, a orders.Result) problem.Problem {
	id := a.Gate.Ref.IncrementID
	p := problem.Problem{OrderIncrementID: id, Source: a.Gate.Ref.Source}
	switch {
	case a.Action == domain.RefuseNotFound && a.State == domain.Known:
		p.Status, p.Code = http.StatusNotFound, "order_not_found"
		p.Detail = unknownOrder(fmt.Sprintf("order %s is known, but nothing was ever to be sent: sync-order sends it", id), a.Gate.Ref)
	case a.Action == domain.RefuseNotFound:
		p.Status, p.Code = http.StatusNotFound, "order_not_found"
		p.Detail = unknownOrder(fmt.Sprintf("order %s of the shop %s is not known: publish it first, with an order.placed or invoice.created event, or name its shop (source)",
			id, a.Gate.Ref.Source), a.Gate.Ref)
	case what.request == domain.RequestResync:
		p.Status, p.Code = http.StatusConflict, "order_"+string(a.State)
		p.Detail = fmt.Sprintf("order %s has reached the ERP already; nothing was done. Sent once more it goes out under a new idempotency key, and the ERP books it "+
			`a second time. If that is meant, ask again with "newKey": true and a "reason", which stays in the order's log`, id)
	default:
		p.Status, p.Code = http.StatusConflict, "order_"+string(a.State)
		p.Detail = fmt.Sprintf("order %s %s; nothing was done (%s)", id, possible[a.State], what.request)
	}
	return p
}

// possible is what can be asked of an order where it stands.
var possible = map[domain.OrderState]string{
	domain.StandsQueued:   "is on its way to the ERP: wait for its end, or settle it",
	domain.StandsInFlight: "is being sent to the ERP: wait for its end, or settle it",
	domain.StandsSuccess:  "has reached the ERP already",
	domain.StandsFailed:   "has failed: resync-order sends it again",
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request, what asked, a orders.Result, wait time.Duration) {
	if a.Action == domain.RefuseNotFound || a.Action == domain.RefuseConflict {
		problem.Write(w, refusal(what, a))
		return
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
func resultOf(what asked, a orders.Result, row generation) (int, result) {
	res := result{
		SyncID: a.Gate.SyncID, OrderIncrementID: a.Gate.Ref.IncrementID, Source: a.Gate.Ref.Source, Status: row.status, ErpReference: row.reference,
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
