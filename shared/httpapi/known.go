package httpapi

import "net/http"

// KnownHandler serves the routes to one who is known without a token: a command of an operator that works on the stores. It has neither
// limits nor an access log, and is not for what others can reach.
func KnownHandler(who Identity, routes []Route) http.Handler {
	router := newRouter()
	for _, r := range routes {
		handler := CheckQuery(r)
		router.HandleFunc(r.Path, func(w http.ResponseWriter, req *http.Request) {
			handler.ServeHTTP(w, req.WithContext(WithIdentity(req.Context(), who)))
		}).Methods(methods(r.Method)...)
	}
	return router
}
