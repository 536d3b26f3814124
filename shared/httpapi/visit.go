package httpapi

import (
	"context"
	"net/http"
)

// visit is what the layers of the server know of a request. It is made once for each, and stands in its context: a layer that has found
// something out writes it here, in place of a request and a context of its own. All is written before the handler begins.
type visit struct {
	recorder   statusRecorder
	timed      timedWriter
	held       held
	route      string // the pattern of the route that was taken
	pathSource string // see PathSource
	identity   Identity
	grant      grant
	entered    bool // its token was right
}

type visitKey struct{}

// visitOf is the request's visit; nil where no server serves it, as in tests.
func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// visited makes the visit of each request, and stands before all layers that know of it.
func visited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{recorder: statusRecorder{ResponseWriter: w, status: http.StatusOK}}
		next.ServeHTTP(&v.recorder, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}
