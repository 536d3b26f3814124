package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

const (
	syncsPath     = httpapi.BasePath + "/syncs"
	syncsPage     = 100
	maxSyncsPage  = 500
	maxGroupsPage = 500
)

// The parameters that say which syncs are asked for. Counts and errors know the first ones only.
var (
	countedParameters = []string{sourceParameter, "status"}
	errorParameters   = append(slices.Clone(countedParameters), "error", "error_code", "error_group", "http_status", "limit")
	syncParameters    = append(slices.Clone(errorParameters), "attempts_from", "attempts_to", "created_since", "created_until", "cursor", "email",
		"erp_reference", "fields", "idempotency_key", "order", "order_id", criteriaParameter, "sort", "updated_since", "updated_until")
)

// syncRoutes find syncs. What was sent and answered holds personal data, and needs the right to manage.
func (h *handler) syncRoutes() []httpapi.Route {
	route := func(path string, handle http.HandlerFunc, query ...string) httpapi.Route {
		return httpapi.Route{Method: http.MethodGet, Path: syncsPath + path, Query: query, Resource: httpapi.ResourceViewStatus, BySource: true, Handler: handle}
	}
	list := route("", h.listSyncs, syncParameters...)
	list.Nested = []string{criteriaParameter}
	personal := func(path string, handle http.HandlerFunc) httpapi.Route {
		r := route(path, handle)
		r.Resource = httpapi.ResourceManage
		return r
	}
	return []httpapi.Route{
		list,
		route("/counts", h.countSyncs, countedParameters...),
		route("/overview", h.showOverview, sourceParameter, "range"),
		route("/errors", h.listErrors, append(slices.Clone(errorParameters), "trend")...),
		route("/{sync:[0-9]+}", h.showSync, "as_of", "fields"),
		route("/{sync:[0-9]+}/events", h.syncEvents, "cursor", "limit"),
		personal("/{sync:[0-9]+}/events/{topic}/{partition:[0-9]+}/{offset:[0-9]+}", h.showRecord),
		personal("/{sync:[0-9]+}/order", h.showOrder),
	}
}

// listedSync is a sync in a list: the members of a status query, and our own.
type listedSync struct {
	status

	IdempotencyKey string  `json:"idempotency_key"`
	Generation     int     `json:"generation"`
	HTTPStatus     *int    `json:"http_status"` // of the answer that is the error
	ErrorCode      *string `json:"error_code"`
	ErrorGroup     *string `json:"error_group"` // of errors of this kind: see /syncs/errors
}

// syncPage is one page of a list.
type syncPage[T any] struct {
	Syncs []T     `json:"syncs"`
	Next  *string `json:"next"` // the cursor of the next page; null: this is the last
}

// shownSync is one sync with what was sent and answered.
type shownSync struct {
	listedSync

	Payload  *string `json:"payload,omitempty"`
	Response *string `json:"response,omitempty"`
	Withheld string  `json:"withheld,omitempty"` // why payload and response are not shown
	AsOf     string  `json:"as_of,omitempty"`    // the time that was asked for: there is what the timeline tells of it
}

func listedOf(s syncs.Sync) listedSync {
	out := listedSync{
		status: status{
			SyncID: s.SyncID, OrderID: s.OrderID, OrderIncrementID: s.OrderIncrementID, Status: s.Status, Attempts: s.Attempts, MaxAttempts: s.MaxAttempts,
			LastAttemptAt: moduleTime(s.LastAttemptAt), NextAttemptAt: moduleTime(s.NextAttemptAt), ErpReference: s.ErpReference, LastError: s.LastError,
			CreatedAt: *moduleTime(&s.CreatedAt), UpdatedAt: *moduleTime(&s.UpdatedAt), Source: s.Source,
		},
		IdempotencyKey: s.IdempotencyKey, Generation: s.Generation, HTTPStatus: s.HTTPStatus, ErrorCode: s.ErrorCode,
	}
	if s.ErrorGroup != nil {
		out.ErrorGroup = new(strconv.FormatInt(*s.ErrorGroup, 10))
	}
	return out
}

// listSyncs answers which syncs match, page by page. A page may be short, or empty, and have a next one all the same.
func (h *handler) listSyncs(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	if hasCriteria(p) {
		h.searchSyncs(w, r, p)
		return
	}
	f := syncFilter(p)
	fields := fieldsOf(p)
	if !taken(w, r, p, &f) {
		return
	}
	page, err := syncs.List(r.Context(), h.pool, f)
	if err != nil {
		h.syncsFailed(w, r, err)
		return
	}
	out := syncPage[any]{Syncs: make([]any, 0, len(page.Syncs))}
	for _, s := range page.Syncs {
		out.Syncs = append(out.Syncs, only(fields, listedOf(s)))
	}
	if page.Next != nil {
		out.Next = new(page.Next.String())
	}
	problem.JSON(w, http.StatusOK, out)
}

// syncFilter reads the query, and notes what is wrong with it.
func syncFilter(p *httpapi.Parameters) syncs.Filter {
	f := syncs.Filter{
		Source: sourceOfList(p), Statuses: statusesOf(p), Order: p.Text("order"), OrderID: p.Int64("order_id"), Email: p.Text("email"),
		ErpReference: p.Text("erp_reference"), Key: p.Text("idempotency_key"),
		ErrorCode: domain.ErrorCode(p.Text("error_code")), Error: p.Text("error"), HTTPStatus: p.Int("http_status", 0, 100, 599), ErrorGroup: p.Int64("error_group"),
		AttemptsFrom: p.Int("attempts_from", 0, 1, 1000), AttemptsTo: p.Int("attempts_to", 0, 1, 1000),
		CreatedSince: p.Time("created_since"), CreatedUntil: p.Time("created_until"), UpdatedSince: p.Time("updated_since"), UpdatedUntil: p.Time("updated_until"),
		Sort: syncs.Sort(p.Text("sort")), Limit: p.Int("limit", syncsPage, 1, maxSyncsPage),
	}
	if f.Sort != "" && !slices.Contains(syncs.Sorts, f.Sort) {
		p.Refuse("sort", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be one of %s", f.Sort, listed(syncs.Sorts)))
		f.Sort = ""
	}
	if text := p.Text("cursor"); text != "" {
		var err error
		if f.After, err = syncs.ParseCursor(text, f.Sort); err != nil {
			p.Refuse("cursor", problem.CodeInvalid, fmt.Sprintf("is %.100q, which %v", text, err))
		}
	}
	for _, span := range []struct {
		until string
		a, b  time.Time
	}{{"created_until", f.CreatedSince, f.CreatedUntil}, {"updated_until", f.UpdatedSince, f.UpdatedUntil}} {
		if !span.a.IsZero() && !span.b.IsZero() && !span.a.Before(span.b) {
			p.Refuse(span.until, problem.CodeInvalid, "is not after "+strings.Replace(span.until, "until", "since", 1)+", so nothing is between them")
		}
	}
	return f
}

// taken reports whether a query can be answered; when not, it has answered with a problem. A token for one shop asks about that shop.
func taken(w http.ResponseWriter, r *http.Request, p *httpapi.Parameters, f *syncs.Filter) bool {
	if len(p.Wrong) > 0 {
		httpapi.RefuseQuery(w, p.Wrong)
		return false
	}
	bound := httpapi.BoundSource(r.Context())
	f.Source = cmp.Or(f.Source, bound)
	return bound == "" || mayTouch(w, r, f.Source)
}

// listed puts names into a sentence.
func listed[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return strings.Join(texts, ", ")
}

// sourceOfList is the shop that a list is about; empty: all.
func sourceOfList(p *httpapi.Parameters) string {
	source := p.Text(sourceParameter)
	if !p.Has(sourceParameter) {
		return ""
	}
	if source == "" {
		p.Refuse(sourceParameter, problem.CodeInvalid, "is empty; leave it out for all shops")
	} else if err := domain.ValidateKnownSource(source); err != nil {
		p.Refuse(sourceParameter, problem.CodeInvalid, err.Error())
	}
	return source
}

// statusesOf reads statuses with commas between them.
func statusesOf(p *httpapi.Parameters) (out []domain.Status) {
	if p.Text("status") == "" {
		return nil
	}
	for _, name := range strings.Split(p.Text("status"), ",") {
		if !slices.Contains(domain.Statuses, domain.Status(name)) {
			p.Refuse("status", problem.CodeInvalid, fmt.Sprintf("has %.100q; give one or more of %s, with commas between them", name, listed(domain.Statuses)))
			return nil
		}
		out = append(out, domain.Status(name))
	}
	return out
}

// fieldsOf are the members that are asked for; nil: all.
func fieldsOf(p *httpapi.Parameters) []string {
	if p.Text("fields") == "" {
		return nil
	}
	known := membersOf(reflect.TypeFor[listedSync]())
	fields := strings.Split(p.Text("fields"), ",")
	for _, name := range fields {
		if !slices.Contains(known, name) {
			p.Refuse("fields", problem.CodeUnknown, fmt.Sprintf("has %.100q, which is no member: %s", name, spelling.Hint(name, known)))
		}
	}
	return fields
}

// membersOf are the names of a struct's JSON members.
func membersOf(t reflect.Type) (names []string) {
	for field := range t.Fields() {
		if field.Anonymous {
			names = append(names, membersOf(field.Type)...)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// only is a value with these members, in the order of the names; nil: all.
func only(fields []string, value any) any {
	if fields == nil {
		return value
	}
	text, err := json.Marshal(value)
	if err != nil {
		return value
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return value
	}
	out := map[string]json.RawMessage{}
	for _, name := range fields {
		if member, there := members[name]; there {
			out[name] = member
		}
	}
	return out
}

// syncCounts are how many syncs there are, and where.
type syncCounts struct {
	Total    int64            `json:"total"`
	ByStatus map[string]int64 `json:"by_status"`
	BySource []sourceCounts   `json:"by_source"`
	Note     string           `json:"note,omitempty"` // why the numbers may be wrong at the moment
}

type sourceCounts struct {
	Source   string           `json:"source"`
	Total    int64            `json:"total"`
	ByStatus map[string]int64 `json:"by_status"`
}

// countSyncs answers from counts that the projector keeps, so it costs the same however many syncs there are.
func (h *handler) countSyncs(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	f := syncs.Filter{Source: sourceOfList(p), Statuses: statusesOf(p)}
	if !taken(w, r, p, &f) {
		return
	}
	counts, ready, err := syncs.Counts(r.Context(), h.pool, f)
	if err != nil {
		h.syncsFailed(w, r, err)
		return
	}
	out := syncCounts{ByStatus: map[string]int64{}, BySource: []sourceCounts{}}
	for _, c := range counts {
		last := len(out.BySource) - 1
		if last < 0 || out.BySource[last].Source != c.Source {
			out.BySource = append(out.BySource, sourceCounts{Source: c.Source, ByStatus: map[string]int64{}})
			last++
		}
		out.Total += c.Syncs
		out.ByStatus[string(c.Status)] += c.Syncs
		out.BySource[last].Total += c.Syncs
		out.BySource[last].ByStatus[string(c.Status)] = c.Syncs
	}
	if !ready {
		out.Note = "the syncs are being counted; ask again in a moment"
	}
	problem.JSON(w, http.StatusOK, out)
}

// readSync reads the sync that the path names; ok is false when it has answered with a problem.
func (h *handler) readSync(w http.ResponseWriter, r *http.Request) (s syncs.Sync, ok bool) {
	id, err := strconv.ParseInt(mux.Vars(r)["sync"], 10, 64)
	if err != nil {
		err = syncs.ErrUnknown
	} else {
		s, err = syncs.Get(r.Context(), h.pool, id)
	}
	if bound := httpapi.BoundSource(r.Context()); err == nil && bound != "" && bound != s.Source {
		s, err = syncs.Sync{}, syncs.ErrUnknown // another shop's numbers are none of its business
	}
	if err != nil {
		h.syncsFailed(w, r, err)
	}
	return s, err == nil
}

// showSync answers one sync. No cache may keep what was sent and answered.
func (h *handler) showSync(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	fields, at := fieldsOf(p), p.Time("as_of")
	if fields != nil && p.Has("as_of") {
		p.Refuse("fields", problem.CodeMisplaced, "does not go with as_of")
	}
	if len(p.Wrong) > 0 {
		httpapi.RefuseQuery(w, p.Wrong)
		return
	}
	s, ok := h.readSync(w, r)
	if !ok {
		return
	}
	if !at.IsZero() {
		h.showSyncAsOf(w, r, s, at)
		return
	}
	if fields != nil {
		problem.JSON(w, http.StatusOK, only(fields, listedOf(s)))
		return
	}
	out := shownSync{listedSync: listedOf(s)}
	if httpapi.Holds(r.Context(), httpapi.ResourceManage) {
		contents, err := syncs.ReadContents(r.Context(), h.pool, s.SyncID)
		if err != nil {
			h.syncsFailed(w, r, err)
			return
		}
		out.Payload, out.Response = contents.Payload, contents.Response
		h.log.Info("payload shown", "sync_id", s.SyncID, "by", requester(r))
		w.Header().Set("Cache-Control", "no-store")
	} else {
		out.Withheld = "payload and response hold personal data: they need " + string(httpapi.ResourceManage)
	}
	problem.JSON(w, http.StatusOK, out)
}

// syncEvents answers the timeline of a sync.
func (h *handler) syncEvents(w http.ResponseWriter, r *http.Request) {
	s, ok := h.readSync(w, r)
	if ok {
		h.timelineOf(w, r, domain.OrderRef{Source: s.Source, IncrementID: s.OrderIncrementID})
	}
}

func (h *handler) syncsFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, syncs.ErrUnknown) {
		problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "sync_not_found", Detail: "there is no such sync: GET " + syncsPath + " lists them"})
		return
	}
	httpapi.Failed(w, r, h.log, "syncs not read", err, problem.Problem{Code: "database_unavailable", Detail: "the database does not answer; ask again"})
}
