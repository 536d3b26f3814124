package httpapi

import "net/http"

// secured sets the headers that tell a browser to trust as little as possible. They suit answers of data; a handler that serves a page
// sets Content-Security-Policy and Cache-Control as the page needs.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // a path may hold an order's number
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000") // a year, for this host alone
		}
		next.ServeHTTP(w, r)
	})
}
