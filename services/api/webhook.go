package api

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// callback is the body of a callback: the fields of the module and two of our own.
type callback struct {
	OrderIncrementID string           `json:"orderIncrementId"`
	ErpReference     domain.Reference `json:"erpReference"`
	Status           string           `json:"status"`
	Source           string           `json:"source"`
	IdempotencyKey   string           `json:"idempotencyKey"` // the key that the order was sent with
}

// callbackAnswer is the answer of the module, with whether anything changed, and why not.
type callbackAnswer struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	Changed bool   `json:"changed"`

	OrderIncrementID string `json:"order_increment_id"`
	Source           string `json:"source"`

	Reason domain.Settled `json:"reason,omitempty"` // a stable code
}

// messages are the answers to the ERP, by what came of the callback.
var messages = map[domain.Settled]string{
	domain.SettledNow:      "Webhook processed successfully",
	domain.SettledBefore:   "The order stands as this callback says already; nothing was changed",
	domain.SettledRepeated: "This very callback came before; nothing was changed. To say the same anew, send a body that differs",
	domain.SettledOtherKey: "The idempotency key is not the order's current one; nothing was changed",
	domain.SettledEarlier:  "The reference is that of an earlier sending of the order, which was sent again since; nothing was changed",
	domain.SettledUnnamed:  "The order was sent again; a callback settles it only with its idempotencyKey, or a new erpReference. Nothing was changed",
}

// webhook takes a callback of the ERP. The signature over the raw body takes the place of a token.
func (h *handler) webhook(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r, maxRequestBytes)
	if !ok {
		return
	}
	if why := h.unsigned(r, body); why != "" {
		h.log.Warn("webhook refused: its signature is not valid", "reason", why)
		problem.Write(w, problem.Problem{Status: http.StatusUnauthorized, Code: "signature_invalid", Message: "Invalid webhook signature", Detail: why})
		return
	}
	c, ref, ok := readCallback(w, r, body)
	if !ok {
		return
	}
	cmd := orders.Command{
		Ref: ref, Who: "webhook", Reference: c.ErpReference.Text(), IdempotencyKey: c.IdempotencyKey,
		Body: domain.KeepableText(string(body[:min(len(body), domain.MaxResponseBytes)])), Truncated: len(body) > domain.MaxResponseBytes,
		Digest: sha256.Sum256(body), Traceparent: r.Header.Get(event.HeaderTraceparent),
	}
	switch strings.ToLower(c.Status) {
	case "accepted", "success":
		cmd.Request = domain.RequestAccepted
	case "rejected", "failed":
		cmd.Request = domain.RequestRejected
	default:
		h.annotate(w, r, cmd, c.Status)
		return
	}
	done, err := h.orders.Do(r.Context(), cmd)
	if err != nil {
		h.failed(w, r, ref, err)
		return
	}
	h.log.Info("webhook handled", "order_increment_id", ref.IncrementID, "source", ref.Source, "request", cmd.Request,
		"state", done.State, "settled", done.Settled == domain.SettledNow, "reason", done.Settled, "generation", done.Gate.Generation)
	respondToCallback(w, done)
}

// respondToCallback answers the ERP.
func respondToCallback(w http.ResponseWriter, done orders.Result) {
	switch done.Action {
	case domain.RefuseNotFound:
		problem.Write(w, problem.Problem{
			Status: http.StatusNotFound, Code: "order_not_found",
			Detail:           unknownOrder(fmt.Sprintf("no sync of order %s is known: is source missing or wrong?", done.Gate.Ref.IncrementID), done.Gate.Ref),
			OrderIncrementID: done.Gate.Ref.IncrementID, Source: done.Gate.Ref.Source,
		})
	default:
		said := callbackAnswer{Success: true, Message: messages[done.Settled], OrderIncrementID: done.Gate.Ref.IncrementID, Source: done.Gate.Ref.Source}
		if said.Changed = done.Settled == domain.SettledNow; !said.Changed {
			said.Reason = done.Settled
		}
		problem.JSON(w, http.StatusOK, said)
	}
}

// annotate adds a callback that settles nothing to the order's timeline.
func (h *handler) annotate(w http.ResponseWriter, r *http.Request, cmd orders.Command, status string) {
	known, err := h.orders.Annotate(r.Context(), cmd, status)
	switch {
	case err != nil:
		h.failed(w, r, cmd.Ref, err)
	case !known:
		respondToCallback(w, orders.Result{Action: domain.RefuseNotFound, Gate: domain.Gate{Ref: cmd.Ref}})
	default:
		h.log.Info("webhook recorded: its status changes nothing", "order_increment_id", cmd.Ref.IncrementID, "source", cmd.Ref.Source)
		problem.JSON(w, http.StatusOK, callbackAnswer{
			Success: true, OrderIncrementID: cmd.Ref.IncrementID, Source: cmd.Ref.Source,
			Message: fmt.Sprintf("Webhook recorded; the status %q changes nothing: accepted and rejected do", status),
			Reason:  domain.SettledNotByStatus,
		})
	}
}

// unsigned says why the signature is not valid; empty when it is. It is made over the raw bytes, so it is checked before the body is
// read as JSON: what an unknown sender wrote reaches no parser. Standard Webhooks come first, as their timestamp refuses replays; the
// module's signature has none, so an old callback of it can be sent again (see domain.Heard).
func (h *handler) unsigned(r *http.Request, body []byte) string {
	var secrets []string
	for _, s := range h.secrets().HMAC {
		secrets = append(secrets, s.Reveal())
	}
	module, standard := r.Header.Values(signature.HeaderModule), strings.TrimSpace(strings.Join(r.Header.Values(signature.HeaderSignature), " "))
	switch {
	case len(secrets) == 0:
		return "ERP_HMAC_SECRET is not set here, so no callback can be trusted: set it"
	case standard != "":
		if !signature.VerifyStandard(secrets, r.Header.Get(signature.HeaderID), r.Header.Get(signature.HeaderTimestamp), standard, body, time.Now()) {
			return fmt.Sprintf("Webhook-Signature is not that of this id, timestamp and body, or the timestamp is more than %s off", signature.Tolerance)
		}
	case strings.Join(module, "") == "":
		return "X-Signature is missing: base64 of HMAC-SHA256 over the raw body"
	case !signature.VerifyModule(secrets, body, module...):
		return "X-Signature is not that of this body: base64 of HMAC-SHA256 over the raw body, byte for byte"
	}
	return ""
}

// callbacks may have unknown members, as every ERP sends members of its own.
var callbacks = bodyFormat{
	shape: strictjson.ShapeOf[callback](), refused: "callback_refused",
	example: `{"orderIncrementId": "000000123", "erpReference": "ERP-123", "status": "accepted"}`,
}

// readCallback reads a callback; ok is false when it has answered with a problem.
func readCallback(w http.ResponseWriter, r *http.Request, body []byte) (c callback, ref domain.OrderRef, ok bool) {
	if !callbacks.decode(w, body, &c) {
		return c, ref, false
	}
	ref = domain.OrderRef{Source: cmp.Or(c.Source, domain.DefaultSource), IncrementID: c.OrderIncrementID}
	c.Status = strings.TrimSpace(c.Status)
	wrong := c.check(ref)
	if named := httpapi.PathSource(r.Context()); named != "" && named != ref.Source && len(wrong) == 0 {
		wrong = append(wrong, problem.FieldError{ // the signature covers the body only, so the path can add nothing
			Pointer: "/source", Code: problem.CodeContradicts, Detail: fmt.Sprintf("is %s, and the path names the shop %s: name it in the body, too", ref.Source, named),
		})
	}
	if len(wrong) > 0 {
		callbacks.refuse(w, wrong)
		return c, ref, false
	}
	return c, ref, true
}

// check lists everything that is wrong with a callback. The reference and the key are checked as in a command by hand.
func (c callback) check(ref domain.OrderRef) (wrong []problem.FieldError) {
	add := func(pointer, code, detail string) {
		wrong = append(wrong, problem.FieldError{Pointer: pointer, Code: code, Detail: detail})
	}
	if err := domain.ValidateKnownIncrementID(ref.IncrementID); err != nil {
		add("/orderIncrementId", problem.CodeInvalid, err.Error())
	}
	if err := domain.ValidateKnownSource(ref.Source); err != nil {
		add("/source", problem.CodeInvalid, err.Error())
	}
	if c.Status == "" {
		add("/status", problem.CodeRequired, "is required: accepted or rejected")
	} else if err := domain.StatusText.Check(c.Status); err != nil {
		add("/status", problem.TextCode(err), err.Error())
	}
	return append(wrong, orders.Command{Reference: c.ErpReference.Text(), IdempotencyKey: c.IdempotencyKey}.Check()...)
}
