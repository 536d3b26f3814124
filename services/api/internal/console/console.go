// Package console serves the console: pages for support and operators that run in the browser and ask the public API only. They are
// static, so a page costs no query beside those that any client of the API can send.
//
//	GET    /console, /console/orders, …     the page; the browser shows what the path names
//	GET    /console/assets/{version}/…      its scripts and styles
//	GET    /console/session/ways            which ways to sign in there are
//	POST   /console/session                 Authorization: Bearer … → a cookie that counts as that header
//	GET    /console/session/begin           to the identity provider
//	GET    /console/callback                from there, with a code → the cookie
//	DELETE /console/session                 sign out
//
// Nothing is built: what stands in assets is what the browser runs. ADR 0036 says why.
package console

import (
	"log/slog"
	"net/http"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/access/issuer"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// policy lets a page load and ask nothing but us, and no script or style that is written into it. So a text that somebody has smuggled
// into an order cannot run.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'"

// Routes are the console's pages and its sign-in. The pages hold no data, so they need no token. Without a provider, nobody signs in there.
func Routes(cfg config.HTTP, provider *issuer.Issuer, sessions *access.Store, log *slog.Logger) []httpapi.Route {
	s := newSignIn(cfg, provider, sessions, log)
	route := func(method, path string, resource httpapi.Resource, f http.HandlerFunc) httpapi.Route {
		return httpapi.Route{Method: method, Path: path, Resource: resource, BySource: true, Handler: secured(f)}
	}
	back := route(http.MethodGet, config.SignInReturnPath, httpapi.ResourceNone, s.finish)
	back.AnyQuery = true
	return []httpapi.Route{
		route(http.MethodGet, "/", httpapi.ResourceNone, toConsole),
		route(http.MethodGet, "/console/session/ways", httpapi.ResourceNone, s.ways),
		route(http.MethodPost, "/console/session", httpapi.ResourceAny, httpapi.SignIn),
		route(http.MethodGet, "/console/session/begin", httpapi.ResourceNone, s.begin),
		back,
		route(http.MethodDelete, "/console/session", httpapi.ResourceNone, s.signOut),
		route(http.MethodGet, "/console", httpapi.ResourceNone, serve),
		route(http.MethodGet, "/console/{path:.*}", httpapi.ResourceNone, serve),
	}
}

func toConsole(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/console", http.StatusFound)
}

// secured adds what tells the browser to be strict.
func secured(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next(w, r)
	})
}
