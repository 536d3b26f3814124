package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const (
	bulkPath    = httpapi.BasePath + "/bulk"
	bulkJobPath = bulkPath + "/jobs/{job:[0-9]+}"
)

// bulkResources are what a token must hold to give a command to many orders: the same as for one.
var bulkResources = map[bulk.Command]httpapi.Resource{
	bulk.Resync: httpapi.ResourceResync, bulk.Cancel: httpapi.ResourceManage, bulk.Settle: httpapi.ResourceManage, bulk.SendNow: httpapi.ResourceManage,
}

// bulkRoutes preview commands for many orders, and start, show and change the jobs that carry them out. Who may resync may start and change
// jobs; where a job's command needs more, the handler asks for it.
func (h *handler) bulkRoutes() (routes []httpapi.Route) {
	route := func(method, path string, resource httpapi.Resource, f http.HandlerFunc, query ...string) {
		routes = append(routes, httpapi.Route{Method: method, Path: bulkPath + path, Query: query, Resource: resource, BySource: true, Handler: f})
	}
	for _, c := range bulk.Commands {
		route(http.MethodPost, "/"+string(c), bulkResources[c], h.previewBulk(c))
	}
	route(http.MethodPost, "/jobs", httpapi.ResourceResync, h.startBulk)
	route(http.MethodGet, "/jobs", httpapi.ResourceViewStatus, h.listBulk, "cursor", "limit", "state")
	route(http.MethodGet, "/jobs/{job:[0-9]+}", httpapi.ResourceViewStatus, h.showBulk)
	route(http.MethodGet, "/jobs/{job:[0-9]+}/results", httpapi.ResourceViewStatus, h.bulkResults, "cursor", "result")
	for _, c := range []bulk.Change{bulk.Pause, bulk.Resume, bulk.Stop} {
		route(http.MethodPost, "/jobs/{job:[0-9]+}/"+string(c), httpapi.ResourceResync, h.changeBulk(c))
	}
	return routes
}

// bulkRequest is the body that asks for a preview.
type bulkRequest struct {
	Filter  map[string]json.RawMessage `json:"filter"` // the words of GET /syncs
	SyncIDs []int64                    `json:"sync_ids"`
	Reason  string                     `json:"reason"`
	NewKey  bool                       `json:"newKey"`
	Canary  *int                       `json:"canary"` // null: by the setting bulk_canary
}

var bulkRequests = bodyFormat{
	shape:   strictjson.ShapeOf[bulkRequest]().With("filter", strictjson.Members(BulkWords...)).Closed(),
	example: `{"filter": {"status": "failed", "error": "no such sku"}, "reason": "the catalogue is mended"}`, refused: "request_refused",
}

// bulkPreview is what a command would do.
type bulkPreview struct {
	Command    bulk.Command  `json:"command"`
	Orders     int64         `json:"orders"`
	AtLeast    bool          `json:"at_least"`            // there are more than that
	Unknown    int           `json:"unknown,omitempty"`   // of sync_ids
	LookedAt   int           `json:"looked_at"`           // so many orders value and would_refuse are about
	Value      []bulkValue   `json:"value"`               // by currency
	Refused    []bulkRefused `json:"would_refuse"`        // and why
	Sample     []listedSync  `json:"sample"`              // some of the orders
	Canary     int           `json:"canary"`              // so many must succeed first
	PerSecond  *float64      `json:"orders_per_second"`   // at the ERP's pace of now; null: not known
	Seconds    *int64        `json:"takes_seconds"`       // at that pace, all orders that were counted
	WaitsFor   string        `json:"waits_for,omitempty"` // what keeps an order that could be sent now
	Token      string        `json:"token"`               // starts the job, once
	ExpiresAt  string        `json:"expires_at"`          // until then
	NothingYet string        `json:"detail"`              // for people
}

type bulkValue struct {
	Currency   string `json:"currency"`
	GrandTotal string `json:"grand_total"`
	Orders     int    `json:"orders"`
}

type bulkRefused struct {
	Code   string `json:"code"` // as the command alone is answered
	Orders int    `json:"orders"`
}

// previewBulk answers what a command would do. It does nothing.
func (h *handler) previewBulk(c bulk.Command) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, ok := h.readPlan(w, r, c)
		if !ok {
			return
		}
		preview, err := h.bulk.Preview(r.Context(), p, requester(r))
		if err != nil {
			h.bulkFailed(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		problem.JSON(w, http.StatusOK, previewOf(p, preview))
	}
}

// readPlan reads what a command is for; ok is false when it has answered with a problem. A token for one shop asks about that shop.
func (h *handler) readPlan(w http.ResponseWriter, r *http.Request, c bulk.Command) (p bulk.Plan, ok bool) {
	var body bulkRequest
	raw, ok := readBody(w, r, maxRequestBytes)
	if !ok || !bulkRequests.decode(w, raw, &body) {
		return p, false
	}
	p = bulk.Plan{Command: c, NewKey: body.NewKey, Reason: body.Reason, SyncIDs: body.SyncIDs, Source: httpapi.BoundSource(r.Context())}
	switch {
	case body.Canary != nil:
		p.Canary = *body.Canary
	case c == bulk.Resync:
		p.Canary = h.settings.Current().BulkCanary
	}
	var wrong []problem.FieldError
	if body.Filter != nil {
		f, words, wrongWords := bulkFilterOf(body.Filter)
		if p.Filter, p.Words, wrong = &f, words, wrongWords; body.SyncIDs != nil {
			wrong = append(wrong, problem.FieldError{Pointer: "/sync_ids", Code: problem.CodeContradicts, Detail: "cannot stand beside filter: give one of them"})
		}
	}
	if wrong = append(wrong, p.Check()...); len(wrong) > 0 {
		bulkRequests.refuse(w, wrong)
		return p, false
	}
	if p.Filter == nil {
		return p, true
	}
	p.Filter.Source = cmp.Or(p.Filter.Source, p.Source)
	p.Source = p.Filter.Source
	return p, mayTouch(w, r, p.Source)
}

func previewOf(p bulk.Plan, b bulk.Preview) bulkPreview {
	out := bulkPreview{
		Command: p.Command, Orders: b.Orders, AtLeast: b.AtLeast, Unknown: b.Unknown, LookedAt: b.LookedAt, Value: []bulkValue{}, Refused: []bulkRefused{}, Sample: []listedSync{},
		Canary: p.Canary, WaitsFor: b.WaitsFor, Token: b.Token, ExpiresAt: b.ExpiresAt.UTC().Format(time.RFC3339),
		NothingYet: "nothing is done yet: POST the token to " + bulkPath + "/jobs before it expires",
	}
	for _, v := range b.Value {
		out.Value = append(out.Value, bulkValue{v.Currency, v.Total, v.Orders})
	}
	for _, refused := range b.Refusals {
		out.Refused = append(out.Refused, bulkRefused{refusalCode(refused.State), refused.Orders})
	}
	for _, s := range b.Sample {
		out.Sample = append(out.Sample, listedOf(s))
	}
	if b.PerSecond > 0 {
		out.PerSecond, out.Seconds = &b.PerSecond, &b.Seconds
	}
	return out
}

// refusalCode is the code of the problem that the command alone is answered with.
func refusalCode(s domain.OrderState) string {
	if s == domain.StateUnknown || s == domain.StateKnown {
		return "order_not_found"
	}
	return "order_" + string(s)
}

// bulkFailed answers a request about bulk jobs that could not be carried out.
func (h *handler) bulkFailed(w http.ResponseWriter, r *http.Request, err error) {
	var state *bulk.StateError
	switch {
	case errors.Is(err, bulk.ErrUnknown):
		problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "bulk_job_not_found", Detail: "there is no such bulk job: GET " + bulkPath + "/jobs lists them"})
	case errors.Is(err, bulk.ErrToken):
		problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "bulk_token_not_found", Detail: "nothing was done: " + err.Error() + "; ask for a new preview"})
	case errors.Is(err, bulk.ErrTooMany):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "bulk_jobs_too_many", Detail: "nothing was done: " + err.Error() + "; stop one, or wait for its end. The token is still good"})
	case errors.As(err, &state):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "bulk_job_ended", Detail: "nothing was done: " + err.Error()})
	default:
		httpapi.Failed(w, r, h.log, "bulk request not answered", err, problem.Problem{
			Code: "database_unavailable", Detail: fmt.Sprintf("the database does not answer, so it is not known whether this was done: look at GET %s/jobs, then ask again", bulkPath),
		})
	}
}
