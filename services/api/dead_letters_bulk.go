package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// bulkRedrives and bulkDiscards select by the words of the list.
var (
	bulkRedrives = bodyFormat{
		shape:   strictjson.Members("topic", "cause", "source", "order", "since", "until", "cursor", "limit", "dry_run", "reason", "force").Closed(),
		example: `{"cause": "no JSON", "dry_run": true}`, refused: "request_refused",
	}
	bulkDiscards = bodyFormat{
		shape:   strictjson.Members("topic", "cause", "source", "order", "since", "until", "cursor", "limit", "dry_run", "reason").Closed(),
		example: `{"cause": "no JSON", "dry_run": true}`, refused: "request_refused",
	}
)

// bulkAnswer is what was done about the dead letters that were selected, or would be.
type bulkAnswer struct {
	DryRun      bool             `json:"dry_run"`
	Selected    int64            `json:"selected"` // by the words, after cursor
	Next        *string          `json:"next"`     // the cursor of those that limit left out; null: there are none
	DeadLetters []bulkDeadLetter `json:"dead_letters"`
}

type bulkDeadLetter struct {
	deadLetter

	Refused *string `json:"refused"` // why nothing was done, or would be
}

func (h *handler) redriveDeadLetters(w http.ResponseWriter, r *http.Request) {
	h.decideDeadLetters(w, r, bulkRedrives, func(ctx context.Context, b orders.Bulk) (orders.BulkResult, error) {
		return h.orders.RedriveAll(ctx, h.kafka, b)
	})
}

func (h *handler) discardDeadLetters(w http.ResponseWriter, r *http.Request) {
	h.decideDeadLetters(w, r, bulkDiscards, h.orders.DiscardAll)
}

func (h *handler) decideDeadLetters(w http.ResponseWriter, r *http.Request, format bodyFormat, decide func(context.Context, orders.Bulk) (orders.BulkResult, error)) {
	b, ok := readBulk(w, r, format)
	if !ok {
		return
	}
	result, err := decide(r.Context(), b)
	if !b.DryRun {
		for _, l := range result.Letters {
			if l.Refused == "" {
				h.log.Info("dead letter decided", "dead_letter", l.ID, "state", l.State, "by", requester(r))
			}
		}
	}
	if err != nil {
		h.deadLetterFailed(w, r, err)
		return
	}
	out := bulkAnswer{DryRun: b.DryRun, Selected: result.Selected, DeadLetters: make([]bulkDeadLetter, 0, len(result.Letters))}
	for _, l := range result.Letters {
		one := bulkDeadLetter{deadLetter: deadLetterOf(l.Entry)}
		if l.Refused != "" {
			one.Refused = &l.Refused
		}
		out.DeadLetters = append(out.DeadLetters, one)
	}
	if result.More {
		out.Next = new(strconv.FormatInt(result.Letters[len(result.Letters)-1].ID, 10))
	}
	problem.JSON(w, http.StatusOK, out)
}

// readBulk reads a decision about dead letters that words select; ok is false when it has answered with a problem.
func readBulk(w http.ResponseWriter, r *http.Request, format bodyFormat) (b orders.Bulk, ok bool) {
	var body struct {
		deadletter.Words

		Cursor string `json:"cursor"`
		Limit  *int   `json:"limit"`
		DryRun bool   `json:"dry_run"`
		Reason string `json:"reason"`
		Force  bool   `json:"force"`
	}
	raw, ok := readBody(w, r, maxRequestBytes)
	if !ok || !format.decode(w, raw, &body) {
		return b, false
	}
	b = orders.Bulk{DryRun: body.DryRun, DeadLetterRequest: orders.DeadLetterRequest{
		Who: requester(r), Reason: body.Reason, Force: body.Force, Traceparent: r.Header.Get(event.HeaderTraceparent),
	}}
	var wrong []problem.FieldError
	b.Filter, wrong = body.Filter()
	for i := range wrong {
		wrong[i].Pointer, wrong[i].Parameter = "/"+wrong[i].Parameter, ""
	}
	wrong = append(wrong, emptyWords(raw)...)
	if body.IsEmpty() {
		wrong = append(wrong, problem.FieldError{Pointer: "/cause", Code: problem.CodeRequired, Detail: "is required, or another word that selects dead letters: topic, source, order, since or until"})
	}
	if body.Cursor != "" {
		after, err := strconv.ParseInt(body.Cursor, 10, 64)
		if b.Filter.After = after; err != nil || after < 0 {
			wrong = append(wrong, problem.FieldError{Pointer: "/cursor", Code: problem.CodeInvalid, Detail: "is none; give the next of an earlier answer, or leave it out to begin with the oldest"})
		}
	}
	if b.Filter.Limit = deadLetterPage; body.Limit != nil {
		b.Filter.Limit = *body.Limit
	}
	if b.Filter.Limit < 1 || b.Filter.Limit > maxDeadLetterPage {
		wrong = append(wrong, problem.FieldError{Pointer: "/limit", Code: problem.CodeRange, Detail: fmt.Sprintf("is %d; it must be a whole number from 1 to %d", b.Filter.Limit, maxDeadLetterPage)})
	}
	if !b.DryRun {
		wrong = append(wrong, b.Check()...)
	}
	if len(wrong) > 0 {
		format.refuse(w, wrong)
		return b, false
	}
	return b, true
}

// emptyWords refuses an empty word: it is more likely an unfilled template than all.
func emptyWords(raw []byte) (wrong []problem.FieldError) {
	var given map[string]any
	_ = json.Unmarshal(raw, &given) // it is JSON by now
	for _, name := range deadletter.SelectingWords {
		if given[name] == "" {
			wrong = append(wrong, problem.FieldError{Pointer: "/" + name, Code: problem.CodeInvalid, Detail: "is empty; leave it out to select all"})
		}
	}
	return wrong
}
