package api

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

const (
	alertsPath       = httpapi.BasePath + "/alerts"
	destinationsPath = alertsPath + "/destinations"
)

// alertsHandler lists alerts, and changes and tries where they are told.
type alertsHandler struct {
	store    *alert.Store
	sender   *alert.Sender
	settings setting.Reader
	log      *slog.Logger
}

func alertRoutes(pool *pgxpool.Pool, erp config.ERP, mail config.Mail, settings setting.Reader, log *slog.Logger) []httpapi.Route {
	log = log.With("service", "api")
	h := &alertsHandler{
		store: alert.NewStore(pool), sender: alert.NewSender(settings, erp, mail, mail.CurrentPassword(logging.Secrets(log))), settings: settings, log: log,
	}
	route := func(method, path string, f http.HandlerFunc) httpapi.Route {
		return httpapi.Route{Method: method, Path: destinationsPath + path, Resource: httpapi.ResourceConfig, Handler: f}
	}
	return []httpapi.Route{
		{
			Method: http.MethodGet, Path: alertsPath, Query: []string{"alert", "cursor", "limit", "state"}, Resource: httpapi.ResourceViewStatus,
			Handler: http.HandlerFunc(h.list),
		},
		route(http.MethodGet, "", h.listDestinations),
		route(http.MethodPost, "", h.addDestination),
		route(http.MethodPatch, "/{id:[0-9]+}", h.changeDestination),
		route(http.MethodDelete, "/{id:[0-9]+}", h.removeDestination),
		route(http.MethodPost, "/{id:[0-9]+}/test", h.testDestination),
	}
}

// destination is one as the answers show it.
type destination struct {
	ID        int64              `json:"destination_id"`
	Name      string             `json:"name"`
	Kind      alert.Kind         `json:"kind"`
	Address   string             `json:"address"` // without what is secret of it
	Alerts    []domain.AlertKind `json:"alerts"`  // empty: all
	Enabled   bool               `json:"enabled"`
	CreatedAt string             `json:"created_at"`
	CreatedBy string             `json:"created_by"`
	ChangedAt string             `json:"changed_at"`
	ChangedBy string             `json:"changed_by"`
	Secret    string             `json:"secret,omitempty"` // of a webhook, once, in the answer that made it
}

func destinationOf(d alert.Destination) destination {
	return destination{
		ID: d.ID, Name: d.Name, Kind: d.Kind, Address: d.ShownAddress(), Alerts: d.Alerts, Enabled: d.Enabled, CreatedAt: d.CreatedAt.UTC().Format(time.RFC3339),
		CreatedBy: d.CreatedBy, ChangedAt: d.ChangedAt.UTC().Format(time.RFC3339), ChangedBy: d.ChangedBy,
	}
}

// destinationList is the answer to a list.
type destinationList struct {
	Destinations []destination `json:"destinations"`
}

func (h *alertsHandler) listDestinations(w http.ResponseWriter, r *http.Request) {
	all, err := h.store.Destinations(r.Context())
	if err != nil {
		h.failed(w, r, err)
		return
	}
	out := make([]destination, 0, len(all))
	for _, d := range all {
		out = append(out, destinationOf(d))
	}
	problem.JSON(w, http.StatusOK, destinationList{out})
}

// newDestination is the body that makes a destination.
type newDestination struct {
	Name    string             `json:"name"`
	Kind    alert.Kind         `json:"kind"`
	Address string             `json:"address"` // a URL, or an e-mail address
	Secret  *string            `json:"secret"`  // of a webhook: whsec_ and base64; one is made unless given
	Alerts  []domain.AlertKind `json:"alerts"`  // which are told here; none: all
	Enabled *bool              `json:"enabled"` // true unless given
}

// of is the destination that the body asks for.
func (n newDestination) of() alert.Destination {
	d := alert.Destination{Name: n.Name, Kind: n.Kind, Address: n.Address, Alerts: n.Alerts, Enabled: n.Enabled == nil || *n.Enabled}
	switch {
	case n.Secret != nil:
		d.Secret = config.Secret(*n.Secret)
	case n.Kind == alert.KindWebhook:
		d.Secret = alert.NewSecret()
	}
	return d
}

// destinationChange is the body that changes a destination. A member that is not there changes nothing.
type destinationChange struct {
	Name    *string             `json:"name"`
	Address *string             `json:"address"`
	Secret  *string             `json:"secret"` // of a webhook
	Alerts  *[]domain.AlertKind `json:"alerts"` // an empty list: all
	Enabled *bool               `json:"enabled"`
}

var (
	newDestinations = bodyFormat{
		shape:   strictjson.ShapeOf[newDestination]().Closed(),
		example: `{"name": "on-call", "kind": "webhook", "address": "https://ops.example.com/alerts", "alerts": ["breaker"]}`, refused: "request_refused",
	}
	destinationChanges = bodyFormat{shape: strictjson.ShapeOf[destinationChange]().Closed(), example: `{"enabled": false}`, refused: "request_refused"}
)

// to is the destination with the changes.
func (c destinationChange) to(d alert.Destination) alert.Destination {
	if c.Name != nil {
		d.Name = *c.Name
	}
	if c.Address != nil {
		d.Address = *c.Address
	}
	if c.Secret != nil {
		d.Secret = config.Secret(*c.Secret)
	}
	if c.Alerts != nil {
		d.Alerts = *c.Alerts
	}
	if c.Enabled != nil {
		d.Enabled = *c.Enabled
	}
	return d
}

// addDestination makes a destination. The secret of a webhook is made if none is given, and is shown this once.
func (h *alertsHandler) addDestination(w http.ResponseWriter, r *http.Request) {
	raw, ok := readBody(w, r, maxRequestBytes)
	var body newDestination
	if !ok || !newDestinations.decode(w, raw, &body) || !mayAddress(w, r) {
		return
	}
	d := body.of()
	if wrong := d.Check(h.rules()); len(wrong) > 0 {
		newDestinations.refuse(w, wrong)
		return
	}
	made, err := h.store.Add(r.Context(), d, requester(r))
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("destination of alerts made", "destination_id", made.ID, "by", requester(r))
	out := destinationOf(made)
	out.Secret = made.Secret.Reveal()
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusCreated, out)
}

func (h *alertsHandler) rules() alert.Rules {
	s := h.settings.Current()
	return alert.Rules{AllowHTTP: s.AlertAllowHTTP, Egress: s.Egress}
}

// mayAddress reports whether the token may say where the connector sends something; it answers with 403 when not. Who may could let the
// connector call services that trust it, and read in errors what they say.
func mayAddress(w http.ResponseWriter, r *http.Request) bool {
	if httpapi.Holds(r.Context(), httpapi.ResourceErpAddress) {
		return true
	}
	problem.Write(w, problem.Problem{
		Status: http.StatusForbidden, Code: "forbidden",
		Detail:  "nothing was done: an address says where the connector sends something, so setting one needs a token that also holds " + string(httpapi.ResourceErpAddress),
		Message: "The consumer isn't authorized to access " + string(httpapi.ResourceErpAddress) + ".",
	})
	return false
}

// changeDestination changes what the body names. A new address counts for the notices that are on their way, too.
func (h *alertsHandler) changeDestination(w http.ResponseWriter, r *http.Request) {
	d, ok := h.named(w, r)
	if !ok {
		return
	}
	raw, ok := readBody(w, r, maxRequestBytes)
	var body destinationChange
	if !ok || !destinationChanges.decode(w, raw, &body) || (body.Address != nil && !mayAddress(w, r)) {
		return
	}
	d = body.to(d)
	if wrong := d.Check(h.rules()); len(wrong) > 0 {
		destinationChanges.refuse(w, wrong)
		return
	}
	changed, err := h.store.Change(r.Context(), d, requester(r))
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("destination of alerts changed", "destination_id", changed.ID, "by", requester(r))
	problem.JSON(w, http.StatusOK, destinationOf(changed))
}

// named is the destination of the path; ok is false when it has answered with a problem.
func (h *alertsHandler) named(w http.ResponseWriter, r *http.Request) (d alert.Destination, ok bool) {
	id, err := strconv.ParseInt(mux.Vars(r)["id"], 10, 64)
	if err != nil {
		err = alert.ErrUnknown
	} else {
		d, err = h.store.Get(r.Context(), id)
	}
	if err != nil {
		h.failed(w, r, err)
	}
	return d, err == nil
}

func (h *alertsHandler) removeDestination(w http.ResponseWriter, r *http.Request) {
	d, ok := h.named(w, r)
	if !ok {
		return
	}
	removed, err := h.store.Remove(r.Context(), d.ID)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("destination of alerts removed", "destination_id", removed.ID, "by", requester(r))
	problem.JSON(w, http.StatusOK, destinationOf(removed))
}

// testResult is what came back from a destination.
type testResult struct {
	Delivered  bool   `json:"delivered"`
	HTTPStatus *int   `json:"http_status"` // null: there was no answer, or it is a mail
	Said       string `json:"said,omitempty"`
	MessageID  string `json:"message_id"`
	TookMS     int64  `json:"took_ms"`
}

// testDestination sends a test at once, also to a destination that is turned off, and answers what came back. It is not tried again.
func (h *alertsHandler) testDestination(w http.ResponseWriter, r *http.Request) {
	d, ok := h.named(w, r)
	if !ok {
		return
	}
	began := time.Now()
	result, err := h.sender.Test(r.Context(), d, requester(r))
	if err != nil {
		h.failed(w, r, err)
		return
	}
	h.log.Info("destination of alerts tried", "destination_id", d.ID, "http_status", result.HTTPStatus, "by", requester(r))
	out := testResult{Delivered: result.Delivered, Said: result.Said, MessageID: result.MessageID, TookMS: time.Since(began).Milliseconds()}
	if result.HTTPStatus != 0 {
		out.HTTPStatus = &result.HTTPStatus
	}
	problem.JSON(w, http.StatusOK, out)
}

func (h *alertsHandler) failed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, alert.ErrUnknown):
		problem.Write(w, problem.Problem{
			Status: http.StatusNotFound, Code: "destination_not_found", Detail: "there is no such destination: GET " + destinationsPath + " lists them",
		})
	case errors.Is(err, alert.ErrName):
		problem.Write(w, problem.Problem{Status: http.StatusConflict, Code: "destination_name_taken", Detail: "nothing was done: " + err.Error()})
	default:
		httpapi.Failed(w, r, h.log, "alerts not answered", err, problem.Problem{
			Code: "database_unavailable", Detail: "the database does not answer, so it is not known whether this was done: list the destinations, then ask again",
		})
	}
}
