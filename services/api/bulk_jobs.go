package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const (
	bulkJobsPage    = 50
	maxBulkJobsPage = 500
	resultsPage     = 1000
	resultsTimeout  = 30 * time.Second // a client must read a page within this
)

// bulkJob is a job as the answers show it.
type bulkJob struct {
	ID        int64        `json:"job_id"`
	Command   bulk.Command `json:"command"`
	NewKey    bool         `json:"newKey"`
	Reason    string       `json:"reason"`
	Source    *string      `json:"source"`           // null: all shops
	Filter    bulk.Words   `json:"filter,omitempty"` // without it the orders were named one by one
	State     bulk.State   `json:"state"`
	Why       *string      `json:"why"`
	Since     string       `json:"since"`      // of the state
	ChangedBy string       `json:"changed_by"` // who brought the state about
	Canary    bulkCanary   `json:"canary"`
	Orders    bulkOrders   `json:"orders"`
	StartedAt string       `json:"started_at"`
	StartedBy string       `json:"started_by"`
	EndedAt   *string      `json:"ended_at"`
	EndsAbout *string      `json:"estimated_end"`       // at its pace since it began or was resumed; null: not known
	WaitsFor  string       `json:"waits_for,omitempty"` // while it runs: what keeps an order that could be sent now
}

type bulkCanary struct {
	Orders int              `json:"orders"`
	State  bulk.CanaryState `json:"state"`
}

type bulkOrders struct {
	Selected  int64 `json:"selected"`
	Done      int64 `json:"done"` // succeeded, failed or refused
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Refused   int64 `json:"refused"`
	Sent      int64 `json:"sent"`    // under way now
	Waiting   int64 `json:"waiting"` // for the command
}

func bulkJobOf(j bulk.Job, now time.Time) bulkJob {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	out := bulkJob{
		ID: j.ID, Command: j.Command, NewKey: j.NewKey, Reason: j.Reason, Source: j.Source, Filter: j.Words, State: j.State, Why: j.Why, Since: at(j.Since), ChangedBy: j.ChangedBy,
		Canary:    bulkCanary{j.Canary, j.CanaryIs},
		Orders:    bulkOrders{j.Selected, j.Done(), j.Succeeded, j.Failed, j.Refused, j.Sent, j.Waiting()},
		StartedAt: at(j.CreatedAt), StartedBy: j.CreatedBy,
	}
	if j.EndedAt != nil {
		out.EndedAt = new(at(*j.EndedAt))
	}
	if end := j.EstimatedEnd(now); end != nil {
		out.EndsAbout = new(at(*end))
	}
	return out
}

// bulkStart is the body that starts a job.
type bulkStart struct {
	Token string `json:"token"`
}

var bulkStarts = bodyFormat{shape: strictjson.ShapeOf[bulkStart]().Closed(), example: `{"token": "bulk_…"}`, refused: "request_refused"}

// errAnswered says that the answer was given.
var errAnswered = errors.New("answered")

// startBulk starts the job of a preview. Who starts it must be allowed what its command alone needs.
func (h *handler) startBulk(w http.ResponseWriter, r *http.Request) {
	var body bulkStart
	raw, ok := readBody(w, r, maxRequestBytes)
	if !ok || !bulkStarts.decode(w, raw, &body) {
		return
	}
	if body.Token == "" {
		bulkStarts.refuse(w, []problem.FieldError{{Pointer: "/token", Code: problem.CodeRequired, Detail: "is required: that of a preview, which POST " + bulkPath + "/resync answers"}})
		return
	}
	j, err := h.bulk.Start(r.Context(), body.Token, requester(r), func(p bulk.Plan) error {
		if !mayBulk(w, r, p.Command, p.Source) {
			return errAnswered
		}
		return nil
	})
	if errors.Is(err, errAnswered) {
		return
	}
	if err != nil {
		h.bulkFailed(w, r, err)
		return
	}
	h.log.Info("bulk job started", "job_id", j.ID, "command", j.Command, "by", requester(r))
	problem.JSON(w, http.StatusAccepted, bulkJobOf(j, time.Now()))
}

// mayBulk reports whether the token may give the command to orders of the shop, or of all; when not, it has answered with a problem.
func mayBulk(w http.ResponseWriter, r *http.Request, c bulk.Command, source string) bool {
	if need := bulkResources[c]; !httpapi.Holds(r.Context(), need) {
		problem.Write(w, problem.Problem{
			Status: http.StatusForbidden, Code: "forbidden", Detail: fmt.Sprintf("nothing was done: the token %q does not hold %s, which %s needs", requester(r), need, c),
		})
		return false
	}
	return mayTouch(w, r, source)
}

// bulkJobList is one page of jobs.
type bulkJobList struct {
	Jobs []bulkJob `json:"jobs"`
	Next *string   `json:"next"` // the cursor of the next page; null: this is the last
}

// listBulk answers jobs, the newest first.
func (h *handler) listBulk(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	l := bulk.Listing{
		Source: httpapi.BoundSource(r.Context()), State: bulk.State(p.Text("state")), Before: p.Int64("cursor"), Limit: p.Int("limit", bulkJobsPage, 1, maxBulkJobsPage),
	}
	if l.State != "" && !slices.Contains(bulk.States, l.State) {
		p.Refuse("state", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be one of %s", l.State, listed(bulk.States)))
	}
	if len(p.Wrong) > 0 {
		httpapi.RefuseQuery(w, p.Wrong)
		return
	}
	jobs, more, err := h.bulk.List(r.Context(), l)
	if err != nil {
		h.bulkFailed(w, r, err)
		return
	}
	out := bulkJobList{Jobs: []bulkJob{}}
	for _, j := range jobs {
		out.Jobs = append(out.Jobs, bulkJobOf(j, time.Now()))
	}
	if more {
		out.Next = new(strconv.FormatInt(jobs[len(jobs)-1].ID, 10))
	}
	problem.JSON(w, http.StatusOK, out)
}

// readJob reads the job that the path names; ok is false when it has answered with a problem. A job that is about other shops is none of
// the business of a token for one.
func (h *handler) readJob(w http.ResponseWriter, r *http.Request) (j bulk.Job, ok bool) {
	id, err := strconv.ParseInt(mux.Vars(r)["job"], 10, 64)
	if err != nil {
		err = bulk.ErrUnknown
	} else {
		j, err = h.bulk.Get(r.Context(), id)
	}
	if bound := httpapi.BoundSource(r.Context()); err == nil && bound != "" && (j.Source == nil || *j.Source != bound) {
		err = bulk.ErrUnknown
	}
	if err != nil {
		h.bulkFailed(w, r, err)
	}
	return j, err == nil
}

func (h *handler) showBulk(w http.ResponseWriter, r *http.Request) {
	j, ok := h.readJob(w, r)
	if !ok {
		return
	}
	out := bulkJobOf(j, time.Now())
	if j.State == bulk.Running {
		view, err := h.pace.Load(r.Context())
		if err != nil {
			h.bulkFailed(w, r, err)
			return
		}
		out.WaitsFor = pace.StatusOf(view, h.settings.Current()).WaitsFor
	}
	problem.JSON(w, http.StatusOK, out)
}

// bulkChange is the body of a change; it may be left out.
type bulkChange struct {
	Reason string `json:"reason"`
}

var bulkChanges = bodyFormat{shape: strictjson.ShapeOf[bulkChange]().Closed(), example: `{"reason": "the ERP's people ask us to wait"}`, refused: "request_refused"}

// changeBulk pauses, resumes or stops a job. A job that is so already stays as it is.
func (h *handler) changeBulk(c bulk.Change) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body bulkChange
		raw, ok := readBody(w, r, maxRequestBytes)
		if !ok || len(raw) > 0 && !bulkChanges.decode(w, raw, &body) {
			return
		}
		if err := domain.ReasonText.Check(body.Reason); err != nil {
			bulkChanges.refuse(w, []problem.FieldError{{Pointer: "/reason", Code: problem.TextCode(err), Detail: err.Error()}})
			return
		}
		j, ok := h.readJob(w, r)
		if !ok || !mayBulk(w, r, j.Command, httpapi.BoundSource(r.Context())) {
			return
		}
		j, err := h.bulk.Change(r.Context(), j.ID, c, requester(r), body.Reason)
		if err != nil {
			h.bulkFailed(w, r, err)
			return
		}
		h.log.Info("bulk job changed", "job_id", j.ID, "state", j.State, "by", requester(r))
		problem.JSON(w, http.StatusOK, bulkJobOf(j, time.Now()))
	}
}

// bulkItem is one line of results.
type bulkItem struct {
	Cursor           string         `json:"cursor"` // the lines after this one: ?cursor=
	SyncID           int64          `json:"sync_id"`
	OrderIncrementID string         `json:"order_increment_id"`
	Source           string         `json:"source"`
	Result           bulk.Result    `json:"result"`
	Code             *string        `json:"code"`       // why it was refused, or "superseded"
	Generation       *int           `json:"generation"` // that the command has made, or found under way
	Status           *domain.Status `json:"status"`     // of the order, now
	LastError        *string        `json:"last_error"` // of the order, now
}

// bulkResults answers what became of each order, a line each, as long as there are some. A page is in memory at a time. An answer that
// breaks off is gone on with from the last line's cursor.
func (h *handler) bulkResults(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	after, result := p.Int64("cursor"), bulk.Result(p.Text("result"))
	if result != "" && !slices.Contains(bulk.Results, result) {
		p.Refuse("result", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be one of %s", result, listed(bulk.Results)))
	}
	if len(p.Wrong) > 0 {
		httpapi.RefuseQuery(w, p.Wrong)
		return
	}
	j, ok := h.readJob(w, r)
	if !ok {
		return
	}
	page, err := h.bulk.Results(r.Context(), j.ID, after, result, resultsPage)
	if err != nil {
		h.bulkFailed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for len(page) > 0 && err == nil {
		if err = writeItems(w, page); err == nil {
			page, err = h.bulk.Results(r.Context(), j.ID, page[len(page)-1].Place, result, resultsPage)
		}
	}
	if err != nil { // the status is out: only a connection that ends early says that lines are missing
		h.log.Info("results of a bulk job broken off", "job_id", j.ID, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// writeItems writes a page of lines, each within its time.
func writeItems(w http.ResponseWriter, page []bulk.Item) error {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(resultsTimeout)) // tests have none
	buffered := bufio.NewWriter(w)
	lines := json.NewEncoder(buffered)
	lines.SetEscapeHTML(false)
	for _, i := range page {
		err := lines.Encode(bulkItem{
			Cursor: strconv.FormatInt(i.Place, 10), SyncID: i.SyncID, OrderIncrementID: i.OrderIncrementID, Source: i.Source, Result: i.Result, Code: i.Code,
			Generation: i.Generation, Status: i.Status, LastError: i.LastError,
		})
		if err != nil {
			return err
		}
	}
	return buffered.Flush()
}
