package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// errorGroups are the kinds of errors, the most frequent first.
type errorGroups struct {
	Errors []errorGroup `json:"errors"`
}

type errorGroup struct {
	ErrorGroup string           `json:"error_group"` // give it to /syncs?error_group=
	Syncs      int64            `json:"syncs"`       // that have this error now
	HTTPStatus *int             `json:"http_status"`
	ErrorCode  domain.ErrorCode `json:"error_code"`
	Error      string           `json:"error"`    // # stands for what differs
	ERPCode    *string          `json:"erp_code"` // of the ERP's own; null: its answer has none
	Field      *string          `json:"field"`    // what the ERP complains of, like items[#].sku; null: its answer does not say
	FirstSeen  string           `json:"first_seen"`
	LastSeen   string           `json:"last_seen"`
	Value      groupValue       `json:"value"`
	Trend      []trendPoint     `json:"trend,omitempty"` // the oldest first
}

// groupValue is what the orders are worth.
type groupValue struct {
	Amounts []amount `json:"amounts"`
	AtLeast bool     `json:"at_least,omitempty"` // not all orders were looked at
}

type amount struct {
	Currency   string `json:"currency"`
	GrandTotal string `json:"grand_total"`
}

// trendPoint is how many syncs with the error changed last in an hour or on a day.
type trendPoint struct {
	From    string `json:"from"`
	Syncs   int64  `json:"syncs"`
	AtLeast bool   `json:"at_least,omitempty"` // there may be more
}

// listErrors answers which kinds of errors there are, and how many syncs have each.
func (h *handler) listErrors(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	f := syncs.Filter{
		Source: sourceOfList(p), Statuses: statusesOf(p), ErrorCode: domain.ErrorCode(p.Text("error_code")), Error: p.Text("error"),
		HTTPStatus: p.Int("http_status", 0, 100, 599), ErrorGroup: p.Int64("error_group"), Limit: p.Int("limit", syncsPage, 1, maxGroupsPage),
	}
	spans := spansOf(p)
	if !taken(w, r, p, &f) {
		return
	}
	out, err := h.readGroups(r.Context(), f, spans)
	if err != nil {
		h.syncsFailed(w, r, err)
		return
	}
	problem.JSON(w, http.StatusOK, out)
}

// spansOf are the spans of time of the trend that is asked for; nil: none.
func spansOf(p *httpapi.Parameters) []syncs.Point {
	const hours, days = 24, 14
	switch text := p.Text("trend"); text {
	case "":
	case "hours":
		return syncs.Spans(time.Now(), time.Hour, hours)
	case "days":
		return syncs.Spans(time.Now(), 24*time.Hour, days)
	default:
		p.Refuse("trend", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be hours (of the last day) or days (of the last two weeks)", text))
	}
	return nil
}

// readGroups reads the kinds of errors, what their orders are worth, and their trend.
func (h *handler) readGroups(ctx context.Context, f syncs.Filter, spans []syncs.Point) (out errorGroups, err error) {
	groups, err := syncs.Groups(ctx, h.pool, f)
	if err != nil {
		return out, err
	}
	values, err := syncs.Values(ctx, h.pool, f, groups)
	if err != nil {
		return out, err
	}
	trends := map[int64][]syncs.Point{}
	if len(spans) > 0 {
		if trends, err = syncs.Trends(ctx, h.pool, f, groups, spans); err != nil {
			return out, err
		}
	}
	out.Errors = make([]errorGroup, 0, len(groups))
	for _, g := range groups {
		out.Errors = append(out.Errors, errorGroupOf(g, values[g.ID], trends[g.ID]))
	}
	return out, nil
}

func errorGroupOf(g syncs.Group, value syncs.Value, trend []syncs.Point) errorGroup {
	e := errorGroup{
		ErrorGroup: strconv.FormatInt(g.ID, 10), Syncs: g.Syncs, ErrorCode: g.Code, Error: g.Text,
		FirstSeen: g.FirstSeen.UTC().Format(domain.ModuleTime), LastSeen: g.LastSeen.UTC().Format(domain.ModuleTime),
		Value: groupValue{Amounts: make([]amount, 0, len(value.Amounts)), AtLeast: value.Orders < g.Syncs},
	}
	if g.HTTPStatus != 0 {
		e.HTTPStatus = &g.HTTPStatus
	}
	if g.ERPCode != "" {
		e.ERPCode = &g.ERPCode
	}
	if g.Field != "" {
		e.Field = &g.Field
	}
	for _, a := range value.Amounts {
		e.Value.Amounts = append(e.Value.Amounts, amount(a))
	}
	for _, p := range trend {
		e.Trend = append(e.Trend, trendPoint{From: p.Since.Format(domain.ModuleTime), Syncs: p.Syncs, AtLeast: p.AtLeast})
	}
	return e
}
