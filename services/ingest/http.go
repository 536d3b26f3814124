// Package ingest takes commerce events over HTTP. Read on in internal/accept.
//
//	POST /rest/V1/erpconnector/events
//	{"event_id": "e-77", "type": "invoice.created", "order": {"order_increment_id": "000000123", …}}
//	202 {"result": "accepted", "event_id": "e-77", "sync_id": 1, "order_increment_id": "000000123", "status": "queued"}
//
// An answer of 200, 202 or 207 names what is ours from then on: nothing loses it. 503 means that nothing of the request was taken, so
// far as is known; a shop sends it again, and what was taken after all is a duplicate. 409 and 422 come back the same until the
// event is corrected, so a shop should not repeat them. What was refused is kept in the quarantine, where people find it.
//
// Shops that share the database write into the commerce outbox in place of this. internal/drain takes the events from there, and
// internal/quarantine keeps those that accept refuses, of both doors. All three meet in internal/accept: there is one way for an event to become ours.
package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// Limits of one request.
const (
	maxBatch     = 1000     // events, so that one transaction holds its gates for some tens of milliseconds
	maxBodyBytes = 16 << 20 // also once it is inflated
	largeBytes   = 1 << 20  // larger bodies are worked on one at a time
)

type handler struct {
	accepter *accept.Accepter
	keeper   *quarantine.Keeper
	pool     *pgxpool.Pool
	large    chan struct{} // has room for one: whoever works on a large body
	log      *slog.Logger
}

func routes(pool *pgxpool.Pool, a *accept.Accepter, keeper *quarantine.Keeper, log *slog.Logger) []httpapi.Route {
	h := &handler{accepter: a, keeper: keeper, pool: pool, large: make(chan struct{}, 1), log: log.With("service", "ingest")}
	return append([]httpapi.Route{{
		Method: http.MethodPost, Path: httpapi.BasePath + "/events", Resource: httpapi.ResourcePublish, BySource: true,
		Handler: http.HandlerFunc(h.events),
	}}, h.quarantineRoutes()...)
}

// events takes one event (an object) or a batch (an array).
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	body, wrong := readBody(w, r)
	if wrong == &httpapi.Overload { // nothing is wrong with it
		problem.Write(w, *wrong)
		return
	}
	if wrong != nil {
		h.refuse(w, r, *wrong)
		return
	}
	if len(body) == 0 || body[0] != '[' {
		h.one(w, r, body)
		return
	}
	if len(body) > largeBytes {
		if !h.turn(r.Context()) {
			return // the shop has left
		}
		defer func() { <-h.large }()
	}
	h.batch(w, r, body)
}

// turn waits until no other large body is worked on. Its events take some 20 times its size in memory, and Postgres stores two batches
// hardly faster than one after the other.
func (h *handler) turn(ctx context.Context) bool {
	select {
	case h.large <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// one answers one event by the status of the answer, as a shop that sends one at a time expects. The size is checked before the JSON is
// read.
func (h *handler) one(w http.ResponseWriter, r *http.Request, body []byte) {
	if len(body) > event.MaxEventBytes {
		h.refuse(w, r, *tooBig(fmt.Sprintf("the event has %d bytes; at most %d are taken", len(body), event.MaxEventBytes)))
		return
	}
	if !strictjson.Valid(body) {
		h.refuse(w, r, notJSON(body))
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

// singleResult is a result that has sync_id also when it is null.
type singleResult struct {
	accept.Result

	SyncID *int64 `json:"sync_id"` // null: the event starts no sync
}

func single(r accept.Result) singleResult { return singleResult{r, r.SyncID} }

// batchResults are what became of the events of a batch, in their order.
type batchResults struct {
	Results []accept.Result `json:"results"`
}

// batch answers many events. One bad event does not spoil the others, so the answer has a result for each, in their order.
func (h *handler) batch(w http.ResponseWriter, r *http.Request, body []byte) {
	var events []json.RawMessage
	if len(strictjson.Decode("", body, &events)) > 0 {
		h.refuse(w, r, notJSON(body))
		return
	}
	if len(events) > maxBatch {
		h.refuse(w, r, *tooBig(fmt.Sprintf("the batch has %d events; at most %d are taken at once", len(events), maxBatch)))
		return
	}
	results, ok := h.accept(w, r, events)
	if !ok {
		return
	}
	answerBatch(w, results)
}

// answerBatch answers a batch. The status says whether all, some or none of the events are ours; an empty batch counts as all.
func answerBatch(w http.ResponseWriter, results []accept.Result) {
	taken := 0
	for _, r := range results {
		if r.Result.Taken() {
			taken++
		}
	}
	switch {
	case taken == len(results):
		problem.JSON(w, http.StatusOK, batchResults{results})
	case taken > 0:
		problem.JSON(w, http.StatusMultiStatus, batchResults{results})
	default:
		problem.Write(w, problem.Problem{
			Status: http.StatusUnprocessableEntity, Code: "batch_refused", Results: results,
			Detail: "none of the events was accepted; results says of each what is wrong with it, in their order",
		})
	}
}

// accept takes the events and counts them by their results; ok is false when it has answered with a problem. All events of a request
// carry its trace.
func (h *handler) accept(w http.ResponseWriter, r *http.Request, bodies []json.RawMessage) ([]accept.Result, bool) {
	trace := r.Header.Get(event.HeaderTraceparent)
	incoming := make([]accept.Incoming, len(bodies))
	for i, b := range bodies {
		incoming[i] = accept.Incoming{Body: b, Traceparent: trace, Source: httpapi.BoundSource(r.Context()), PathSource: httpapi.PathSource(r.Context())}
	}
	began := time.Now()
	results, err := h.accepter.Accept(r.Context(), incoming)
	acceptSeconds.Observe(time.Since(began).Seconds())
	if err != nil {
		events.WithLabelValues("failed").Add(float64(len(incoming)))
		httpapi.Failed(w, r, h.log, "events not accepted", err, problem.Problem{
			Code:   "database_unavailable",
			Detail: "nothing of this request was accepted, as the database does not take it now; send it again",
		}, "events", len(incoming))
		return nil, false
	}
	for _, r := range results {
		events.WithLabelValues(string(r.Result)).Inc()
	}
	h.accepter.LogRefused(r.Context(), results)
	h.keeper.Keep(r.Context(), incoming, results)
	return results, true
}

// refuse answers a request in which no event can be read, so that the log can name none.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, p problem.Problem) {
	events.WithLabelValues("unreadable").Inc()
	h.log.InfoContext(r.Context(), "request refused: no event can be read from it", "code", p.Code, "http_status", p.Status, "bytes", r.ContentLength)
	problem.Write(w, p)
}

func notJSON(body []byte) problem.Problem {
	return problem.Problem{Status: http.StatusBadRequest, Code: "not_json", Detail: "the body " + strictjson.NotJSON(body)}
}

func tooBig(detail string) *problem.Problem {
	return &problem.Problem{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: detail}
}
