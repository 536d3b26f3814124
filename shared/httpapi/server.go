// Package httpapi serves HTTP: routes behind the one place where a token is checked, the check of queries, health, metrics, the
// access log. Its subfolder problem writes the errors.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/logging"
)

// Server serves the routes of all services of a process.
type Server struct {
	http   *http.Server
	cfg    config.HTTP
	router *mux.Router
	log    *slog.Logger
}

const probeTimeout = 3 * time.Second

// limits bound what one client can hold.
type limits struct {
	header      time.Duration // until the request's header is there
	request     time.Duration // until its body is
	answer      time.Duration // from the first byte of the answer to the last
	idle        time.Duration // between two requests
	headerBytes int
}

var defaultLimits = limits{header: 5 * time.Second, request: time.Minute, answer: time.Minute, idle: 2 * time.Minute, headerBytes: 64 << 10}

// NewServer builds the router: every route behind its ACL resource, and /livez, /readyz and /metrics. The configured token holds every
// resource; tokens tells about others, and may be nil.
func NewServer(cfg config.HTTP, tokens Identifier, routes []Route, probes []Probe, log *slog.Logger) *Server {
	return newServer(cfg, tokens, routes, probes, log, defaultLimits)
}

func newServer(cfg config.HTTP, tokens Identifier, routes []Route, probes []Probe, log *slog.Logger, l limits) *Server {
	router := &quickRouter{Router: newRouter()}
	rates := newRates(cfg)
	who := configured{cfg.CurrentToken, tokens}
	for _, r := range catchAllsLast(routes) {
		router.add(r, named(r.Path, entrance(who, r, rates, log)))
	}
	router.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) {
		problem.JSON(w, http.StatusOK, liveness{"ok"})
	}).Methods(methods(http.MethodGet)...)
	router.HandleFunc("/readyz", ready(probes)).Methods(methods(http.MethodGet)...)
	router.Handle("/metrics", promhttp.Handler()).Methods(methods(http.MethodGet)...)
	handler := newLoad(cfg).bounded(rates.byAddress(singleSlashes(storePaths(router, cfg.Stores))))
	if cfg.TLS.ClientCA != "" {
		handler = certified(handler)
	}
	s := &Server{
		cfg: cfg, router: router.Router, log: log,
		http: &http.Server{
			Handler:           visited(accessLog(answerTimeout(secured(crossOrigin(recovered(handler, log), cfg.CORSOrigins)), l.answer), log)),
			ReadHeaderTimeout: l.header, ReadTimeout: l.request, WriteTimeout: l.answer, IdleTimeout: l.idle, MaxHeaderBytes: l.headerBytes,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
	tellStop(s.http)
	return s
}

// catchAllsLast moves the paths that take everything below a folder behind all others: the first that fits is taken, and the routes of a
// process come in any order.
func catchAllsLast(routes []Route) []Route {
	isCatchAll := func(r Route) bool { return strings.HasSuffix(r.Path, ":.*}") }
	rest := slices.DeleteFunc(slices.Clone(routes), isCatchAll)
	return append(rest, slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return !isCatchAll(r) })...)
}

// entrance is the way of a request to the route's handler.
func entrance(who Identifier, r Route, rates *rates, log *slog.Logger) http.Handler {
	if r.Resource == ResourceNone {
		return authorize(who, r, log)
	}
	r.Handler = rates.byToken(r.Handler)
	return rates.guarded(authorize(who, r, log))
}

// Handler is what is served.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Walk names every route that the router has, by method and path as in Route. Who may GET may ask for the HEAD too, so that one is
// not named.
func (s *Server) Walk() (names []string, err error) {
	err = s.router.Walk(func(r *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := r.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := r.GetMethods()
		if err != nil {
			return err
		}
		names = append(names, methods[0]+" "+path)
		return nil
	})
	return names, err
}

// Listen takes the address that HTTP is served at, and reads the files of https.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	var err error
	if s.http.TLSConfig, err = s.cfg.TLS.Config(logging.Secrets(s.log)); err != nil {
		return nil, fmt.Errorf("HTTP_TLS_*_FILE: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w; another address can be set with HTTP_ADDR", s.cfg.Addr, err)
	}
	return l, nil
}

// Serve takes requests until Stop, and then returns nil. Any error means that no more are taken.
func (s *Server) Serve(l net.Listener) error {
	serve := s.http.Serve
	if s.http.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") } // its configuration has the certificate
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Stop lets requests finish until ctx ends.
func (s *Server) Stop(ctx context.Context) error { return s.http.Shutdown(ctx) }

// authorize is the one place where a token is checked.
func authorize(who Identifier, r Route, log *slog.Logger) http.Handler {
	handler := CheckQuery(r)
	if r.Resource == ResourceNone {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id, err := Identity{}, ErrNoToken
		token := tokenOf(req)
		if token != "" {
			id, err = who.Identify(req.Context(), token)
		}
		switch {
		case errors.Is(err, ErrNoToken):
			w.Header().Set("WWW-Authenticate", `Bearer realm="erpconnector"`)
			deny(w, http.StatusUnauthorized, "unauthorized", "send Authorization: Bearer with a token that "+r.Resource.needed(), r.Resource)
		case errors.Is(err, ErrIssuerAway):
			Failed(w, req, log, "token not checked", err, problem.Problem{
				Code: "issuer_unavailable", Detail: "nothing was done: the token cannot be checked, as its issuer does not answer; ask again",
			})
		case err != nil:
			Failed(w, req, log, "token not checked", err, problem.Problem{
				Code: "database_unavailable", Detail: "nothing was done: the token cannot be checked, as the database does not answer; ask again",
			})
		case r.Resource != ResourceAny && !id.Holds(r.Resource):
			deny(w, http.StatusForbidden, "forbidden", fmt.Sprintf("nothing was done: the token %q does not hold %s", id.Name, r.Resource), r.Resource)
		case id.Source != "" && !r.BySource:
			deny(w, http.StatusForbidden, "forbidden", fmt.Sprintf("nothing was done: the token %q is for the shop %s only, and this is about all shops", id.Name, id.Source), r.Resource)
		case !id.enter(PathSource(req.Context()), r.BySource):
			deny(w, http.StatusForbidden, "forbidden", fmt.Sprintf("nothing was done: the token %q is for the shop %s only, and the path names another", id.Name, id.Source), r.Resource)
		default:
			v := visitOf(req.Context())
			v.identity, v.grant = id, grant{who, token, r.Resource}
			handler.ServeHTTP(w, req)
		}
	})
}

// deny answers a request that its token does not allow. The message is Magento's.
func deny(w http.ResponseWriter, status int, code, detail string, r Resource) {
	problem.Write(w, problem.Problem{Status: status, Code: code, Detail: detail, Message: "The consumer isn't authorized to access " + string(r) + "."})
}

func ready(probes []Probe) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
		defer cancel()
		status, checks, details := http.StatusOK, map[string]string{}, map[string]string{}
		for _, p := range probes {
			checks[p.Name] = "ok"
			if err := p.Check(ctx); err != nil {
				status, checks[p.Name] = http.StatusServiceUnavailable, err.Error()
			} else if p.Detail != nil {
				if detail := p.Detail(ctx); detail != "" {
					details[p.Name] = detail
				}
			}
		}
		problem.JSON(w, status, readiness{Ready: status == http.StatusOK, Checks: checks, Details: details})
	}
}

func recovered(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(v)
				}
				log.Error("request handler panicked", "method", r.Method, "route", routeOf(r), "panic", panicText(v), "stack", string(debug.Stack()))
				problem.Write(w, problem.Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "the request could not be handled; the log says why"})
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// panicText is what can be said of a panic's value without what it may quote: the runtime's own errors, and the type of
// all others. The stack says where.
func panicText(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}
