package api

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/problem"
	"github.com/erpconnector/erpconnector/shared/signature"
)

// callback is the ERP's body, the module's fields and two of ours.
type callback struct {
	OrderIncrementID string           `json:"orderIncrementId"`
	ErpReference     domain.Reference `json:"erpReference"`
	Status           string           `json:"status"`
	Source           string           `json:"source"`
	IdempotencyKey   string           `json:"idempotencyKey"` // an echo of the key that the order was sent under
}

// callbackAnswer is the module's, whether anything changed, and why not.
type callbackAnswer struct {
	Success bool           `json:"success"`
	Message string         `json:"message"`
	Changed bool           `json:"changed"`
	Reason  domain.Settled `json:"reason,omitempty"` // a stable code
}

// messages are what the ERP is told of its callback.
var messages = map[domain.Settled]string{
	domain.SettledNow:      "Webhook processed successfully",
	domain.SettledBefore:   "The order stands as this callback says already; nothing was changed",
	domain.SettledRepeated: "This very callback came before; nothing was changed. To say the same anew, send a body that differs",
	domain.SettledOtherKey: "The idempotency key is not the order's current one; nothing was changed",
	domain.SettledEarlier:  "The reference is that of an earlier sending of the order, which was sent again since; nothing was changed",
	domain.SettledUnnamed:  "The order was sent again; a callback settles it only with its idempotencyKey, or a new erpReference. Nothing was changed",
}

// webhook takes the ERP's callback. Its signature over the raw body stands for a token.
func (h *handler) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if err != nil {
		problem.Write(w, problem.Problem{
			Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: fmt.Sprintf("the body could not be read, or is larger than %d bytes", maxRequestBytes),
		})
		return
	}
	if why := h.unsigned(r, body); why != "" {
		h.log.Warn("webhook refused: its signature is not valid", "reason", why)
		problem.Write(w, problem.Problem{Status: http.StatusUnauthorized, Code: "signature_invalid", Message: "Invalid webhook signature", Detail: why})
		return
	}
	c, wrong := readCallback(body)
	if wrong != nil {
		problem.Write(w, *wrong)
		return
	}
	ref := c.order()
	a := orders.Ask{
		Ref: ref, Who: "webhook", Reference: c.ErpReference.Text(), IdempotencyKey: c.IdempotencyKey,
		Body: domain.KeepableText(string(body[:min(len(body), domain.MaxResponseBytes)])), Truncated: len(body) > domain.MaxResponseBytes,
		Digest: sha256.Sum256(body), Traceparent: r.Header.Get(event.HeaderTraceparent),
	}
	switch strings.ToLower(c.Status) {
	case "accepted", "success":
		a.Request = domain.RequestAccepted
	case "rejected", "failed":
		a.Request = domain.RequestRejected
	default:
		h.note(w, r, a, c.Status)
		return
	}
	answer, err := h.orders.Do(r.Context(), a)
	if err != nil {
		h.failed(w, ref, err)
		return
	}
	h.log.Info("webhook handled", "order_increment_id", ref.IncrementID, "source", ref.Source, "request", a.Request,
		"standing", answer.Standing, "settled", answer.Settled == domain.SettledNow, "reason", answer.Settled, "generation", answer.Gate.Generation)
	answerCallback(w, answer)
}

func answerCallback(w http.ResponseWriter, a orders.Answer) {
	switch {
	case a.Action == domain.RefuseNone:
		problem.Write(w, problem.Problem{
			Status: http.StatusNotFound, Code: "order_not_found",
			Detail: fmt.Sprintf("no sync of order %s is known: is source missing or wrong?", a.Gate.Ref.IncrementID),
		})
	case a.Settled == domain.SettledNow:
		problem.JSON(w, http.StatusOK, callbackAnswer{Success: true, Message: messages[a.Settled], Changed: true})
	default:
		problem.JSON(w, http.StatusOK, callbackAnswer{Success: true, Message: messages[a.Settled], Reason: a.Settled})
	}
}

// note keeps a callback that settles nothing on the order's timeline.
func (h *handler) note(w http.ResponseWriter, r *http.Request, a orders.Ask, status string) {
	known, err := h.orders.Note(r.Context(), a, status)
	switch {
	case err != nil:
		h.failed(w, a.Ref, err)
	case !known:
		answerCallback(w, orders.Answer{Action: domain.RefuseNone, Gate: domain.Gate{Ref: a.Ref}})
	default:
		h.log.Info("webhook recorded: its status changes nothing", "order_increment_id", a.Ref.IncrementID, "source", a.Ref.Source)
		problem.JSON(w, http.StatusOK, callbackAnswer{
			Success: true, Message: fmt.Sprintf("Webhook recorded; the status %q changes nothing: accepted and rejected do", status),
			Reason: domain.SettledNotByStatus,
		})
	}
}

// unsigned is why the signature does not hold; empty when it does.
func (h *handler) unsigned(r *http.Request, body []byte) string {
	secret := h.secret.Reveal()
	module, standard := r.Header.Values(signature.HeaderModule), strings.TrimSpace(strings.Join(r.Header.Values(signature.HeaderSignature), " "))
	switch {
	case secret == "":
		return "ERP_HMAC_SECRET is not set here, so no callback can be trusted: set it"
	case standard != "":
		if !signature.VerifyStandard([]string{secret}, r.Header.Get(signature.HeaderID), r.Header.Get(signature.HeaderTimestamp), standard, body, time.Now()) {
			return fmt.Sprintf("Webhook-Signature is not that of this id, timestamp and body, or the timestamp is more than %s off", signature.Tolerance)
		}
	case strings.Join(module, "") == "":
		return "X-Signature is missing: base64 of HMAC-SHA256 over the raw body"
	case !signature.VerifyModule([]string{secret}, body, module...):
		return "X-Signature is not that of this body: base64 of HMAC-SHA256 over the raw body, byte for byte"
	}
	return ""
}

// order is which order the callback is about.
func (c callback) order() domain.OrderRef {
	return domain.OrderRef{Source: cmp.Or(c.Source, domain.DefaultSource), IncrementID: c.OrderIncrementID}
}

// readCallback is the callback in a body, or what is wrong with it.
func readCallback(body []byte) (c callback, wrong *problem.Problem) {
	if err := json.Unmarshal(body, &c); err != nil {
		return c, &problem.Problem{
			Status: http.StatusBadRequest, Code: "not_json",
			Detail: `send {"orderIncrementId": "000000123", "erpReference": "ERP-123", "status": "accepted"}: ` + inWords(err),
		}
	}
	c.Status = strings.TrimSpace(c.Status)
	var errs []map[string]string
	add := func(pointer string, err error) {
		if err != nil {
			errs = append(errs, map[string]string{"pointer": pointer, "detail": err.Error()})
		}
	}
	ref := c.order()
	add("/orderIncrementId", domain.ValidateIncrementID(ref.IncrementID))
	add("/source", domain.ValidateSource(ref.Source))
	switch {
	case c.Status == "":
		add("/status", errors.New("is required: accepted or rejected"))
	case len(c.Status) > orders.MaxReasonBytes:
		add("/status", fmt.Errorf("has %d bytes; at most %d are taken", len(c.Status), orders.MaxReasonBytes))
	}
	add("/erpReference", c.ErpReference.Validate())
	if len(errs) > 0 {
		return c, &problem.Problem{
			Status: http.StatusUnprocessableEntity, Code: "callback_refused", Errors: errs, Detail: "nothing was changed; correct what errors lists",
		}
	}
	return c, nil
}
