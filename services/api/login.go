package api

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// loginPath is Magento's.
const loginPath = "/rest/V1/integration/admin/token"

// signInRefused is Magento's message, word for word, also for a user who is not let in for a while: clients compare it.
const signInRefused = "The account sign-in was incorrect or your account is disabled temporarily. Please wait and try again later."

// loginHandler lets users in.
type loginHandler struct {
	logins   *access.Logins
	proxies  []netip.Prefix
	settings setting.Reader
	log      *slog.Logger
}

func loginRoutes(cfg config.HTTP, logins *access.Logins, settings setting.Reader, log *slog.Logger) []httpapi.Route {
	h := &loginHandler{logins: logins, proxies: cfg.TrustedProxies, settings: settings, log: log.With("service", "api")}
	return []httpapi.Route{{Method: http.MethodPost, Path: loginPath, Resource: httpapi.ResourceNone, Handler: http.HandlerFunc(h.login)}}
}

// credentials is Magento's body.
type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

var logins = bodyFormat{
	shape: strictjson.ShapeOf[credentials]().Closed(), example: `{"username": "jane", "password": "…"}`, refused: "request_refused",
}

// login answers with the token of a session, as Magento does: a JSON string.
func (h *loginHandler) login(w http.ResponseWriter, r *http.Request) {
	raw, ok := readBody(w, r, maxRequestBytes)
	var body credentials
	if !ok || !logins.decode(w, raw, &body) {
		return
	}
	if wrong := body.check(); len(wrong) > 0 {
		logins.refuse(w, wrong)
		return
	}
	t, secret, err := h.logins.Login(r.Context(), body.Username, body.Password, httpapi.CallerAddress(r, h.proxies).String(), h.settings.Current().AdminTokenLifetime)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	h.log.Info("user logged in", "user_id", *t.UserID, "token_id", t.ID)
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusOK, secret)
}

func (c credentials) check() (wrong []problem.FieldError) {
	if c.Username == "" {
		wrong = append(wrong, problem.FieldError{Pointer: "/username", Code: problem.CodeRequired, Detail: "is required"})
	}
	if c.Password == "" {
		wrong = append(wrong, problem.FieldError{Pointer: "/password", Code: problem.CodeRequired, Detail: "is required"})
	}
	return wrong
}

// refuse answers who is not let in. The log does not name the user: what stands there may be a password in the wrong field.
func (h *loginHandler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var limited *access.LimitedError
	switch {
	case errors.As(err, &limited):
		h.log.Warn("login not looked at: too many failed", "retry_after", limited.After)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(limited.After.Seconds()))))
		problem.Write(w, problem.Problem{
			Status: http.StatusTooManyRequests, Code: "login_limited", Message: signInRefused,
			Detail: "too many logins of this user, or from this address, have failed: the next one is looked at after Retry-After seconds",
		})
	case errors.Is(err, access.ErrCredentials):
		h.log.Warn("login refused")
		problem.Write(w, problem.Problem{Status: http.StatusUnauthorized, Code: "login_refused", Detail: access.ErrCredentials.Error(), Message: signInRefused})
	case errors.Is(err, access.ErrBusy):
		writeBusy(w)
	default:
		httpapi.Failed(w, r, h.log, "login not answered", err, problem.Problem{
			Code: "database_unavailable", Detail: "the password cannot be checked, as the database does not answer; ask again",
		})
	}
}

// busyRetryAfter is in seconds.
const busyRetryAfter = "2"

// writeBusy answers while passwords of others are looked at. Each takes memory, so only few are at a time.
func writeBusy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", busyRetryAfter)
	problem.Write(w, problem.Problem{
		Status: http.StatusServiceUnavailable, Code: "logins_busy", Detail: "nothing was done: many passwords are looked at now; ask again",
	})
}
