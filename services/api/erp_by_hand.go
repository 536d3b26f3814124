package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// breakerBody says why calls are stopped (the breaker is opened) or let out (it is closed) by hand.
type breakerBody struct {
	Reason string `json:"reason"` // stays in the breaker's history
}

var breakerBodies = bodyFormat{
	shape: strictjson.ShapeOf[breakerBody]().Closed(), example: `{"reason": "the ERP moves to another server"}`, refused: "request_refused",
}

// byHand is a change of the breaker by an operator. It returns an error that says why nothing is to be done.
type byHand func(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error)

// errStands says that the breaker is already as it was asked for.
var errStands = errors.New("nothing was done")

func openByHand(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error) {
	next, ok := b.OpenByHand(why, m)
	if !ok {
		return b, fmt.Errorf("%w: %s has stopped the calls at %s already: %s", errStands, b.By, b.Since.Format(time.RFC3339), b.Why)
	}
	return next, nil
}

func closeByHand(b domain.Breaker, why string, m domain.Moment) (domain.Breaker, error) {
	next, ok := b.CloseByHand(why, m)
	if !ok {
		return b, fmt.Errorf("%w: calls are not stopped, neither by hand nor by failures; GET %s/erp shows what else may keep them", errStands, httpapi.BasePath)
	}
	return next, nil
}

func (h *handler) breakerRoute(path string, change byHand) httpapi.Route {
	return httpapi.Route{
		Method: http.MethodPost, Path: httpapi.BasePath + path, Resource: httpapi.ResourceManage,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.changeBreaker(w, r, change) }),
	}
}

// changeBreaker stops all calls, or lets them out, and answers how the pace stands then.
func (h *handler) changeBreaker(w http.ResponseWriter, r *http.Request, change byHand) {
	raw, ok := readBody(w, r, maxRequestBytes)
	var body breakerBody
	if !ok || !breakerBodies.decode(w, raw, &body) {
		return
	}
	if wrong := checkReason(body.Reason); len(wrong) > 0 {
		breakerBodies.refuse(w, wrong)
		return
	}
	err := h.setBreaker(r.Context(), requester(r), body.Reason, change)
	switch {
	case errors.Is(err, errStands):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "breaker_stands", Detail: err.Error()})
	case err != nil:
		httpapi.Failed(w, r, h.log, "the breaker not changed", err, problem.Problem{
			Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether this was done: GET " + httpapi.BasePath + "/erp shows how the breaker stands",
		})
	default:
		h.erp(w, r)
	}
}

func checkReason(reason string) []problem.FieldError {
	if reason == "" {
		return []problem.FieldError{{Pointer: "/reason", Code: problem.CodeRequired, Detail: "is required: it stands in the history"}}
	}
	if err := domain.ReasonText.Check(reason); err != nil {
		return []problem.FieldError{{Pointer: "/reason", Code: problem.TextCode(err), Detail: err.Error()}}
	}
	return nil
}

func (h *handler) setBreaker(ctx context.Context, by, reason string, change byHand) error {
	v, err := h.pace.Load(ctx)
	if err != nil {
		return err
	}
	var refused error
	_, _, err = h.pace.Change(ctx, v.State, func(s pace.State) pace.State {
		s.Breaker, refused = change(s.Breaker, reason, domain.Moment{Now: v.At, By: by})
		return s
	})
	return errors.Join(err, refused)
}
