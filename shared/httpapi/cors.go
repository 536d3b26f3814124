package httpapi

import (
	"net/http"
	"slices"
)

// What pages of other origins may send and read, beside what every page may (Fetch, section 3.2).
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsSent    = "Accept, Authorization, Content-Encoding, Content-Type, If-Match, Last-Event-ID, Traceparent"
	corsRead    = "Allow, ETag, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate"
	corsSeconds = "600" // a browser remembers this answer so long
)

// crossOrigin lets pages of the origins use the API. A browser asks before it sends a token; that question carries none, so it is answered
// here. A page of another origin gets the answer without these headers, and its browser keeps it from the page.
func crossOrigin(next http.Handler, origins []string) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, origin := w.Header(), r.Header.Get("Origin")
		h.Add("Vary", "Origin")
		if !slices.Contains(origins, origin) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			h.Set("Access-Control-Expose-Headers", corsRead)
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", corsMethods)
		h.Set("Access-Control-Allow-Headers", corsSent)
		h.Set("Access-Control-Max-Age", corsSeconds)
		w.WriteHeader(http.StatusNoContent)
	})
}
