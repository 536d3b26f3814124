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
	maxWait         = 60 * time.Second // proxies give up on an answer at that time, as a rule
)

// orderRequest is the module's body, with members of our own.
type orderRequest struct {
	OrderIncrementID string           `json:"orderIncrementId"`
	Source           *string          `json:"source"`
	NewKey           bool             `json:"newKey"`       // resync: under a new idempotency key
	Reason           string           `json:"reason"`       // required for commands of operators, and with newKey
	ErpReference     domain.Reference `json:"erpReference"` // settle: what the ERP calls the order, when it has a name for it
}

// commands takes no unknown members: a misspelt one may have named another order.
var commands = bodyFormat{
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

// commandKind is a command by its path. The messages are the module's, word for word: callers compare them.
type commandKind struct {
	request domain.Request
	done    string // the module's message of success
	failed  string
}

var (
	syncCommand    = commandKind{request: domain.RequestSync, done: "Order synced successfully", failed: "Order sync failed"}
	resyncCommand  = commandKind{request: domain.RequestResync, done: "Order resynced successfully", failed: "Order resync failed"}
	sendNowCommand = commandKind{request: domain.RequestSendNow, done: "Order synced successfully", failed: "Order sync failed"}
	cancelCommand  = commandKind{request: domain.RequestCancel, done: "Order cancelled", failed: "Order cancelled"}
	settleCommand  = commandKind{request: domain.RequestSettle, done: "Order settled", failed: "Order not settled"}
)

// command carries out one kind of command. The parameters are checked before the body is read, and the body before the database is
// asked. So a request that is refused has changed nothing.
func (h *handler) command(kind commandKind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		parameters := httpapi.ParametersOf(r)
		wait := parameters.Seconds("wait", waitDefault, maxWait)
		if len(parameters.Wrong) > 0 {
			httpapi.RefuseQuery(w, parameters.Wrong)
			return
		}
		cmd, ok := readCommand(w, r, kind)
		if !ok {
			return
		}
		done, err := h.orders.Do(r.Context(), cmd)
		if err != nil {
			h.failed(w, r, cmd.Ref, err)
			return
		}
		h.log.Info("order request", "request", cmd.Request, "order_increment_id", cmd.Ref.IncrementID, "source", cmd.Ref.Source,
			"state", done.State, "action", done.Action, "generation", done.Gate.Generation)
		h.respond(w, r, kind, done, wait)
	}
}

// requester is who gives the command, for the log and the history: the token's name.
func requester(r *http.Request) string { return httpapi.Requester(r.Context()) }

// readCommand reads a command; ok is false when it has answered with a problem.
func readCommand(w http.ResponseWriter, r *http.Request, kind commandKind) (cmd orders.Command, ok bool) {
	raw, ok := readBody(w, r, maxRequestBytes)
	if !ok {
		return cmd, false
	}
	var body orderRequest
	if !commands.decode(w, raw, &body) {
		return cmd, false
	}
	cmd, wrong := commandOf(r, kind, body)
	if len(wrong) > 0 {
		commands.refuse(w, wrong)
		return cmd, false
	}
	return cmd, mayTouch(w, r, cmd.Ref.Source)
}

// commandOf makes the command of a body, and lists everything that is wrong with it. It takes names that no new order may have:
// orders from before that rule must be found and sent again too.
func commandOf(r *http.Request, kind commandKind, body orderRequest) (cmd orders.Command, wrong []problem.FieldError) {
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
	cmd = orders.Command{
		Ref: domain.OrderRef{Source: source, IncrementID: body.OrderIncrementID}, Request: kind.request, Who: requester(r), Reason: body.Reason,
		Traceparent: r.Header.Get(event.HeaderTraceparent),
	}
	switch {
	case body.NewKey && kind.request == domain.RequestResync:
		cmd.Request = domain.RequestAnew
	case body.NewKey:
		add("/newKey", problem.CodeMisplaced, "goes with resync-order only")
	}
	if body.ErpReference != "" {
		cmd.Reference = body.ErpReference.Text()
		if kind.request != domain.RequestSettle {
			add("/erpReference", problem.CodeMisplaced, "goes with settle-order only")
		}
	}
	return cmd, append(wrong, cmd.Check()...)
}

// disabled is the answer to a command that would send an order while the connector is off.
var disabled = problem.Problem{
	Status: http.StatusServiceUnavailable, Code: "connector_disabled", Message: "ERP Connector is not enabled",
	Detail: "the connector is off: switch it on in the settings and ask again; nothing was done",
}

// disabledRetryAfter is in seconds. It is long, as only an operator turns the connector on again.
const disabledRetryAfter = "60"

// writeDisabled answers with disabled; ref is empty when the request is about no order.
func writeDisabled(w http.ResponseWriter, ref domain.OrderRef) {
	w.Header().Set("Retry-After", disabledRetryAfter)
	p := disabled
	p.OrderIncrementID, p.Source = ref.IncrementID, ref.Source
	problem.Write(w, p)
}

// failed answers a command that could not be carried out.
func (h *handler) failed(w http.ResponseWriter, r *http.Request, ref domain.OrderRef, err error) {
	if errors.Is(err, orders.ErrDisabled) {
		writeDisabled(w, ref)
		return
	}
	httpapi.Failed(w, r, h.log, "order request not taken", err, problem.Problem{
		Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether this was taken: look at sync-status, then ask again",
		OrderIncrementID: ref.IncrementID, Source: ref.Source,
	}, "order_increment_id", ref.IncrementID, "source", ref.Source)
}

// refusal says why a command is not possible in the order's state, and what is possible. The code holds the state (order_queued,
// order_success), so that a program can tell "wait" from "it is done" without reading the text.
func refusal(kind commandKind, done orders.Result) problem.Problem {
	id := done.Gate.Ref.IncrementID
	p := problem.Problem{OrderIncrementID: id, Source: done.Gate.Ref.Source}
	switch {
	case done.Action == domain.RefuseNotFound && done.State == domain.StateKnown:
		p.Status, p.Code = http.StatusNotFound, "order_not_found"
		p.Detail = unknownOrder(fmt.Sprintf("order %s is known, but nothing was ever to be sent: sync-order sends it", id), done.Gate.Ref)
	case done.Action == domain.RefuseNotFound:
		p.Status, p.Code = http.StatusNotFound, "order_not_found"
		p.Detail = unknownOrder(fmt.Sprintf("order %s of the shop %s is not known: publish it first, with an order.placed or invoice.created event, or name its shop (source)",
			id, done.Gate.Ref.Source), done.Gate.Ref)
	case kind.request == domain.RequestResync:
		p.Status, p.Code = http.StatusConflict, "order_"+string(done.State)
		p.Detail = fmt.Sprintf("order %s has reached the ERP already; nothing was done. Sent once more it goes out under a new idempotency key, and the ERP books it "+
			`a second time. If that is meant, ask again with "newKey": true and a "reason", which stays in the order's log`, id)
	default:
		p.Status, p.Code = http.StatusConflict, "order_"+string(done.State)
		p.Detail = fmt.Sprintf("order %s %s; nothing was done (%s)", id, possible[done.State], kind.request)
	}
	return p
}

// possible says what can be done with an order in a state.
var possible = map[domain.OrderState]string{
	domain.StateQueued:   "is on its way to the ERP: wait for its end, or settle it",
	domain.StateInFlight: "is being sent to the ERP: wait for its end, or settle it",
	domain.StateSuccess:  "has reached the ERP already",
	domain.StateFailed:   "has failed: resync-order sends it again",
}

// respond waits for the end of the generation, and answers. The command is committed by then: a caller who goes away while it waits
// takes nothing back.
func (h *handler) respond(w http.ResponseWriter, r *http.Request, kind commandKind, done orders.Result, wait time.Duration) {
	if done.Action.Refuses() {
		problem.Write(w, refusal(kind, done))
		return
	}
	row, err := h.waiting.await(r.Context(), done.Gate, wait)
	if err != nil {
		h.failed(w, r, done.Gate.Ref, err)
		return
	}
	status, res := resultOf(kind, done, row)
	problem.JSON(w, status, res)
}

// resultOf is the answer: 200 once the generation has ended, 202 before. A failed order is answered with 200 and success false, as in
// the module: the request was carried out, and its result is that the ERP refuses the order. A cancellation that has cancelled is a
// success, though the order's status is failed.
func resultOf(kind commandKind, done orders.Result, row generation) (int, result) {
	res := result{
		SyncID: done.Gate.SyncID, OrderIncrementID: done.Gate.Ref.IncrementID, Source: done.Gate.Ref.Source, Status: row.status, ErpReference: row.reference,
		Attempts: row.attempts, LastError: row.lastError, Generation: done.Gate.Generation, NextAttemptAt: moduleTime(row.next),
	}
	switch {
	case row.newer:
		res.Status, res.Message = domain.Failed, kind.failed
		res.Detail = "somebody asked for a newer resync before this one had ended; sync-status shows where that one stands"
	case row.status == domain.Success:
		res.Success, res.Message = true, kind.done
	case row.status == domain.Failed && kind.request == domain.RequestCancel && done.Action == domain.ActSettle:
		res.Success, res.Message = true, kind.done
	case row.status == domain.Failed:
		res.Message, res.Detail = kind.failed, "resync-order sends it again"
	default:
		res.Message, res.Detail = "Order sync is under way", "sync-status shows where it stands"
		return http.StatusAccepted, res
	}
	return http.StatusOK, res
}
