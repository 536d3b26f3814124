package api

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const usersPath = httpapi.BasePath + "/users"

// usersHandler makes, lists, changes and deletes users. Their passwords come in and never go out.
type usersHandler struct {
	store *access.Store
	log   *slog.Logger
}

func userRoutes(store *access.Store, log *slog.Logger) []httpapi.Route {
	h := &usersHandler{store: store, log: log.With("service", "api")}
	route := func(method, path string, f http.HandlerFunc) httpapi.Route {
		return httpapi.Route{Method: method, Path: usersPath + path, Resource: httpapi.ResourceTokens, Handler: f}
	}
	return []httpapi.Route{
		route(http.MethodGet, "", h.list),
		route(http.MethodPost, "", h.create),
		route(http.MethodPatch, "/{user:[0-9]+}", h.change),
		route(http.MethodDelete, "/{user:[0-9]+}", h.delete),
	}
}

// newUser is the body that asks for a user.
type newUser struct {
	Name      string             `json:"name"`
	Password  string             `json:"password"`
	Resources []httpapi.Resource `json:"resources"`
	Source    string             `json:"source"`
}

var newUsers = bodyFormat{
	shape:   strictjson.ShapeOf[newUser]().Closed(),
	example: `{"name": "jane", "password": "…", "resources": ["Escooter_ErpConnector::view_status"]}`, refused: "request_refused",
}

// userChange is the body that changes a user; what it leaves out stays.
type userChange struct {
	Password  *string            `json:"password"`
	Resources []httpapi.Resource `json:"resources"`
	Source    *string            `json:"source"` // empty: all shops
	Disabled  *bool              `json:"disabled"`
}

var userChanges = bodyFormat{shape: strictjson.ShapeOf[userChange]().Closed(), example: `{"disabled": true}`, refused: "request_refused"}

// shownUser is a user as the answers show it.
type shownUser struct {
	ID         int64              `json:"user_id"`
	Name       string             `json:"name"`
	Resources  []httpapi.Resource `json:"resources"`
	Source     *string            `json:"source"` // null: all shops
	CreatedAt  string             `json:"created_at"`
	CreatedBy  string             `json:"created_by"`
	ChangedAt  *string            `json:"changed_at"`
	ChangedBy  *string            `json:"changed_by"`
	DisabledAt *string            `json:"disabled_at"` // null: may log in
	DisabledBy *string            `json:"disabled_by"`
}

func userOf(u access.User) shownUser {
	return shownUser{
		ID: u.ID, Name: u.Name, Resources: u.Resources, Source: u.Source, CreatedAt: u.CreatedAt.UTC().Format(time.RFC3339), CreatedBy: u.CreatedBy,
		ChangedAt: shownTime(u.ChangedAt), ChangedBy: u.ChangedBy, DisabledAt: shownTime(u.DisabledAt), DisabledBy: u.DisabledBy,
	}
}

// userList is the answer to a list.
type userList struct {
	Users []shownUser `json:"users"`
}

func (h *usersHandler) list(w http.ResponseWriter, r *http.Request) {
	users, err := h.store.Users(r.Context())
	if err != nil {
		h.failed(w, r, err)
		return
	}
	out := userList{Users: make([]shownUser, 0, len(users))}
	for _, u := range users {
		out.Users = append(out.Users, userOf(u))
	}
	problem.JSON(w, http.StatusOK, out)
}

// create makes a user, who can do no more than the token that asks for it.
func (h *usersHandler) create(w http.ResponseWriter, r *http.Request) {
	raw, ok := readBody(w, r, maxRequestBytes)
	var body newUser
	if !ok || !newUsers.decode(w, raw, &body) {
		return
	}
	n := access.NewUser{Name: body.Name, Password: body.Password, Resources: body.Resources, Source: body.Source, By: requester(r)}
	wrong := n.Check()
	if len(wrong) == 0 {
		wrong = notHeld(r, n.Resources)
	}
	if len(wrong) > 0 {
		newUsers.refuse(w, wrong)
		return
	}
	u, err := h.store.CreateUser(r.Context(), n)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("user made", "user_id", u.ID, "by", requester(r))
	problem.JSON(w, http.StatusCreated, userOf(u))
}

// errAbove says that a user may do what the request's own token may not: with a new password one could log in as this user.
var errAbove = errors.New("the user may do what your own token may not")

// change changes a user. Who gives something must hold all that the user holds, before and after.
func (h *usersHandler) change(w http.ResponseWriter, r *http.Request) {
	raw, ok := readBody(w, r, maxRequestBytes)
	var body userChange
	if !ok || !userChanges.decode(w, raw, &body) {
		return
	}
	c := access.UserChange{Password: body.Password, Resources: body.Resources, Source: body.Source, Disabled: body.Disabled, By: requester(r)}
	wrong := c.Check()
	if len(wrong) == 0 {
		wrong = notHeld(r, c.Resources)
	}
	if len(wrong) > 0 {
		userChanges.refuse(w, wrong)
		return
	}
	u, err := h.store.ChangeUser(r.Context(), userID(r), c, func(u access.User) error {
		if c.Gives() && slices.ContainsFunc(u.Resources, func(held httpapi.Resource) bool { return !httpapi.Holds(r.Context(), held) }) {
			return errAbove
		}
		return nil
	})
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("user changed", "user_id", u.ID, "by", requester(r))
	problem.JSON(w, http.StatusOK, userOf(u))
}

func (h *usersHandler) delete(w http.ResponseWriter, r *http.Request) {
	u, err := h.store.DeleteUser(r.Context(), userID(r))
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("user deleted", "user_id", u.ID, "by", requester(r))
	problem.JSON(w, http.StatusOK, userOf(u))
}

// userID is the user of the path; a number that none can have is that of nobody.
func userID(r *http.Request) int64 {
	id, err := strconv.ParseInt(mux.Vars(r)["user"], 10, 64)
	if err != nil {
		return 0
	}
	return id
}

func (h *usersHandler) failed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, access.ErrNoUser):
		problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "user_not_found", Detail: "there is no such user: GET " + usersPath + " lists them"})
	case errors.Is(err, access.ErrUserName):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "user_name_taken", Detail: "nothing was made: " + err.Error()})
	case errors.Is(err, errAbove):
		problem.Write(w, problem.Problem{
			Status: http.StatusForbidden, Code: "forbidden", Detail: "nothing was changed: " + errAbove.Error() + "; you can disable or delete the user only",
		})
	case errors.Is(err, access.ErrBusy):
		writeBusy(w)
	default:
		httpapi.Failed(w, r, h.log, "users not answered", err, problem.Problem{
			Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether this was done: list the users, then ask again",
		})
	}
}
