package httpapi

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// largestBody is what a body is taken for that says to be larger: its handler refuses it, once it has read so much.
const largestBody = 16 << 20

// load is what the process works on, and how much of it it takes. Beyond that it answers 503 at once: it would run out of memory and lose
// all that it holds.
type load struct {
	maxRequests, maxBytes int64
	requests, bytes       atomic.Int64
}

func newLoad(cfg config.HTTP) *load {
	return &load{
		maxRequests: int64(cmp.Or(cfg.MaxRequests, config.DefaultRequests)), maxBytes: int64(cmp.Or(cfg.MaxBodiesMiB, config.DefaultBodiesMiB)) << 20,
	}
}

// ErrOverloaded is what a body ends with that the process has no room for. Overload is the answer.
var ErrOverloaded = errors.New("the process holds as many bodies as it may")

// Overload answers a request whose body ended with ErrOverloaded. Retry-After is set already.
var Overload = problem.Problem{
	Status: http.StatusServiceUnavailable, Code: "overloaded",
	Detail: "nothing was done: the process works on as much as it can hold; send the request again, as it is, after the time in Retry-After",
}

// bounded lets a request in when there is room for it. Probes always are: a full process lives, and is ready.
func (l *load) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isProbe(r) {
			next.ServeHTTP(w, r)
			return
		}
		defer l.requests.Add(-1)
		if l.requests.Add(1) > l.maxRequests || l.bytes.Load()+min(r.ContentLength, largestBody) > l.maxBytes {
			overloaded(w)
			problem.Write(w, Overload)
			return
		}
		held := &visitOf(r.Context()).held
		held.load, held.w = l, w
		defer held.release()
		if r.Body != http.NoBody {
			r.Body = heldBody{r.Body, held} // the request is the visit's own
		}
		next.ServeHTTP(w, r)
	})
}

// isProbe tells the requests by which a platform watches the process.
func isProbe(r *http.Request) bool { return slices.Contains(probePaths, r.URL.Path) }

var probePaths = []string{"/livez", "/readyz", "/metrics"}

func overloaded(w http.ResponseWriter) {
	refused.WithLabelValues(Overload.Code).Inc()
	w.Header().Set("Retry-After", retryAfter)
}

// held are the bytes of one request. They count as they come, not as they are announced: who announces much and sends nothing takes no
// room from others.
type held struct {
	load  *load
	w     http.ResponseWriter
	bytes int64
}

func (h *held) grow(n int64) error {
	h.bytes += n
	if h.load.bytes.Add(n) <= h.load.maxBytes {
		return nil
	}
	h.release() // at once: of many bodies that come together only as many are refused as must be
	overloaded(h.w)
	return ErrOverloaded
}

func (h *held) release() {
	h.load.bytes.Add(-h.bytes)
	h.bytes = 0
}

type heldBody struct {
	io.ReadCloser
	held *held
}

// Read counts what comes.
func (b heldBody) Read(p []byte) (int, error) { return readHeld(b.ReadCloser, b.held, p) }

// Inflated counts what is read of a body's unpacked content too, in the request of the context.
func Inflated(ctx context.Context, r io.Reader) io.Reader {
	if v := visitOf(ctx); v != nil && v.held.load != nil {
		return inflated{r, &v.held}
	}
	return r
}

type inflated struct {
	io.Reader
	held *held
}

func (i inflated) Read(p []byte) (int, error) { return readHeld(i.Reader, i.held, p) }

func readHeld(r io.Reader, h *held, p []byte) (int, error) {
	n, err := r.Read(p)
	if full := h.grow(int64(n)); full != nil {
		return n, full
	}
	return n, err
}
