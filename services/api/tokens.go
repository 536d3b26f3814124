package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const tokensPath = httpapi.BasePath + "/tokens"

// tokensHandler makes, lists and revokes tokens.
type tokensHandler struct {
	store *access.Store
	log   *slog.Logger
}

func tokenRoutes(store *access.Store, log *slog.Logger) []httpapi.Route {
	h := &tokensHandler{store: store, log: log.With("service", "api")}
	route := func(method, path string, f http.HandlerFunc, query ...string) httpapi.Route {
		return httpapi.Route{Method: method, Path: tokensPath + path, Query: query, Resource: httpapi.ResourceTokens, Handler: f}
	}
	return []httpapi.Route{
		route(http.MethodGet, "", h.list, "all", "user"),
		route(http.MethodPost, "", h.create),
		route(http.MethodDelete, "/{token:[0-9]+}", h.revoke),
	}
}

// newToken is the body that asks for a token.
type newToken struct {
	Name      string             `json:"name"`
	Resources []httpapi.Resource `json:"resources"`
	Source    string             `json:"source"`
	ExpiresAt *time.Time         `json:"expires_at"`
}

var newTokens = bodyFormat{
	shape:   strictjson.ShapeOf[newToken]().Closed(),
	example: `{"name": "outlet's shop", "resources": ["Escooter_ErpConnector::publish"], "source": "outlet"}`, refused: "request_refused",
}

// shownToken is a token as the answers show it.
type shownToken struct {
	ID         int64              `json:"token_id"`
	UserID     *int64             `json:"user_id,omitempty"` // whose session it is, if it is one
	Name       string             `json:"name"`
	Hint       string             `json:"hint"` // the token's first characters
	Resources  []httpapi.Resource `json:"resources"`
	Source     *string            `json:"source"` // null: all shops
	CreatedAt  string             `json:"created_at"`
	CreatedBy  string             `json:"created_by"`
	ExpiresAt  *string            `json:"expires_at"`
	LastUsedAt *string            `json:"last_used_at"` // to the minute
	RevokedAt  *string            `json:"revoked_at"`
	RevokedBy  *string            `json:"revoked_by"`
	Token      string             `json:"token,omitempty"` // once, in the answer that made it
}

func tokenOf(t access.Token) shownToken {
	return shownToken{
		ID: t.ID, UserID: t.UserID, Name: t.Name, Hint: t.Hint, Resources: t.Resources, Source: t.Source, CreatedAt: t.CreatedAt.UTC().Format(time.RFC3339), CreatedBy: t.CreatedBy,
		ExpiresAt: shownTime(t.ExpiresAt), LastUsedAt: shownTime(t.LastUsedAt), RevokedAt: shownTime(t.RevokedAt), RevokedBy: t.RevokedBy,
	}
}

// tokenList is the answer to a list.
type tokenList struct {
	Tokens []shownToken `json:"tokens"`
}

func shownTime(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return new(t.UTC().Format(time.RFC3339))
}

// list answers the tokens that are in force, or all; with user, those of the user's sessions.
func (h *tokensHandler) list(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	all := p.Text("all")
	user := p.Int64("user")
	if p.Has("all") && all != "true" && all != "false" {
		p.Refuse("all", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be true, or false", all))
	}
	if len(p.Wrong) > 0 {
		httpapi.RefuseQuery(w, p.Wrong)
		return
	}
	var tokens []access.Token
	var err error
	if user != 0 {
		tokens, err = h.store.Sessions(r.Context(), user, all == "true")
	} else {
		tokens, err = h.store.List(r.Context(), all == "true")
	}
	if err != nil {
		h.failed(w, r, err)
		return
	}
	out := make([]shownToken, 0, len(tokens))
	for _, t := range tokens {
		out = append(out, tokenOf(t))
	}
	problem.JSON(w, http.StatusOK, tokenList{out})
}

// create makes a token. It can do no more than the one that asks for it.
func (h *tokensHandler) create(w http.ResponseWriter, r *http.Request) {
	raw, ok := readBody(w, r, maxRequestBytes)
	var body newToken
	if !ok || !newTokens.decode(w, raw, &body) {
		return
	}
	n := access.New{Name: body.Name, Resources: body.Resources, Source: body.Source, ExpiresAt: body.ExpiresAt, By: requester(r)}
	wrong := n.Check(time.Now())
	if len(wrong) == 0 {
		wrong = notHeld(r, n.Resources)
	}
	if len(wrong) > 0 {
		newTokens.refuse(w, wrong)
		return
	}
	t, secret, err := h.store.Create(r.Context(), n)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("token made", "token_id", t.ID, "by", requester(r))
	out := tokenOf(t)
	out.Token = secret
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusCreated, out)
}

// notHeld finds the resources that the request's own token does not hold: nobody gives away what they may not do.
func notHeld(r *http.Request, resources []httpapi.Resource) (wrong []problem.FieldError) {
	for i, resource := range resources {
		if !httpapi.Holds(r.Context(), resource) {
			wrong = append(wrong, problem.FieldError{
				Pointer: fmt.Sprintf("/resources/%d", i), Code: problem.CodeForbidden, Detail: "is " + string(resource) + ", which your own token does not hold",
			})
		}
	}
	return wrong
}

// revoke takes a token out of force.
func (h *tokensHandler) revoke(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(mux.Vars(r)["token"], 10, 64)
	t, by := access.Token{}, requester(r)
	if err != nil {
		err = access.ErrUnknown
	} else {
		t, err = h.store.Revoke(r.Context(), id, by)
	}
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("token revoked", "token_id", t.ID, "by", by)
	problem.JSON(w, http.StatusOK, tokenOf(t))
}

func (h *tokensHandler) failed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, access.ErrUnknown):
		problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "token_not_found", Detail: "there is no such token: GET " + tokensPath + "?all=true lists them"})
	case errors.Is(err, access.ErrName):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "token_name_taken", Detail: "nothing was made: " + err.Error()})
	default:
		httpapi.Failed(w, r, h.log, "tokens not answered", err, problem.Problem{
			Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether this was done: list the tokens, then ask again",
		})
	}
}
