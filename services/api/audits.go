package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const (
	auditsPath    = httpapi.BasePath + "/audits"
	auditPath     = auditsPath + "/{audit:[0-9]+}"
	auditsPage    = 50
	maxAuditsPage = 500
)

// auditRoutes start, show and cancel runs of `audit` and `verify`, which the scheduler makes. They are about all shops, so no token of one
// may use them.
func (h *handler) auditRoutes() []httpapi.Route {
	route := func(method, path string, f http.HandlerFunc, query ...string) httpapi.Route {
		return httpapi.Route{Method: method, Path: path, Query: query, Resource: httpapi.ResourceManage, Handler: f}
	}
	return []httpapi.Route{
		route(http.MethodPost, auditsPath, h.startAudit),
		route(http.MethodGet, auditsPath, h.listAudits, "cursor", "kind", "limit"),
		route(http.MethodGet, auditPath, h.showAudit),
		route(http.MethodPost, auditPath+"/cancel", h.cancelAudit),
	}
}

// auditStart is the body that asks for a run.
type auditStart struct {
	Kind   audits.Kind `json:"kind"`
	From   string      `json:"from"`    // audit: orders whose first event was accepted then or later; a time, or a day (UTC)
	ToTime string      `json:"to_time"` // audit: and before that
	Source string      `json:"source"`  // audit: orders of this shop only
	Reason string      `json:"reason"`
}

var auditStarts = bodyFormat{shape: strictjson.ShapeOf[auditStart]().Closed(), example: `{"kind": "audit", "from": "2024-01-15"}`, refused: "request_refused"}

// auditTime reads a member that is a time as the command takes it; nil when it is empty.
func auditTime(pointer, text string, wrong *[]problem.FieldError) *time.Time {
	if text == "" {
		return nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		at, err = domain.ParseTime(text)
	}
	if err != nil {
		*wrong = append(*wrong, problem.FieldError{
			Pointer: pointer, Code: problem.CodeInvalid, Detail: fmt.Sprintf("is %.40q: write a time like 2024-01-15T10:00:00Z, or a day like 2024-01-15 (UTC)", text),
		})
		return nil
	}
	return new(at.UTC())
}

// plan is what the body asks for, and everything that is wrong with it.
func (b auditStart) plan() (p audits.Plan, wrong []problem.FieldError) {
	refuse := func(pointer, code, detail string) {
		wrong = append(wrong, problem.FieldError{Pointer: pointer, Code: code, Detail: detail})
	}
	p = audits.Plan{Kind: b.Kind, From: auditTime("/from", b.From, &wrong), To: auditTime("/to_time", b.ToTime, &wrong), Reason: b.Reason}
	switch {
	case b.Kind == "":
		refuse("/kind", problem.CodeRequired, "is required: "+listed(audits.Kinds))
	case !slices.Contains(audits.Kinds, b.Kind):
		refuse("/kind", problem.CodeInvalid, fmt.Sprintf("is %.40q; it must be one of %s", b.Kind, listed(audits.Kinds)))
	}
	for _, member := range [][2]string{{"/from", b.From}, {"/to_time", b.ToTime}, {"/source", b.Source}} {
		if b.Kind == audits.Verify && member[1] != "" {
			refuse(member[0], problem.CodeMisplaced, "is of an audit: verify compares all that the log tells of")
		}
	}
	if p.From != nil && p.To != nil && !p.From.Before(*p.To) {
		refuse("/to_time", problem.CodeContradicts, "is not after from: the range holds no order")
	}
	if b.Source != "" {
		p.Source = &b.Source
		if err := domain.ValidateKnownSource(b.Source); err != nil {
			refuse("/source", problem.TextCode(err), err.Error())
		}
	}
	if err := domain.ReasonText.Check(b.Reason); err != nil {
		refuse("/reason", problem.TextCode(err), err.Error())
	}
	return p, wrong
}

func (h *handler) startAudit(w http.ResponseWriter, r *http.Request) {
	var body auditStart
	raw, ok := readBody(w, r, maxRequestBytes)
	if !ok || !auditStarts.decode(w, raw, &body) {
		return
	}
	p, wrong := body.plan()
	if len(wrong) > 0 {
		auditStarts.refuse(w, wrong)
		return
	}
	run, err := h.audits.Start(r.Context(), p, requester(r))
	if err != nil {
		h.auditFailed(w, r, run, err)
		return
	}
	h.log.Info("run asked for", "run_id", run.ID, "kind", run.Kind, "by", requester(r))
	problem.JSON(w, http.StatusAccepted, auditRunOf(run))
}

// auditList is one page of runs.
type auditList struct {
	Audits []auditRun `json:"audits"`
	Next   *string    `json:"next"` // the cursor of the next page; null: this is the last
}

// listAudits answers runs without their findings, the newest first.
func (h *handler) listAudits(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	l := audits.Listing{Kind: audits.Kind(p.Text("kind")), Before: p.Int64("cursor"), Limit: p.Int("limit", auditsPage, 1, maxAuditsPage)}
	if l.Kind != "" && !slices.Contains(audits.Kinds, l.Kind) {
		p.Refuse("kind", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be one of %s", l.Kind, listed(audits.Kinds)))
	}
	if len(p.Wrong) > 0 {
		httpapi.RefuseQuery(w, p.Wrong)
		return
	}
	runs, more, err := h.audits.List(r.Context(), l)
	if err != nil {
		h.auditFailed(w, r, audits.Run{}, err)
		return
	}
	out := auditList{Audits: []auditRun{}}
	for _, run := range runs {
		out.Audits = append(out.Audits, auditRunOf(run))
	}
	if more {
		out.Next = new(strconv.FormatInt(runs[len(runs)-1].ID, 10))
	}
	problem.JSON(w, http.StatusOK, out)
}

func (h *handler) showAudit(w http.ResponseWriter, r *http.Request) {
	run, err := h.audits.Get(r.Context(), auditID(r))
	if err != nil {
		h.auditFailed(w, r, run, err)
		return
	}
	problem.JSON(w, http.StatusOK, wholeAuditRun{auditRunOf(run), append([]audits.Finding{}, run.Findings...)})
}

// auditID is the id in the path; 0, which no run has, for a number that is too large.
func auditID(r *http.Request) int64 {
	id, err := strconv.ParseInt(mux.Vars(r)["audit"], 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// auditCancel is the body of a cancellation; it may be left out.
type auditCancel struct {
	Reason string `json:"reason"`
}

var auditCancels = bodyFormat{shape: strictjson.ShapeOf[auditCancel]().Closed(), example: `{"reason": "the night is over"}`, refused: "request_refused"}

func (h *handler) cancelAudit(w http.ResponseWriter, r *http.Request) {
	var body auditCancel
	raw, ok := readBody(w, r, maxRequestBytes)
	if !ok || len(raw) > 0 && !auditCancels.decode(w, raw, &body) {
		return
	}
	if err := domain.ReasonText.Check(body.Reason); err != nil {
		auditCancels.refuse(w, []problem.FieldError{{Pointer: "/reason", Code: problem.TextCode(err), Detail: err.Error()}})
		return
	}
	run, err := h.audits.Cancel(r.Context(), auditID(r), requester(r), body.Reason)
	if err != nil {
		h.auditFailed(w, r, run, err)
		return
	}
	h.log.Info("run cancelled", "run_id", run.ID, "kind", run.Kind, "by", requester(r))
	problem.JSON(w, http.StatusOK, auditRunOf(run))
}

func (h *handler) auditFailed(w http.ResponseWriter, r *http.Request, run audits.Run, err error) {
	switch {
	case errors.Is(err, audits.ErrUnknown):
		problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "audit_not_found", Detail: "there is no such run, or it was deleted: GET " + auditsPath + " lists them"})
	case errors.Is(err, audits.ErrOpen) && run.ID > 0:
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "audit_under_way", Detail: fmt.Sprintf(
			"nothing was done: run %d (%s), asked for by %s, is under way, and there is one at a time; wait for its end, or POST %s/%d/cancel", run.ID, run.Kind, run.AskedBy, auditsPath, run.ID)})
	case errors.Is(err, audits.ErrOpen):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "audit_under_way", Detail: "nothing was done: another run was under way, and has ended by now; ask again"})
	case errors.Is(err, audits.ErrEnded):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "audit_ended", Detail: fmt.Sprintf("nothing was done: run %d is %s already", run.ID, run.State)})
	default:
		httpapi.Failed(w, r, h.log, "request about audits not answered", err, problem.Problem{
			Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether this was done: look at GET " + auditsPath + ", then ask again",
		})
	}
}
