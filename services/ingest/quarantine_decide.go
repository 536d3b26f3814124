package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/jsonbody"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const (
	maxDecisionBytes = 64 << 10
	maxSendBytes     = event.MaxEventBytes + maxDecisionBytes // the largest event, and what stands around it
)

var (
	sends = jsonbody.Format{
		Shape:   strictjson.Members("event").Closed(),
		Example: `{"event": {"event_id": "e-77", …}}, or nothing to send the event as it is`, Refused: "request_refused",
	}
	discards = jsonbody.Format{
		Shape: strictjson.Members("reason").Closed(), Example: `{"reason": "a test of the shop"}`, Refused: "request_refused",
	}
)

// sentEntry is what became of an entry that was sent.
type sentEntry struct {
	ID int64 `json:"id"`
	accept.Result
}

// sender sends with the right of the request's token.
func (h *handler) sender(ctx context.Context, dryRun bool) quarantine.Sender {
	return quarantine.Sender{Pool: h.pool, Accepter: h.accepter, Source: httpapi.BoundSource(ctx), DryRun: dryRun}
}

// sendQuarantined sends the event once more, or the corrected one of the body in its place. What is refused again stays.
func (h *handler) sendQuarantined(w http.ResponseWriter, r *http.Request) {
	corrected, ok := readCorrected(w, r)
	if !ok {
		return
	}
	id := entryID(r)
	sent, err := h.sendOne(r.Context(), id, corrected)
	switch {
	case err != nil:
		h.quarantineFailed(w, r, err)
		return
	case len(sent) == 0: // it is locked, as it was there a moment ago, or it is not there
		h.notFree(w, r, id)
		return
	}
	result := sent[0].Result
	h.logSent(r.Context(), sent, corrected != nil)
	if result.Result.Taken() {
		problem.JSON(w, http.StatusOK, sentEntry{id, result})
		return
	}
	p := problem.Problem{
		Status: http.StatusUnprocessableEntity, Code: "event_refused", Errors: result.Errors,
		Detail: "the event was not accepted, and the entry stays in the quarantine; correct what errors lists, and send the corrected event",
	}
	if result.Result == accept.Conflict {
		p.Status, p.Code = http.StatusConflict, "event_conflict"
	}
	problem.Write(w, p)
}

func (h *handler) sendOne(ctx context.Context, id int64, corrected json.RawMessage) ([]quarantine.Sent, error) {
	s := h.sender(ctx, false)
	if corrected == nil {
		return s.Send(ctx, []int64{id})
	}
	one, err := s.SendCorrected(ctx, id, corrected)
	return []quarantine.Sent{one}, err
}

// readCorrected reads the corrected event; nil: the body names none. ok is false when it has answered with a problem.
func readCorrected(w http.ResponseWriter, r *http.Request) (corrected json.RawMessage, ok bool) {
	raw, ok := jsonbody.Read(w, r, maxSendBytes)
	if !ok || len(bytes.TrimSpace(raw)) == 0 {
		return nil, ok
	}
	var body struct {
		Event json.RawMessage `json:"event"`
	}
	if !sends.Decode(w, raw, &body) {
		return nil, false
	}
	if string(body.Event) == "null" {
		sends.Refuse(w, []problem.FieldError{{Pointer: "/event", Code: problem.CodeType, Detail: "is null; leave it out to send the event as it is"}})
		return nil, false
	}
	return body.Event, true
}

// discardQuarantined decides that an event is not needed. The entry stays, with who decided it and why, until it has aged.
func (h *handler) discardQuarantined(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Reason string `json:"reason"`
	}
	raw, ok := jsonbody.Read(w, r, maxDecisionBytes)
	if !ok || !discards.Decode(w, raw, &body) {
		return
	}
	if wrong := checkReason(body.Reason); len(wrong) > 0 {
		discards.Refuse(w, wrong)
		return
	}
	id, source := entryID(r), httpapi.BoundSource(r.Context())
	done, err := quarantine.Discard(r.Context(), h.pool, []int64{id}, source, httpapi.Requester(r.Context()), body.Reason)
	if err == nil && len(done) == 0 {
		h.notFree(w, r, id)
		return
	}
	h.logDiscarded(r.Context(), done)
	h.answerEntry(w, r, id, err)
}

// answerEntry answers with the entry as it is now.
func (h *handler) answerEntry(w http.ResponseWriter, r *http.Request, id int64, err error) {
	var e quarantine.Entry
	if err == nil {
		e, err = quarantine.Get(r.Context(), h.pool, id, httpapi.BoundSource(r.Context()), 1)
	}
	if err != nil {
		h.quarantineFailed(w, r, err)
		return
	}
	problem.JSON(w, http.StatusOK, quarantinedOf(e))
}

// notFree answers about an entry that nothing could be done about: it is not there, was discarded before, or somebody is sending it.
func (h *handler) notFree(w http.ResponseWriter, r *http.Request, id int64) {
	e, err := quarantine.Get(r.Context(), h.pool, id, httpapi.BoundSource(r.Context()), 1)
	if err != nil {
		h.quarantineFailed(w, r, err)
		return
	}
	detail := "nothing was done: somebody else is sending the entry now; ask again"
	if e.State == quarantine.Discarded {
		detail = "nothing was done: the entry was discarded before, by " + domain.Printable(*e.DiscardedBy)
	}
	problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "quarantine_entry_not_open", Detail: detail})
}

// checkReason refuses a reason that is missing, or that cannot be kept.
func checkReason(reason string) []problem.FieldError {
	if strings.TrimSpace(reason) == "" {
		return []problem.FieldError{{Pointer: "/reason", Code: problem.CodeRequired, Detail: "is required: it is kept with the entry; name no customer in it"}}
	}
	if err := domain.ReasonText.Check(reason); err != nil {
		return []problem.FieldError{{Pointer: "/reason", Code: problem.TextCode(err), Detail: err.Error()}}
	}
	return nil
}

func (h *handler) logSent(ctx context.Context, sent []quarantine.Sent, corrected bool) {
	for _, s := range sent {
		h.log.InfoContext(ctx, "quarantined event sent", "entry", s.ID, "result", s.Result.Result, "corrected", corrected, "by", httpapi.Requester(ctx))
	}
}

func (h *handler) logDiscarded(ctx context.Context, ids []int64) {
	for _, id := range ids {
		h.log.InfoContext(ctx, "quarantined event discarded", "entry", id, "by", httpapi.Requester(ctx))
	}
}
