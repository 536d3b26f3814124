package console

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/access/issuer"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// How a sign-in at the provider ended, for the page. It has a sentence for each; what a provider says itself is not shown, as anybody can
// send somebody here with a text.
const (
	endedWell      = "done"
	endedDenied    = "denied"    // the provider has not let the user in
	endedRefused   = "refused"   // what has come back is not good
	endedLate      = "late"      // it was begun too long ago, in another browser, or by nobody
	endedForbidden = "forbidden" // the user may do nothing here
	endedAway      = "away"      // the provider does not answer
	endedFailed    = "failed"    // our database does not answer
)

// finishAtOnce are the codes that are traded at a time: each waits for the provider.
const finishAtOnce = 16

// signIn lets people in by way of the provider, and out.
type signIn struct {
	cfg       config.HTTP
	provider  *issuer.Issuer // nil: there is none
	sessions  *access.Store
	log       *slog.Logger
	finishing chan struct{}
}

func newSignIn(cfg config.HTTP, provider *issuer.Issuer, sessions *access.Store, log *slog.Logger) *signIn {
	return &signIn{cfg: cfg, provider: provider, sessions: sessions, log: log.With("service", "api"), finishing: make(chan struct{}, finishAtOnce)}
}

// hasProvider reports whether people can sign in at a provider.
func (s *signIn) hasProvider() bool { return s.provider != nil && s.cfg.OIDC.ClientID != "" }

// Ways are the ways to sign in beside a token.
type Ways struct {
	Password bool    `json:"password"` // there are users
	Provider *string `json:"provider"` // the host of the identity provider; null: there is none
}

// ways answers which ways there are. While the database cannot say whether there are users, the password is offered.
func (s *signIn) ways(w http.ResponseWriter, r *http.Request) {
	users, err := s.sessions.AnyUser(r.Context())
	out := Ways{Password: users || err != nil}
	if u, err := url.Parse(s.cfg.OIDC.Issuer); err == nil && s.hasProvider() {
		out.Provider = &u.Host
	}
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusOK, out)
}

// begin sends the browser to the provider. Other sites cannot make somebody sign in.
func (s *signIn) begin(w http.ResponseWriter, r *http.Request) {
	if !s.hasProvider() || !httpapi.IsSameOrigin(r) {
		toConsole(w, r)
		return
	}
	begun := issuer.NewSignIn()
	to, err := s.provider.SignInURL(r.Context(), begun, s.returnURL())
	if err != nil {
		s.log.Warn("nobody can sign in at the identity provider, as it does not answer", "error", err)
		ended(w, r, endedAway)
		return
	}
	s.keep(w, begun)
	http.Redirect(w, r, to, http.StatusFound)
}

// finish takes the user who comes back from the provider.
func (s *signIn) finish(w http.ResponseWriter, r *http.Request) {
	select {
	case s.finishing <- struct{}{}:
		defer func() { <-s.finishing }()
	case <-r.Context().Done():
		return
	}
	query := r.URL.Query()
	begun, ok := s.take(w, r, query.Get("state")) // without a provider, nobody has begun one
	refusal := query.Get("error")
	switch {
	case !ok:
		ended(w, r, endedLate)
	case refusal != "":
		s.log.Warn("sign-in at the identity provider refused", "error", "it answers "+domain.Printable(domain.Truncate(refusal, maxRefusalBytes)))
		ended(w, r, endedDenied)
	default:
		ended(w, r, s.trade(w, r, begun, query.Get("code")))
	}
}

// maxRefusalBytes is what of the provider's error is logged.
const maxRefusalBytes = 100

// trade begins a session of whoever the code is for, and says how that ended.
func (s *signIn) trade(w http.ResponseWriter, r *http.Request, begun issuer.SignIn, code string) string {
	person, err := s.provider.Finish(r.Context(), begun, code, s.returnURL())
	switch {
	case errors.Is(err, httpapi.ErrIssuerAway):
		s.log.Warn("nobody can sign in at the identity provider, as it does not answer", "error", err)
		return endedAway
	case err != nil:
		s.log.Warn("sign-in at the identity provider refused", "error", err)
		return endedRefused
	case len(person.Identity.Held()) == 0:
		s.log.Warn("sign-in at the identity provider refused", "error", "no rule of OIDC_RESOURCES fits, or no shop is named", "by", person.Identity.Name)
		return endedForbidden
	}
	t, secret, err := s.sessions.BeginProviderSession(r.Context(), person.Subject, person.Identity)
	if err != nil {
		s.log.Error("session not begun", "error", err)
		return endedFailed
	}
	s.log.Info("user signed in at the identity provider", "token_id", t.ID, "by", t.Name)
	httpapi.BeginSession(w, secret, t.ExpiresAt, s.isSecure())
	return endedWell
}

// ended leads to the page, which says so. It leads nowhere else: where the user was before, the page knows itself.
func ended(w http.ResponseWriter, r *http.Request, how string) {
	http.Redirect(w, r, "/console#signin="+how, http.StatusFound)
}

// signOut takes the cookie away, and ends the session that it stood for. A token that somebody has made stays in force.
func (s *signIn) signOut(w http.ResponseWriter, r *http.Request) {
	token := httpapi.EndSession(w, r)
	if err := s.sessions.EndSession(r.Context(), token); err != nil {
		httpapi.Failed(w, r, s.log, "session not ended", err, problem.Problem{
			Code: "database_unavailable", Detail: "this browser is signed out, but the session goes on until its end, as the database does not answer",
		})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// returnURL is where the provider sends users back to.
func (s *signIn) returnURL() string { return s.cfg.PublicURL + config.SignInReturnPath }

func (s *signIn) isSecure() bool { return strings.HasPrefix(s.cfg.PublicURL, "https://") }

// signInTime is how long somebody may be at the provider.
const signInTime = 10 * time.Minute

// cookie is where a browser keeps a sign-in, each in a cookie of its own, as there may be one in each tab. It must come back with a user who
// comes from the provider's site, so it is lax. With TLS its name keeps sites beside ours from setting it (__Host-).
func (s *signIn) cookie(state, value string, seconds int) *http.Cookie {
	const nameBytes = 8
	c := &http.Cookie{
		Name: "erpconnector_signin_" + state[:min(nameBytes, len(state))], Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.isSecure(),
	}
	if s.isSecure() {
		c.Name = "__Host-" + c.Name
	}
	return c
}

func (s *signIn) keep(w http.ResponseWriter, begun issuer.SignIn) {
	http.SetCookie(w, s.cookie(begun.State, begun.State+"."+begun.Nonce+"."+begun.Verifier, int(signInTime.Seconds())))
}

// take returns the sign-in of a state that this browser has begun, and forgets it: each counts once.
func (s *signIn) take(w http.ResponseWriter, r *http.Request, state string) (begun issuer.SignIn, ok bool) {
	kept, err := r.Cookie(s.cookie(state, "", 0).Name)
	if err != nil || state == "" {
		return begun, false
	}
	http.SetCookie(w, s.cookie(state, "", -1))
	const parts = 3
	fields := strings.Split(kept.Value, ".")
	if len(fields) != parts || fields[0] != state {
		return begun, false
	}
	return issuer.SignIn{State: fields[0], Nonce: fields[1], Verifier: fields[2]}, true
}
