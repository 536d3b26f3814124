package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// Limits of the settings' requests.
const (
	maxSettingsBody = 64 << 10
	historyPage     = 50
	maxHistoryPage  = 500
)

const settingsPath = httpapi.BasePath + "/settings"

// settingsHandler reads the table at each request, not the process's own settings: those may be a moment behind, and a form must show
// what the next change builds on.
type settingsHandler struct {
	store *setting.Store
	log   *slog.Logger
}

// settingsRoutes show and change the settings that operators can change.
func settingsRoutes(store *setting.Store, log *slog.Logger) []httpapi.Route {
	h := &settingsHandler{store: store, log: log.With("service", "api")}
	route := func(method, path string, f http.HandlerFunc) httpapi.Route {
		return httpapi.Route{Method: method, Path: path, Resource: httpapi.ResourceConfig, Handler: f}
	}
	history := route(http.MethodGet, settingsPath+"/history", h.history)
	history.Query = []string{"cursor", "limit", "name"}
	return []httpapi.Route{
		route(http.MethodGet, settingsPath, h.get),
		route(http.MethodPut, settingsPath, h.put),
		history,
	}
}

// settings is the answer: every setting, in the order of the module's admin page.
type settings struct {
	Version  int64          `json:"version"`
	Settings []settingEntry `json:"settings"`
}

// settingEntry is a setting with all that a form needs to show and check it. Fields of the settings are not listed anywhere else.
type settingEntry struct {
	Name      string          `json:"name"`
	Value     json.RawMessage `json:"value"`
	Default   json.RawMessage `json:"default"` // from the environment
	Source    string          `json:"source"`  // environment, or changed
	ChangedBy *string         `json:"changed_by"`
	ChangedAt *time.Time      `json:"changed_at"`
	Type      setting.Type    `json:"type"`
	Allowed   string          `json:"allowed"`
	Meaning   string          `json:"meaning"`
	Variable  string          `json:"variable"`
	Unused    string          `json:"unused,omitempty"` // why a changed value is not in force
}

func settingsOf(v setting.View) settings {
	out := settings{Version: v.Version}
	for _, f := range setting.Fields() {
		e := settingEntry{
			Name: f.Name, Value: f.JSON(v.Settings), Default: f.JSON(v.Environment), Source: "environment",
			Type: f.Type, Allowed: f.Allowed, Meaning: f.Meaning, Variable: f.Variable, Unused: v.Unusable(f.Name),
		}
		if row, ok := v.Row(f.Name); ok {
			e.ChangedBy, e.ChangedAt = &row.By, &row.At
			if e.Unused == "" {
				e.Source = "changed"
			}
		}
		out.Settings = append(out.Settings, e)
	}
	return out
}

// settingsTag is the ETag of the settings. It is the same in all processes.
func settingsTag(version int64) string { return fmt.Sprintf(`"%d"`, version) }

func (h *settingsHandler) get(w http.ResponseWriter, r *http.Request) {
	v, err := h.store.View(r.Context())
	if err != nil {
		h.unavailable(w, r, err, "the database does not answer; ask again")
		return
	}
	h.answer(w, v)
}

// answer sends the settings with the ETag that the next change must name.
func (h *settingsHandler) answer(w http.ResponseWriter, v setting.View) {
	w.Header().Set("ETag", settingsTag(v.Version))
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusOK, settingsOf(v))
}

// put changes the settings that the body names, and no others: all of them together, or none. The caller says by If-Match which
// version the change builds on, so that of two operators who change at the same time one is told.
func (h *settingsHandler) put(w http.ResponseWriter, r *http.Request) {
	on, p := ifMatch(r.Header.Values("If-Match"))
	if p != nil {
		problem.Write(w, *p)
		return
	}
	change, ok := readChange(w, r)
	if !ok {
		return
	}
	// Who can change the address can have every order, with its customer's data, sent to a server of theirs.
	if _, named := change.Values[setting.NameErpBaseURL]; named && !httpapi.Holds(r.Context(), httpapi.ResourceErpAddress) {
		problem.Write(w, problem.Problem{
			Status: http.StatusForbidden, Code: "forbidden",
			Detail:  "nothing was changed: " + setting.NameErpBaseURL + " says where orders go, so changing it needs a token that also holds " + string(httpapi.ResourceErpAddress),
			Message: "The consumer isn't authorized to access " + string(httpapi.ResourceErpAddress) + ".",
		})
		return
	}
	change.By, change.On = requester(r), on
	v, err := h.store.Change(r.Context(), change)
	var wrong setting.Problems
	var stale *setting.StaleError
	switch {
	case errors.As(err, &wrong):
		changes.refuse(w, wrong.FieldErrors())
	case errors.As(err, &stale):
		w.Header().Set("ETag", settingsTag(stale.Current.Version))
		problem.Write(w, problem.Problem{
			Status: http.StatusPreconditionFailed, Code: "settings_changed_meanwhile", Current: settingsOf(stale.Current),
			Detail: "nothing was changed: somebody changed the settings since you read them; current has them, send what is still to be changed with their ETag",
		})
	case err != nil:
		h.unavailable(w, r, err, "the database does not answer; read the settings to see whether they were changed, and send what is then still to be changed")
	default:
		h.answer(w, v)
	}
}

// ifMatch is the version that the caller has read; nil for *, which means any. A weak tag counts as a strong one, as compressing
// proxies make weak tags of strong ones.
func ifMatch(headers []string) (*int64, *problem.Problem) {
	tag := strings.TrimSpace(strings.Join(headers, ","))
	switch tag {
	case "":
		return nil, &problem.Problem{
			Status: http.StatusPreconditionRequired, Code: "if_match_required",
			Detail: "send If-Match with the ETag of the settings you have read, so that nobody's change is lost; If-Match: * changes them whatever they are",
		}
	case "*":
		return nil, nil
	}
	version, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), 10, 64)
	if err != nil {
		return nil, &problem.Problem{
			Status: http.StatusBadRequest, Code: "if_match_invalid", Detail: fmt.Sprintf("If-Match is %.100q; send the one ETag that the settings came with", tag),
		}
	}
	return &version, nil
}

// changes takes any member: the store checks the names, and suggests the nearest one.
var changes = bodyFormat{
	shape: strictjson.Members(append(setting.Names(), "reason")...), example: `{"erp_timeout": "10s"}`, refused: "settings_refused",
}

// readChange reads the body: {"setting": value, …, "reason": "…"}. ok is false when it has answered with a
// problem.
func readChange(w http.ResponseWriter, r *http.Request) (c setting.Change, ok bool) {
	raw, ok := readBody(w, r, maxSettingsBody)
	if !ok || !changes.decode(w, raw, &c.Values) {
		return c, false
	}
	if reason, given := c.Values["reason"]; given {
		delete(c.Values, "reason")
		if wrong := strictjson.Decode("/reason", reason, &c.Reason); len(wrong) > 0 {
			changes.refuse(w, wrong)
			return c, false
		}
	}
	if len(c.Values) == 0 {
		changes.refuse(w, []problem.FieldError{{
			Code: problem.CodeRequired, Detail: "names no setting to change; there are " + strings.Join(setting.Names(), ", "),
		}})
		return c, false
	}
	return c, true
}

func (h *settingsHandler) unavailable(w http.ResponseWriter, r *http.Request, err error, detail string) {
	httpapi.Failed(w, r, h.log, "settings not answered", err, problem.Problem{Code: "database_unavailable", Detail: detail})
}
