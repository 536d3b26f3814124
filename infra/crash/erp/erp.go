// Package erp is the ERP of the crash harness. It behaves as planned, verifies every call with code of its own, and keeps the
// book that the checker trusts. It runs in the harness's process and is never killed.
package erp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Config says how an ERP behaves.
type Config struct {
	Addr        string // host:port; the same after an outage
	APIKey      string
	Secret      string
	HangTimeout time.Duration // how long it leaves a caller without an answer
	HasHealth   bool          // it tells at GET …/health whether it works
	ForgetsKeys bool          // it books each call, whatever its key; it can be asked what it has
	Plan        func(source, order string, n int) nemesis.Call
	// Changed reports whether the shop has published more than one form of the order: only then may a key come with
	// another body than before.
	Changed func(source, order string) bool
	// Callback is called in a goroutine of its own, when the webhook is due; ERP.Close waits for it.
	Callback func(context.Context, CallbackRequest)
}

// CallbackRequest is what the ERP sends to the webhook.
type CallbackRequest struct {
	Source, Order, Status, Reference, Key string
}

// ERP takes POST …/orders/sync, and says at GET …/orders?key= what it has booked under a key, and at GET …/health that it works.
type ERP struct {
	cfg     Config
	ctx     context.Context //nolint:containedctx // the life of callbacks, which outlive the calls they follow from
	cancel  context.CancelFunc
	pending sync.WaitGroup

	mu       sync.Mutex // guards what follows
	server   *http.Server
	calls    []*history.Call
	arrivals map[string]int     // by source and order
	book     map[string]booking // by idempotency key
	bookings int
	limited  time.Time // when it answered with 429 last
	storm    *nemesis.Storm
}

// booking is the reference that the ERP gave to a key, and the body that came with it.
type booking struct{ reference, body string }

// Start starts a new ERP.
func Start(cfg Config) (*ERP, error) {
	e := &ERP{cfg: cfg, arrivals: map[string]int{}, book: map[string]booking{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, e.Up()
}

// URL returns the base URL for the connector.
func (e *ERP) URL() string { return "http://" + e.cfg.Addr + "/erp" }

// Up takes calls. It is used again after Down.
func (e *ERP) Up() error {
	l, err := new(net.ListenConfig).Listen(e.ctx, "tcp", e.cfg.Addr)
	if err != nil {
		return fmt.Errorf("the ERP listens: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /erp/orders/sync", e.sync)
	mux.HandleFunc("GET /erp/orders", e.lookUp)
	if e.cfg.HasHealth {
		mux.HandleFunc("GET /erp/health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	e.mu.Lock()
	e.server = server
	e.mu.Unlock()
	go func() { _ = server.Serve(l) }()
	return nil
}

// Down refuses connections and breaks the open ones.
func (e *ERP) Down() {
	e.mu.Lock()
	server := e.server
	e.mu.Unlock()
	_ = server.Close()
}

// SetStorm lets the ERP turn all calls away, until it is nil again.
func (e *ERP) SetStorm(s *nemesis.Storm) { e.withLock(func() { e.storm = s }) }

// Close ends the ERP and the callbacks that were not made yet.
func (e *ERP) Close() {
	e.cancel()
	e.Down()
	e.pending.Wait()
}

// Calls returns all calls so far, by arrival.
func (e *ERP) Calls() []history.Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]history.Call, 0, len(e.calls))
	for _, c := range e.calls {
		out = append(out, *c)
	}
	return out
}

// Booked returns the callback of the order's first answered booking, from an ERP that sends no key back; nil: there is none.
func (e *ERP) Booked(source, order string) *CallbackRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.calls {
		if c.Source == source && c.Order == order && c.Reference != "" && c.Status/100 == 2 {
			return &CallbackRequest{Source: source, Order: order, Status: nemesis.Accepted, Reference: c.Reference}
		}
	}
	return nil
}

// LookupPath is the product's setting for asking the ERP.
const LookupPath = "/orders?key={idempotency_key}"

// lookUp says what is booked under a key.
func (e *ERP) lookUp(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	b, known := e.book[r.URL.Query().Get("key")]
	e.mu.Unlock()
	if !known {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = fmt.Fprintf(w, `{"erp_reference": %q}`, b.reference)
}

// visit is one call in progress.
type visit struct {
	erp  *ERP
	w    http.ResponseWriter
	r    *http.Request
	body []byte
	call *history.Call
	plan nemesis.Call
}

// maxBody is far more than an order takes.
const maxBody = 16 << 20

// sync handles one call.
func (e *ERP) sync(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var named struct {
		Source string `json:"source"`
		Order  string `json:"order_increment_id"`
	}
	_ = json.Unmarshal(body, &named) // verify says what is wrong
	digest := sha256.Sum256(body)
	call := &history.Call{
		Source: cmp.Or(named.Source, "default"), Order: named.Order, Key: r.Header.Get("X-Idempotency-Key"),
		Began: began.UTC(), BodyHash: hex.EncodeToString(digest[:8]),
	}
	v := &visit{erp: e, w: w, r: r, body: body, call: call, plan: e.addCall(call)}
	switch {
	case err != nil && r.Context().Err() != nil:
		v.finish(0) // it broke while it sent the body
	case err != nil:
		v.refuse(http.StatusBadRequest, "reading the body: "+err.Error())
	default:
		v.verify()
	}
}

// addCall records the call and returns what is planned for it.
func (e *ERP) addCall(c *history.Call) nemesis.Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	order := c.Source + "/" + c.Order
	n := e.arrivals[order]
	e.arrivals[order]++
	e.calls = append(e.calls, c)
	c.Number = len(e.calls)
	planned := e.cfg.Plan(c.Source, c.Order, n)
	c.Behaviour = planned.Behaviour
	return planned
}

// verify refuses a call with a wrong header or body, and handles the others.
func (v *visit) verify() {
	problem := verify(v.r.Header, v.body, v.erp.cfg, time.Now())
	if problem != "" {
		v.refuse(http.StatusUnauthorized, problem)
		return
	}
	v.behave()
}

// refuse records what is wrong with the call, which the checker reports.
func (v *visit) refuse(status int, problem string) {
	v.erp.withLock(func() { v.call.Problem, v.call.Behaviour = problem, nemesis.Unplanned })
	v.answer(status, fmt.Sprintf(`{"error": %q}`, problem))
}

// withLock changes calls or bookings.
func (e *ERP) withLock(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
}

// bookOrder books the order, once for each key. It is false when the key was used for another body.
func (v *visit) bookOrder() bool {
	e := v.erp
	e.mu.Lock()
	defer e.mu.Unlock()
	b, again := e.book[v.call.Key]
	again = again && !e.cfg.ForgetsKeys
	if again && b.body != v.call.BodyHash {
		v.call.Behaviour = nemesis.Unplanned
		if !e.cfg.Changed(v.call.Source, v.call.Order) {
			v.call.Problem = "the idempotency key came before with another body, though the order never changed"
		}
		return false
	}
	if !again {
		e.bookings++
		b = booking{reference: fmt.Sprintf("ERP-%d", e.bookings), body: v.call.BodyHash}
		e.book[v.call.Key] = b
		v.call.Booked = true
	}
	v.call.Reference = b.reference
	return true
}

// callBack makes the planned callback when it is due.
func (v *visit) callBack() {
	e := v.erp
	c := CallbackRequest{Source: v.call.Source, Order: v.call.Order, Status: v.plan.Callback}
	e.mu.Lock()
	if c.Status == nemesis.Accepted {
		c.Reference = v.call.Reference
	}
	if v.plan.EchoKey {
		c.Key = v.call.Key
	}
	e.mu.Unlock()
	if c.Status == nemesis.NoCallback || e.ctx.Err() != nil {
		return
	}
	e.pending.Go(func() {
		if run.Sleep(e.ctx, v.plan.CallbackDelay) {
			e.cfg.Callback(e.ctx, c)
		}
	})
}
