package ingest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/jsonbody"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// bulkSends and bulkDiscards select by the words of the list.
var (
	bulkWords = append(slices.Clone(quarantine.SelectingWords), "cursor", "limit", "dry_run")
	bulkSends = jsonbody.Format{
		Shape: strictjson.Members(bulkWords...).Closed(), Example: `{"code": "unknown_order", "dry_run": true}`, Refused: "request_refused",
	}
	bulkDiscards = jsonbody.Format{
		Shape:   strictjson.Members(append(slices.Clone(bulkWords), "reason")...).Closed(),
		Example: `{"event_id": "test-1", "dry_run": true}`, Refused: "request_refused",
	}
)

// bulkRequest is a decision about the open entries that words select.
type bulkRequest struct {
	quarantine.Words

	Cursor string `json:"cursor"`
	Limit  *int   `json:"limit"`
	DryRun bool   `json:"dry_run"`
	Reason string `json:"reason"`

	filter quarantine.Filter
}

// quarantineBulk is what became of the entries that were selected, or would become.
type quarantineBulk struct {
	DryRun   bool                   `json:"dry_run"`
	Selected int64                  `json:"selected"` // by the words, among the 10,000 entries after cursor
	Next     *string                `json:"next"`     // the cursor of those that limit left out; null: there are none
	Results  []quarantineBulkResult `json:"results"`
}

// quarantineBulkResult is what became of one entry.
type quarantineBulkResult struct {
	ID     int64  `json:"id"`
	Result string `json:"result"` // accepted, duplicate, refused, conflict; discarded; skipped: somebody else is deciding about it
	entryNames

	Errors []problem.FieldError `json:"errors,omitempty"`
}

type entryNames struct {
	Source           string  `json:"source"`
	EventID          *string `json:"event_id"`
	OrderIncrementID *string `json:"order_increment_id"`
}

// skipped is the result of an entry that somebody else is deciding about.
const skipped = "skipped"

func (h *handler) sendSelected(w http.ResponseWriter, r *http.Request) {
	b, page, ok := h.selected(w, r, bulkSends, func(bulkRequest) []problem.FieldError { return nil })
	if !ok {
		return
	}
	sent, err := h.sender(r.Context(), b.DryRun).Send(r.Context(), idsOf(page.Entries))
	if !b.DryRun {
		h.logSent(r.Context(), sent, false)
	}
	if err != nil {
		h.quarantineFailed(w, r, err)
		return
	}
	results := map[int64]accept.Result{}
	for _, s := range sent {
		results[s.ID] = s.Result
	}
	answerBulk(w, b, page, func(id int64) (string, []problem.FieldError) {
		return string(results[id].Result), results[id].Errors
	})
}

func (h *handler) discardSelected(w http.ResponseWriter, r *http.Request) {
	b, page, ok := h.selected(w, r, bulkDiscards, func(b bulkRequest) []problem.FieldError {
		if b.DryRun {
			return nil
		}
		return checkReason(b.Reason)
	})
	if !ok {
		return
	}
	done := idsOf(page.Entries)
	if !b.DryRun {
		var err error
		done, err = quarantine.Discard(r.Context(), h.pool, done, httpapi.BoundSource(r.Context()), httpapi.Requester(r.Context()), b.Reason)
		h.logDiscarded(r.Context(), done)
		if err != nil {
			h.quarantineFailed(w, r, err)
			return
		}
	}
	answerBulk(w, b, page, func(id int64) (string, []problem.FieldError) {
		if slices.Contains(done, id) {
			return string(quarantine.Discarded), nil
		}
		return "", nil
	})
}

func idsOf(entries []quarantine.Entry) []int64 {
	ids := make([]int64, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	return ids
}

// answerBulk answers with the result of each entry; an empty one means that it was skipped.
func answerBulk(w http.ResponseWriter, b bulkRequest, page quarantine.Page, resultOf func(id int64) (string, []problem.FieldError)) {
	out := quarantineBulk{DryRun: b.DryRun, Selected: page.Selected, Next: cursorOf(page), Results: make([]quarantineBulkResult, 0, len(page.Entries))}
	for _, e := range page.Entries {
		result, errors := resultOf(e.ID)
		q := quarantinedOf(e)
		out.Results = append(out.Results, quarantineBulkResult{
			ID: e.ID, Result: cmp.Or(result, skipped), entryNames: entryNames{q.Source, q.EventID, q.OrderIncrementID}, Errors: errors,
		})
	}
	problem.JSON(w, http.StatusOK, out)
}

// selected reads which entries are selected; more finds what else is wrong with the request. ok is false when it has answered with a
// problem.
func (h *handler) selected(w http.ResponseWriter, r *http.Request, format jsonbody.Format, more func(bulkRequest) []problem.FieldError) (
	b bulkRequest, page quarantine.Page, ok bool,
) {
	raw, ok := jsonbody.Read(w, r, maxDecisionBytes)
	if !ok || !format.Decode(w, raw, &b) {
		return b, page, false
	}
	if wrong := append(b.check(raw, httpapi.BoundSource(r.Context())), more(b)...); len(wrong) > 0 {
		format.Refuse(w, wrong)
		return b, page, false
	}
	if !mayTouch(w, r, b.filter.Source) {
		return b, page, false
	}
	page, err := quarantine.List(r.Context(), h.pool, b.filter)
	if err != nil {
		h.quarantineFailed(w, r, err)
	}
	return b, page, err == nil
}

// check reads the words, as those of a token for the shop bound, and finds what is wrong with them.
func (b *bulkRequest) check(raw []byte, bound string) (wrong []problem.FieldError) {
	isEmpty := b.IsEmpty()
	b.Source = cmp.Or(b.Source, bound)
	b.filter, wrong = b.Filter()
	for i := range wrong {
		wrong[i].Pointer, wrong[i].Parameter = "/"+wrong[i].Parameter, ""
	}
	var given map[string]any
	_ = json.Unmarshal(raw, &given) // it is JSON by now
	for _, name := range quarantine.SelectingWords {
		if given[name] == "" { // it is more likely an unfilled template than all
			wrong = append(wrong, problem.FieldError{Pointer: "/" + name, Code: problem.CodeInvalid, Detail: "is empty; leave it out to select all"})
		}
	}
	if isEmpty {
		wrong = append(wrong, problem.FieldError{
			Pointer: "/code", Code: problem.CodeRequired,
			Detail: "is required, or another word that selects entries: door, source, order, event_id, text, since or until",
		})
	}
	var err error
	if b.filter.After, err = readCursor(b.Cursor); err != nil {
		wrong = append(wrong, problem.FieldError{Pointer: "/cursor", Code: problem.CodeInvalid, Detail: err.Error()})
	}
	if b.filter.Limit = quarantinePage; b.Limit != nil {
		b.filter.Limit = *b.Limit
	}
	if b.filter.Limit < 1 || b.filter.Limit > maxQuarantinePage {
		wrong = append(wrong, problem.FieldError{
			Pointer: "/limit", Code: problem.CodeRange, Detail: fmt.Sprintf("is %d; it must be a whole number from 1 to %d", b.filter.Limit, maxQuarantinePage),
		})
	}
	return wrong
}
