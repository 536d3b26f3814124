package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/history"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// leastElapsed is how long a span must have run before it has rates: after a second, one order would be sixty a minute.
const leastElapsed = 20 * time.Second

// overview is what waits now, and what came in and went out.
type overview struct {
	Range       string    `json:"range"`
	StepSeconds int       `json:"step_seconds"`
	Total       flow      `json:"total"`  // of all points
	Points      []point   `json:"points"` // the oldest first; the last one runs still
	Backlog     []backlog `json:"backlog"`
}

// point is the flow of a span of time.
type point struct {
	From string `json:"from"`
	flow
}

// flow is what came in and went out within a span of time.
type flow struct {
	Accepted           int32            `json:"accepted"`
	Succeeded          int32            `json:"succeeded"`
	Failed             int32            `json:"failed"`
	Cancelled          int32            `json:"cancelled"`
	AcceptedPerMinute  *float64         `json:"accepted_per_minute"` // null: the span has only begun
	SucceededPerMinute *float64         `json:"succeeded_per_minute"`
	SuccessRate        *float64         `json:"success_rate"` // succeeded, of these and failed; null: there were none
	Attempts           int32            `json:"attempts"`
	AttemptErrors      map[string]int32 `json:"attempt_errors"` // by class
	CallMS             percentiles      `json:"call_ms"`        // of calls of the ERP
	OrderMS            percentiles      `json:"order_ms"`       // from the first request to the success, of orders sent once
}

// percentiles are estimated from buckets: each is off by a factor of 1.42 at most. Null: there was none.
type percentiles struct {
	Count int64  `json:"count"`
	P50   *int64 `json:"p50"`
	P95   *int64 `json:"p95"`
	P99   *int64 `json:"p99"`
}

// backlog is how many orders wait at a stage.
type backlog struct {
	Stage   string  `json:"stage"` // held, outbox, queued, in_flight, retry or failed
	Orders  int64   `json:"orders"`
	AtLeast bool    `json:"at_least"`
	Oldest  *string `json:"oldest"` // since when the first of them waits there; null: there is none, or it was not found quickly
}

// showOverview answers from what the projector has counted. It costs the same however many orders there are.
func (h *handler) showOverview(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	f, span := syncs.Filter{Source: sourceOfList(p)}, rangeOf(p)
	if !taken(w, r, p, &f) {
		return
	}
	points, sum, err := history.Read(r.Context(), h.pool, span, f.Source, time.Now())
	if err != nil {
		h.syncsFailed(w, r, err)
		return
	}
	waits, err := history.Backlog(r.Context(), h.pool, f.Source)
	if err != nil {
		h.syncsFailed(w, r, err)
		return
	}
	last := points[len(points)-1]
	out := overview{
		Range: span.Name, StepSeconds: int(span.Step / time.Second), Total: flowOf(sum, last.Until.Sub(points[0].Since)),
		Points: make([]point, 0, len(points)), Backlog: make([]backlog, 0, len(waits)),
	}
	for _, p := range points {
		out.Points = append(out.Points, point{From: p.Since.Format(domain.ModuleTime), flow: flowOf(p.Counts, p.Until.Sub(p.Since))})
	}
	for _, b := range waits {
		out.Backlog = append(out.Backlog, backlog{Stage: string(b.Stage), Orders: b.Orders, AtLeast: b.AtLeast, Oldest: moduleTime(b.Oldest)})
	}
	problem.JSON(w, http.StatusOK, out)
}

// rangeOf is how far back is asked for.
func rangeOf(p *httpapi.Parameters) history.Range {
	name := p.Text("range")
	if !p.Has("range") {
		return history.Ranges[0]
	}
	i := slices.IndexFunc(history.Ranges, func(r history.Range) bool { return r.Name == name })
	if i < 0 {
		p.Refuse("range", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be hour, day or week", name))
		return history.Ranges[0]
	}
	return history.Ranges[i]
}

func flowOf(c history.Counts, elapsed time.Duration) flow {
	f := flow{
		Accepted: c.Accepted, Succeeded: c.Succeeded, Failed: c.Failed, Cancelled: c.Cancelled, Attempts: c.Attempts,
		AttemptErrors: map[string]int32{}, CallMS: percentilesOf(c.Calls), OrderMS: percentilesOf(c.Orders),
	}
	if elapsed >= leastElapsed {
		f.AcceptedPerMinute, f.SucceededPerMinute = new(float64(c.Accepted)/elapsed.Minutes()), new(float64(c.Succeeded)/elapsed.Minutes())
	}
	if ended := c.Succeeded + c.Failed; ended > 0 {
		f.SuccessRate = new(float64(c.Succeeded) / float64(ended))
	}
	for i, n := range c.AttemptErrors {
		if n > 0 {
			f.AttemptErrors[history.Classes[i]] = n
		}
	}
	return f
}

func percentilesOf(h domain.Histogram) percentiles {
	of := func(q float64) *int64 {
		d, ok := h.Quantile(q)
		if !ok {
			return nil
		}
		return new(d.Milliseconds())
	}
	return percentiles{Count: h.Count(), P50: of(0.50), P95: of(0.95), P99: of(0.99)}
}
