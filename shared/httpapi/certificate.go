package httpapi

import (
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// certified asks every client for a certificate that the server has checked, but for the probes of a platform, which have none.
func certified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		health := r.URL.Path == "/livez" || r.URL.Path == "/readyz"
		if !health && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
			problem.Write(w, problem.Problem{
				Status: http.StatusForbidden, Code: "certificate_required",
				Detail: "nothing was done: present a client certificate that a root in HTTP_TLS_CLIENT_CA_FILE has signed",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}
