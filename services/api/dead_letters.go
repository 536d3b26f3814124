package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const (
	deadLetterPage    = 100
	maxDeadLetterPage = 500
	deadLettersPath   = httpapi.BasePath + "/dead-letters"
)

// deadLetterRoutes need the right to manage: a record's content may hold anything, a customer's data too.
func (h *handler) deadLetterRoutes() []httpapi.Route {
	route := func(method, path string, handle http.HandlerFunc, query ...string) httpapi.Route {
		return httpapi.Route{Method: method, Path: deadLettersPath + path, Query: query, Resource: httpapi.ResourceManage, Handler: handle}
	}
	return []httpapi.Route{
		route(http.MethodGet, "", h.listDeadLetters, "cause", "cursor", "limit", "order", "since", sourceParameter, "state", "topic", "until"),
		route(http.MethodPost, "/redrive", h.redriveDeadLetters),
		route(http.MethodPost, "/discard", h.discardDeadLetters),
		route(http.MethodGet, "/{id}", h.showDeadLetter),
		route(http.MethodGet, "/{id}/value", h.showDeadLetterValue),
		route(http.MethodPost, "/{id}/redrive", h.redriveDeadLetter),
		route(http.MethodPost, "/{id}/discard", h.discardDeadLetter),
	}
}

// deadLetters is one page, the oldest dead letter first.
type deadLetters struct {
	DeadLetters []deadLetter `json:"dead_letters"`
	Next        *string      `json:"next"` // the cursor of the next page; null: this is the last
}

// deadLetter is a dead letter without the content of its record.
type deadLetter struct {
	ID               int64             `json:"id"`
	State            deadletter.State  `json:"state"`
	WrittenAt        string            `json:"written_at"`
	WrittenBy        deadletter.Writer `json:"written_by"`
	Reason           string            `json:"reason"`
	Source           *string           `json:"source"` // null when the key is not that of an order
	OrderIncrementID *string           `json:"order_increment_id"`
	Generation       *int              `json:"stopped_generation"` // null: it has stopped no order
	Redrives         int               `json:"redrives"`           // how often its record was sent back before
	Topic            string            `json:"topic"`              // where the record is, without the prefix
	Partition        int32             `json:"partition"`
	Offset           int64             `json:"offset"`
	Key              string            `json:"key"`
	CeID             string            `json:"ce_id"`
	Bytes            int               `json:"bytes"`
	DecidedBy        *string           `json:"decided_by"`
	DecidedAt        *string           `json:"decided_at"`
	Decision         *string           `json:"decision"`
}

// deadLetterOf is a dead letter as the answers show it. A key that is no order's is shown as it is, without source and order.
func deadLetterOf(e deadletter.Entry) deadLetter {
	out := deadLetter{
		ID: e.ID, State: e.State, WrittenAt: e.WrittenAt.Format(timelineTime), WrittenBy: e.By, Reason: e.Reason, Generation: e.Generation, Redrives: e.Redrives,
		Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, Key: e.OrderKey, CeID: e.CeID, Bytes: e.Bytes,
		DecidedBy: e.DecidedBy, Decision: e.Decision,
	}
	if ref, err := domain.ParseKey(e.OrderKey); err == nil {
		out.Source, out.OrderIncrementID = &ref.Source, &ref.IncrementID
	}
	if e.DecidedAt != nil {
		out.DecidedAt = new(e.DecidedAt.In(time.UTC).Format(timelineTime))
	}
	return out
}

// deadLetterRecord is a dead letter with the content of its record. It may hold the data of a customer.
type deadLetterRecord struct {
	deadLetter

	Headers map[string]string `json:"headers"`
	Value   json.RawMessage   `json:"value,omitempty"`
	Bytes   []byte            `json:"value_base64,omitempty"` // in place of a value that is not JSON
}

// listDeadLetters answers from Postgres alone, so that the list is there while Kafka is away.
func (h *handler) listDeadLetters(w http.ResponseWriter, r *http.Request) {
	f, wrong := deadLetterFilter(r)
	if len(wrong) > 0 {
		httpapi.RefuseQuery(w, wrong)
		return
	}
	entries, more, err := deadletter.List(r.Context(), h.pool, f)
	if err != nil {
		h.deadLetterFailed(w, r, err)
		return
	}
	page := deadLetters{DeadLetters: make([]deadLetter, 0, len(entries))}
	for _, e := range entries {
		page.DeadLetters = append(page.DeadLetters, deadLetterOf(e))
	}
	if more {
		page.Next = new(strconv.FormatInt(entries[len(entries)-1].ID, 10))
	}
	problem.JSON(w, http.StatusOK, page)
}

// deadLetterFilter reads the query. Without a state it asks for the open ones: those are what an operator has to decide.
func deadLetterFilter(r *http.Request) (f deadletter.Filter, wrong []problem.FieldError) {
	p := httpapi.ParametersOf(r)
	f, wrong = deadletter.Words{
		State: p.Text("state"), Topic: p.Text("topic"), Cause: p.Text("cause"), Source: p.Text(sourceParameter), Order: p.Text("order"),
		Since: p.Text("since"), Until: p.Text("until"),
	}.Filter()
	f.Limit = p.Int("limit", deadLetterPage, 1, maxDeadLetterPage)
	if text := p.Text("cursor"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			p.Refuse("cursor", problem.CodeInvalid, fmt.Sprintf("is %.100q, which is none; give the next of an earlier page, or leave it out to begin with the oldest", text))
		}
		f.After = n
	}
	if r.URL.Query().Has(sourceParameter) && p.Text(sourceParameter) == "" {
		p.Refuse(sourceParameter, problem.CodeInvalid, checkSource("").Error())
	}
	return f, append(p.Wrong, wrong...)
}

// readDeadLetter reads the dead letter that the path names; ok is false when it has answered with a problem.
func (h *handler) readDeadLetter(w http.ResponseWriter, r *http.Request) (e deadletter.Entry, ok bool) {
	id, err := strconv.ParseInt(mux.Vars(r)["id"], 10, 64)
	if err != nil {
		err = deadletter.ErrUnknown
	} else {
		e, err = deadletter.Get(r.Context(), h.pool, id)
	}
	if err != nil {
		h.deadLetterFailed(w, r, err)
	}
	return e, err == nil
}

// showDeadLetter answers with the record itself.
func (h *handler) showDeadLetter(w http.ResponseWriter, r *http.Request) {
	e, record, ok := h.fetchDeadLetter(w, r)
	if !ok {
		return
	}
	out := deadLetterRecord{deadLetter: deadLetterOf(e), Headers: kafka.Headers(record)}
	if json.Valid(record.Value) {
		out.Value = record.Value
	} else {
		out.Bytes = record.Value
	}
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusOK, out)
}

// showDeadLetterValue answers with the record's value, byte for byte, as JSON in JSON loses the spaces between its words.
func (h *handler) showDeadLetterValue(w http.ResponseWriter, r *http.Request) {
	_, record, ok := h.fetchDeadLetter(w, r)
	if !ok {
		return
	}
	httpapi.WriteBytesHead(w, len(record.Value))
	_, _ = w.Write(record.Value) // an error here means that the client has left
}

// fetchDeadLetter reads the dead letter that the path names, and its record from Kafka. It is logged who has seen it. ok is false when it has
// answered with a problem.
func (h *handler) fetchDeadLetter(w http.ResponseWriter, r *http.Request) (e deadletter.Entry, record *kgo.Record, ok bool) {
	if e, ok = h.readDeadLetter(w, r); !ok {
		return e, nil, false
	}
	record, err := deadletter.Fetch(r.Context(), h.kafka, e.Letter)
	if err != nil {
		h.topicFailed(w, r, err)
		return e, nil, false
	}
	h.log.Info("dead letter shown", "dead_letter", e.ID, "by", requester(r))
	return e, record, true
}

// redriveDeadLetter sends the record back to its topic. The answer is 202: what its reader makes of it is seen in the order's status.
func (h *handler) redriveDeadLetter(w http.ResponseWriter, r *http.Request) {
	e, ok := h.readDeadLetter(w, r)
	if !ok {
		return
	}
	h.decideDeadLetter(w, r, e, redrives, http.StatusAccepted, func(ctx context.Context, a orders.DeadLetterRequest) (deadletter.Entry, error) {
		return h.orders.Redrive(ctx, h.kafka, a)
	})
}

// discardDeadLetter decides that the record is not needed. It stays in its topic; an order that it has stopped stays failed.
func (h *handler) discardDeadLetter(w http.ResponseWriter, r *http.Request) {
	e, ok := h.readDeadLetter(w, r)
	if !ok {
		return
	}
	h.decideDeadLetter(w, r, e, discards, http.StatusOK, h.orders.Discard)
}

// decideDeadLetter reads the reason, decides, and answers. A letter that is unknown was answered with 404 before, whatever the body.
func (h *handler) decideDeadLetter(w http.ResponseWriter, r *http.Request, e deadletter.Entry, format bodyFormat, status int,
	decide func(context.Context, orders.DeadLetterRequest) (deadletter.Entry, error),
) {
	a, ok := readDecision(w, r, e.ID, format)
	if !ok {
		return
	}
	e, err := decide(r.Context(), a)
	if err != nil {
		h.deadLetterFailed(w, r, err)
		return
	}
	h.log.Info("dead letter decided", "dead_letter", e.ID, "state", e.State, "by", requester(r))
	problem.JSON(w, status, deadLetterOf(e))
}

// redrives and discards take no unknown members.
var (
	redrives = bodyFormat{
		shape: strictjson.Members("reason", "force").Closed(), example: `{"reason": "the cause is gone"}`, refused: "request_refused",
	}
	discards = bodyFormat{
		shape: strictjson.Members("reason").Closed(), example: `{"reason": "no use"}`, refused: "request_refused",
	}
)

// readDecision reads a decision about a dead letter; ok is false when it has answered with a problem.
func readDecision(w http.ResponseWriter, r *http.Request, id int64, format bodyFormat) (a orders.DeadLetterRequest, ok bool) {
	var body struct {
		Reason string `json:"reason"`
		Force  bool   `json:"force"`
	}
	raw, ok := readBody(w, r, maxRequestBytes)
	if !ok || !format.decode(w, raw, &body) {
		return a, false
	}
	a = orders.DeadLetterRequest{ID: id, Who: requester(r), Reason: body.Reason, Force: body.Force, Traceparent: r.Header.Get(event.HeaderTraceparent)}
	if wrong := a.Check(); len(wrong) > 0 {
		format.refuse(w, wrong)
		return a, false
	}
	return a, true
}

// deadLetterFailed answers what went wrong, by its kind. Each code tells a program whether to ask again: only 503 may be repeated.
func (h *handler) deadLetterFailed(w http.ResponseWriter, r *http.Request, err error) {
	var refused *orders.DeadLetterError
	switch {
	case errors.Is(err, deadletter.ErrUnknown):
		problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "dead_letter_not_found", Detail: "there is no such dead letter: GET " + deadLettersPath + " lists them"})
	case errors.As(err, &refused):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "dead_letter_refused", Detail: refused.Why})
	case errors.Is(err, orders.ErrDisabled):
		writeDisabled(w, domain.OrderRef{})
	case errors.Is(err, orders.ErrTopic):
		h.topicFailed(w, r, err)
	default:
		httpapi.Failed(w, r, h.log, "dead letters not answered", err, problem.Problem{
			Code: "database_unavailable", Detail: "the database does not answer; look at the letter's state, then ask again",
		})
	}
}

// topicFailed answers that the record could not be read from Kafka, or is not there, and that nothing was done.
func (h *handler) topicFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, deadletter.ErrGone) {
		problem.Write(w, problem.Problem{Status: http.StatusGone, Code: "record_gone", Detail: "nothing was done: " + err.Error()})
		return
	}
	httpapi.Failed(w, r, h.log, "dead letter not read from Kafka", err, problem.Problem{
		Code: "kafka_unavailable", Detail: "the dead-letter topic could not be read, so nothing was done: the log says why",
	})
}
