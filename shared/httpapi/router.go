package httpapi

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// newRouter matches paths as they are written: an order's number may hold an encoded slash. It never redirects: a client
// that follows a redirect makes a GET of its POST.
func newRouter() *mux.Router {
	router := mux.NewRouter().UseEncodedPath().SkipClean(true)
	router.NotFoundHandler = http.HandlerFunc(notFound)
	router.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowed := strings.Join(allowedAt(router, r), ", ")
		w.Header().Set("Allow", allowed)
		problem.Write(w, problem.Problem{
			Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
			Detail: fmt.Sprintf("%.20s is not taken at %s, but %s", r.Method, shownPath(r), allowed),
		})
	})
	return router
}

// quickRouter finds the route of a request as its router does, but asks about those routes only whose path begins as the request's. The
// router itself would try the regular expression of each. What no route takes is left to it.
type quickRouter struct {
	*mux.Router
	routes []quickRoute // in their order
}

type quickRoute struct {
	begins string // its path, up to the first part that differs from request to request
	*mux.Route
}

func (q *quickRouter) add(r Route, handler http.Handler) {
	begins, _, _ := strings.Cut(r.Path, "{")
	q.routes = append(q.routes, quickRoute{begins, q.Handle(r.Path, handler).Methods(methods(r.Method)...)})
}

// ServeHTTP serves the first route that fits.
func (q *quickRouter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, route := range q.routes {
		if !strings.HasPrefix(r.URL.Path, route.begins) {
			continue
		}
		var match mux.RouteMatch
		if route.Match(r, &match) {
			route.GetHandler().ServeHTTP(w, mux.SetURLVars(r, match.Vars))
			return
		}
	}
	q.Router.ServeHTTP(w, r)
}

// methods are those that a route answers: net/http sends no body to a HEAD.
func methods(method string) []string {
	if method == http.MethodGet {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{method}
}

// allowedAt are the methods that are taken at the request's path.
func allowedAt(router *mux.Router, r *http.Request) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		var match mux.RouteMatch
		if router.Match(other, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

func notFound(w http.ResponseWriter, r *http.Request) {
	detail := "there is nothing at " + shownPath(r)
	if path := r.URL.EscapedPath(); strings.HasSuffix(path, "/") && path != "/" {
		detail += ": leave out the slash at its end"
	}
	problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "not_found", Detail: detail})
}

// shownPath is a path that may be of any length.
func shownPath(r *http.Request) string {
	const most = 200
	path := r.URL.EscapedPath() // without what a terminal would obey
	if len(path) > most {
		path = path[:most] + "…"
	}
	return path
}

var slashes = regexp.MustCompile("/{2,}")

// singleSlashes takes //rest for /rest, as a base URL that ends in a slash makes of it. What is encoded stays.
func singleSlashes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.EscapedPath(); strings.Contains(path, "//") {
			r = withPath(r, slashes.ReplaceAllString(path, "/"))
		}
		next.ServeHTTP(w, r)
	})
}
