package ingest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

const (
	quarantinePath    = httpapi.BasePath + "/quarantine"
	quarantinePage    = 100
	maxQuarantinePage = 500
	quarantineTime    = "2006-01-02T15:04:05.000Z07:00"
)

// quarantineRoutes show what was refused, and decide about it. An event holds personal data, and needs the right to manage.
func (h *handler) quarantineRoutes() []httpapi.Route {
	route := func(method, path string, resource httpapi.Resource, handle http.HandlerFunc, query ...string) httpapi.Route {
		return httpapi.Route{Method: method, Path: quarantinePath + path, Query: query, Resource: resource, BySource: true, Handler: handle}
	}
	words := append(slices.Clone(quarantine.SelectingWords), "state", "cursor", "limit")
	return []httpapi.Route{
		route(http.MethodGet, "", httpapi.ResourceViewStatus, h.listQuarantine, words...),
		route(http.MethodGet, "/counts", httpapi.ResourceViewStatus, h.countQuarantine, "source", "state"),
		route(http.MethodPost, "/send", httpapi.ResourceManage, h.sendSelected),
		route(http.MethodPost, "/discard", httpapi.ResourceManage, h.discardSelected),
		route(http.MethodGet, "/{id:[0-9]+}", httpapi.ResourceViewStatus, h.showQuarantined),
		route(http.MethodGet, "/{id:[0-9]+}/event", httpapi.ResourceManage, h.showQuarantinedEvent),
		route(http.MethodPost, "/{id:[0-9]+}/send", httpapi.ResourceManage, h.sendQuarantined),
		route(http.MethodPost, "/{id:[0-9]+}/discard", httpapi.ResourceManage, h.discardQuarantined),
	}
}

// quarantineEntry is an entry without its event.
type quarantineEntry struct {
	ID               int64                `json:"id"`
	Door             quarantine.Door      `json:"door"`
	State            quarantine.State     `json:"state"`
	Source           string               `json:"source"`
	EventID          *string              `json:"event_id"`           // null when the event has none that can be read
	OrderIncrementID *string              `json:"order_increment_id"` // null when it names no order that can be read
	Code             string               `json:"code"`               // the reason: refused, conflict, unknown_order, too_large or failed
	Errors           []problem.FieldError `json:"errors"`
	Tries            int                  `json:"tries"`
	Since            string               `json:"since"` // published (outbox), or refused for the first time (http)
	LastRefusedAt    string               `json:"last_refused_at"`
	Bytes            int                  `json:"bytes"`
	DiscardedAt      *string              `json:"discarded_at"` // the last time; null: never
	DiscardedBy      *string              `json:"discarded_by"`
	DiscardReason    *string              `json:"discard_reason"`
}

func quarantinedOf(e quarantine.Entry) quarantineEntry {
	out := quarantineEntry{
		ID: e.ID, Door: e.Door, State: e.State, Source: e.Source, Code: string(e.Code), Errors: e.Problems, Tries: e.Tries,
		Since: e.PublishedAt.UTC().Format(quarantineTime), LastRefusedAt: e.QuarantinedAt.UTC().Format(quarantineTime), Bytes: e.Bytes,
		DiscardedBy: e.DiscardedBy, DiscardReason: e.DiscardReason,
	}
	if e.EventID != "" {
		out.EventID = &e.EventID
	}
	if ref, err := domain.ParseKey(e.AboutOrder); e.AboutOrder != "" && err == nil {
		out.OrderIncrementID = &ref.IncrementID
	}
	if e.DiscardedAt != nil {
		out.DiscardedAt = new(e.DiscardedAt.UTC().Format(quarantineTime))
	}
	return out
}

// quarantineList is one page, the oldest entry first.
type quarantineList struct {
	Entries []quarantineEntry `json:"entries"`
	Next    *string           `json:"next"` // the cursor of the next page; null: this is the last
}

func (h *handler) listQuarantine(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	words := quarantine.Words{
		State: p.Text("state"), Door: p.Text("door"), Source: p.Text("source"), Code: p.Text("code"), Order: p.Text("order"),
		EventID: p.Text("event_id"), Text: p.Text("text"), Since: p.Text("since"), Until: p.Text("until"),
	}
	for _, name := range quarantine.SelectingWords {
		if p.Has(name) && p.Text(name) == "" {
			p.Refuse(name, problem.CodeInvalid, "is empty; leave it out to select all")
		}
	}
	words.Source = cmp.Or(words.Source, httpapi.BoundSource(r.Context()))
	f, wrong := words.Filter()
	f.Limit = p.Int("limit", quarantinePage, 1, maxQuarantinePage)
	var err error
	if f.After, err = readCursor(p.Text("cursor")); err != nil {
		p.Refuse("cursor", problem.CodeInvalid, err.Error())
	}
	if wrong = append(p.Wrong, wrong...); len(wrong) > 0 {
		httpapi.RefuseQuery(w, wrong)
		return
	}
	if !mayTouch(w, r, f.Source) {
		return
	}
	page, err := quarantine.List(r.Context(), h.pool, f)
	if err != nil {
		h.quarantineFailed(w, r, err)
		return
	}
	out := quarantineList{Entries: make([]quarantineEntry, 0, len(page.Entries)), Next: cursorOf(page)}
	for _, e := range page.Entries {
		out.Entries = append(out.Entries, quarantinedOf(e))
	}
	problem.JSON(w, http.StatusOK, out)
}

// readCursor reads the next of an earlier answer; an empty text is the beginning.
func readCursor(text string) (after int64, err error) {
	if text == "" {
		return 0, nil
	}
	after, err = strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, fmt.Errorf("is %.100q, which is none; give the next of an earlier answer, or leave it out to begin with the oldest", text)
	}
	return after, nil
}

func cursorOf(p quarantine.Page) *string {
	if p.Next == 0 {
		return nil
	}
	return new(strconv.FormatInt(p.Next, 10))
}

// mayTouch reports whether the token of a request may see and change entries of a shop (empty: of all); when not, it has answered with a
// problem.
func mayTouch(w http.ResponseWriter, r *http.Request, source string) bool {
	bound := httpapi.BoundSource(r.Context())
	if bound == "" || bound == source {
		return true
	}
	problem.Write(w, problem.Problem{
		Status: http.StatusForbidden, Code: "forbidden", Source: source,
		Detail: fmt.Sprintf("nothing was done: the token %q is for the shop %s only", httpapi.Requester(r.Context()), bound),
	})
	return false
}

// quarantineCounts are how many entries there are, and why.
type quarantineCounts struct {
	Total  int64            `json:"total"`
	ByDoor map[string]int64 `json:"by_door"`
	ByCode map[string]int64 `json:"by_code"`
}

func (h *handler) countQuarantine(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	source := cmp.Or(p.Text("source"), httpapi.BoundSource(r.Context()))
	state := quarantine.State(cmp.Or(p.Text("state"), string(quarantine.Open)))
	if state != quarantine.Open && state != quarantine.Discarded {
		p.Refuse("state", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be open (which it is when left out) or discarded", state))
	}
	if p.Has("source") {
		if err := domain.ValidateKnownSource(p.Text("source")); err != nil {
			p.Refuse("source", problem.CodeInvalid, err.Error())
		}
	}
	if len(p.Wrong) > 0 {
		httpapi.RefuseQuery(w, p.Wrong)
		return
	}
	if !mayTouch(w, r, source) {
		return
	}
	counts, err := quarantine.Counts(r.Context(), h.pool, state, source)
	if err != nil {
		h.quarantineFailed(w, r, err)
		return
	}
	out := quarantineCounts{ByDoor: map[string]int64{}, ByCode: map[string]int64{}}
	for _, c := range counts {
		out.Total += c.Entries
		out.ByDoor[string(c.Door)] += c.Entries
		out.ByCode[string(c.Code)] += c.Entries
	}
	problem.JSON(w, http.StatusOK, out)
}

// shownEntry is an entry with its event.
type shownEntry struct {
	quarantineEntry

	Event    json.RawMessage `json:"event,omitempty"`
	Bytes    []byte          `json:"event_base64,omitempty"` // in place of an event that is not JSON
	Withheld string          `json:"withheld,omitempty"`     // why the event is not shown
}

// showQuarantined shows the event itself to who may manage. It is logged who has seen it, and no cache may keep it.
func (h *handler) showQuarantined(w http.ResponseWriter, r *http.Request) {
	id := entryID(r)
	e, err := quarantine.Get(r.Context(), h.pool, id, httpapi.BoundSource(r.Context()), event.MaxEventBytes)
	if err != nil {
		h.quarantineFailed(w, r, err)
		return
	}
	out := shownEntry{quarantineEntry: quarantinedOf(e)}
	switch {
	case !httpapi.Holds(r.Context(), httpapi.ResourceManage):
		out.Withheld = "the event holds personal data: it needs " + string(httpapi.ResourceManage)
	case e.Bytes > event.MaxEventBytes:
		out.Withheld = fmt.Sprintf("the event has %d bytes: GET %s/%d/event answers it", e.Bytes, quarantinePath, id)
	case json.Valid(e.Payload) && utf8.Valid(e.Payload):
		out.Event = e.Payload
	default:
		out.Bytes = e.Payload
	}
	if out.Withheld == "" {
		h.log.Info("quarantined event shown", "entry", id, "by", httpapi.Requester(r.Context()))
		w.Header().Set("Cache-Control", "no-store")
	}
	problem.JSON(w, http.StatusOK, out)
}

// showQuarantinedEvent answers the event itself, byte for byte and whatever its size, as JSON in JSON loses the spaces between its words. The
// length is said first, so that who gets less of it knows.
func (h *handler) showQuarantinedEvent(w http.ResponseWriter, r *http.Request) {
	id := entryID(r)
	e, err := quarantine.Get(r.Context(), h.pool, id, httpapi.BoundSource(r.Context()), event.MaxEventBytes)
	if err != nil {
		h.quarantineFailed(w, r, err)
		return
	}
	h.log.Info("quarantined event shown", "entry", id, "by", httpapi.Requester(r.Context()))
	httpapi.WriteBytesHead(w, e.Bytes)
	_, err = w.Write(e.Payload)
	for sent := len(e.Payload); err == nil && sent < e.Bytes; {
		var part []byte
		if part, err = quarantine.PartOf(r.Context(), h.pool, id, sent); err == nil {
			_, err = w.Write(part)
			sent += len(part)
		}
	}
	if err != nil && r.Context().Err() == nil {
		h.log.Warn("quarantined event not sent whole", "entry", id, "error", err)
	}
}

// entryID is the id in the path; 0, which no entry has, when it has too many digits.
func entryID(r *http.Request) int64 {
	id, err := strconv.ParseInt(mux.Vars(r)["id"], 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// quarantineFailed answers what went wrong. Each code tells a program whether to ask again: only 503 may be repeated.
func (h *handler) quarantineFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, quarantine.ErrNotThere) {
		problem.Write(w, problem.Problem{
			Status: http.StatusNotFound, Code: "quarantine_entry_not_found",
			Detail: "there is no such entry in the quarantine: its event may have been accepted, or it expired. GET " + quarantinePath + " lists them",
		})
		return
	}
	httpapi.Failed(w, r, h.log, "quarantine not read", err, problem.Problem{
		Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether anything was done; ask again",
	})
}
