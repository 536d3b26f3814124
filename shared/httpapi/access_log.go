package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// accessLog writes a debug line per answered request: the route's pattern in place of the path, and neither query, headers
// nor bodies.
func accessLog(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		defer func() {
			if v := visitOf(r.Context()); log.Enabled(r.Context(), slog.LevelDebug) {
				log.Debug("request answered", "method", r.Method, "route", v.route, "bytes", max(r.ContentLength, 0),
					"http_status", v.recorder.status, "took_ms", time.Since(began).Milliseconds())
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// named notes the pattern of the route that was taken.
func named(pattern string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := visitOf(r.Context()); v != nil {
			v.route = pattern
		}
		next.ServeHTTP(w, r)
	})
}

// routeOf is the pattern of the route that was taken, empty when none was. What the log says of a request in place of its
// path, which holds what the caller likes.
func routeOf(r *http.Request) string {
	if v := visitOf(r.Context()); v != nil {
		return v.route
	}
	return ""
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (n *statusRecorder) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the wrapped writer.
func (n *statusRecorder) Unwrap() http.ResponseWriter { return n.ResponseWriter }
