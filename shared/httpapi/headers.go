package httpapi

import "net/http"

// The values of secured's headers, which all answers share: nothing writes into them, as there is no room behind them.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"} // a path may hold an order's number
	noContent  = []string{"default-src 'none'; frame-ancestors 'none'"}
	noStore    = []string{"no-store"}
)

// secured sets the headers that tell a browser to trust as little as possible. They suit answers of data; a handler that serves a page
// sets Content-Security-Policy and Cache-Control as the page needs.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"], h["Referrer-Policy"], h["Content-Security-Policy"], h["Cache-Control"] = noSniff, noReferrer, noContent, noStore
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000") // a year, for this host alone
		}
		next.ServeHTTP(w, r)
	})
}
