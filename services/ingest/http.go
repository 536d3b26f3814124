// Package ingest takes commerce events over HTTP. Read on in internal/accept.
package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// Limits of one request.
const (
	maxBatch     = 1000
	maxBodyBytes = 16 << 20
)

type handler struct {
	accepter *accept.Accepter
	log      *slog.Logger
}

func routes(a *accept.Accepter, log *slog.Logger) []platform.Route {
	h := &handler{accepter: a, log: log.With("service", "ingest")}
	return []platform.Route{{
		Method: http.MethodPost, Path: platform.BasePath + "/events", Resource: platform.ResourcePublish,
		Handler: http.HandlerFunc(h.events),
	}}
}

// events takes one event (an object) or a batch (an array).
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
		problem.Write(w, problem.Problem{
			Status: http.StatusUnsupportedMediaType, Code: "not_json", Detail: "send the event with Content-Type: application/json",
		})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		tooBig(w, fmt.Sprintf("the body is larger than %d bytes; send fewer events at once", maxBodyBytes))
		return
	case err != nil:
		problem.Write(w, problem.Problem{Status: http.StatusBadRequest, Code: "body_incomplete", Detail: "the body ended early; send it again"})
		return
	}
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) > 0 && body[0] == '[' {
		h.batch(w, r, body)
		return
	}
	h.one(w, r, body)
}

func (h *handler) one(w http.ResponseWriter, r *http.Request, body []byte) {
	if len(body) > event.MaxEventBytes {
		tooBig(w, fmt.Sprintf("the event has %d bytes; at most %d are taken", len(body), event.MaxEventBytes))
		return
	}
	if !json.Valid(body) {
		notJSON(w, body)
		return
	}
	results, ok := h.accept(w, r, []json.RawMessage{body})
	if !ok {
		return
	}
	switch res := results[0]; res.Result {
	case accept.Accepted:
		problem.JSON(w, http.StatusAccepted, single(res))
	case accept.Duplicate:
		problem.JSON(w, http.StatusOK, single(res))
	case accept.Conflict:
		problem.Write(w, problem.Problem{
			Status: http.StatusConflict, Code: "event_conflict", Errors: res.Errors,
			Detail: "the event was not accepted, as it contradicts what was accepted before; errors says what. The same event will be refused again",
		})
	case accept.Refused:
		problem.Write(w, problem.Problem{
			Status: http.StatusUnprocessableEntity, Code: "event_refused", Errors: res.Errors,
			Detail: "the event was not accepted; correct what errors lists and send it again under the same event_id",
		})
	}
}

// single is a result whose sync_id is there even when it is null.
func single(r accept.Result) any {
	return struct {
		accept.Result
		SyncID *int64 `json:"sync_id"`
	}{r, r.SyncID}
}

func (h *handler) batch(w http.ResponseWriter, r *http.Request, body []byte) {
	var events []json.RawMessage
	if json.Unmarshal(body, &events) != nil {
		notJSON(w, body)
		return
	}
	if len(events) > maxBatch {
		tooBig(w, fmt.Sprintf("the batch has %d events; at most %d are taken at once", len(events), maxBatch))
		return
	}
	results, ok := h.accept(w, r, events)
	if !ok {
		return
	}
	problem.JSON(w, http.StatusOK, map[string]any{"results": results})
}

func (h *handler) accept(w http.ResponseWriter, r *http.Request, bodies []json.RawMessage) ([]accept.Result, bool) {
	trace := r.Header.Get(event.HeaderTraceparent)
	incoming := make([]accept.Incoming, len(bodies))
	for i, b := range bodies {
		incoming[i] = accept.Incoming{Body: b, Traceparent: trace}
	}
	began := time.Now()
	results, err := h.accepter.Accept(r.Context(), incoming)
	acceptSeconds.Observe(time.Since(began).Seconds())
	if err != nil {
		events.WithLabelValues("failed").Add(float64(len(incoming)))
		h.log.Error("events not accepted", "events", len(incoming), "error", err)
		w.Header().Set("Retry-After", "5")
		problem.Write(w, problem.Problem{
			Status: http.StatusServiceUnavailable, Code: "database_unavailable",
			Detail: "nothing of this request was accepted, as the database does not answer; send it again",
		})
		return nil, false
	}
	for _, r := range results {
		events.WithLabelValues(string(r.Result)).Inc()
	}
	h.accepter.LogRefused(r.Context(), results)
	return results, true
}

func notJSON(w http.ResponseWriter, body []byte) {
	problem.Write(w, problem.Problem{Status: http.StatusBadRequest, Code: "not_json", Detail: "the body " + strictjson.NotJSON(body)})
}

func tooBig(w http.ResponseWriter, detail string) {
	problem.Write(w, problem.Problem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: detail})
}
