// Package mockerp is an ERP to try the connector against: it checks what it is sent, books each idempotency key once,
// misbehaves on demand, and counts calls, bookings and doubles.
package mockerp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// Options are what the ERP knows of its callers.
type Options struct {
	APIKey string           // empty: not checked
	Secret string           // empty: not checked
	Log    *slog.Logger     // nil: none
	Now    func() time.Time // nil: time.Now
}

// Fault is what goes wrong with a call. The zero value is none.
type Fault struct {
	Label       string        `json:"label,omitempty"`        // whose fault it is, for Forgive
	Source      string        `json:"source,omitempty"`       // the order's shop; empty: any
	Order       string        `json:"order,omitempty"`        // order increment id; empty or *: any
	Times       int           `json:"times,omitempty"`        // calls it hits; 0: all
	Rate        float64       `json:"rate,omitempty"`         // share of the calls it hits; 0: all
	Status      int           `json:"status,omitempty"`       // answered in place of booking
	RetryAfter  string        `json:"retry_after,omitempty"`  // header beside Status
	Delay       time.Duration `json:"delay,omitempty"`        // before anything else, in nanoseconds
	Hang        bool          `json:"hang,omitempty"`         // no answer until the caller leaves
	ResetBefore bool          `json:"reset_before,omitempty"` // the connection breaks, nothing is booked
	ResetAfter  bool          `json:"reset_after,omitempty"`  // booked, then the connection breaks
	BadJSON     bool          `json:"bad_json,omitempty"`     // booked, answered 200 with a body that is not JSON
	Huge        bool          `json:"huge,omitempty"`         // booked, answered 200 with a body of 10 MB
	// A key that is in the book already is answered 409 with the code ALREADY_BOOKED and the reference, in place of 200.
	AlreadyBooked bool `json:"already_booked,omitempty"`
}

// check says what could not be played, below the place of the fault.
func (f Fault) check(place string) (wrong []problem.FieldError) {
	add := func(member, code, format string, args ...any) {
		wrong = append(wrong, problem.FieldError{Pointer: place + "/" + member, Code: code, Detail: fmt.Sprintf(format, args...)})
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		add("status", problem.CodeRange, "is %d, which no ERP answers: give 200 to 599", f.Status)
	}
	if f.Rate < 0 || f.Rate > 1 {
		add("rate", problem.CodeRange, "is %v; it must be from 0 to 1", f.Rate)
	}
	if f.Times < 0 {
		add("times", problem.CodeRange, "is %d; it must not be negative", f.Times)
	}
	if f.Delay < 0 {
		add("delay", problem.CodeRange, "is %d; it must not be negative", f.Delay)
	}
	for _, t := range []struct{ member, text string }{{"label", f.Label}, {"source", f.Source}, {"order", f.Order}, {"retry_after", f.RetryAfter}} {
		if err := domain.MockText.Check(t.text); err != nil {
			add(t.member, problem.TextCode(err), "%v", err)
		}
	}
	return wrong
}

// Stats are the ERP's counters.
type Stats struct {
	Calls    int `json:"calls"`
	Bookings int `json:"bookings"` // keys booked
	Doubles  int `json:"doubles"`  // bookings of an order beyond its first
	Refused  int `json:"refused"`  // bad signature, API key, idempotency key or payload
	Faults   int `json:"faults"`   // calls that a fault hit
}

// Call is one call as it came.
type Call struct {
	At     time.Time         `json:"at"`
	Order  string            `json:"order"`
	Key    string            `json:"idempotency_key"`
	Header map[string]string `json:"headers"`
	Body   string            `json:"body"`
	Status int               `json:"status"` // 0: no answer was given
	Fault  *Fault            `json:"fault,omitempty"`
}

const keepCalls = 10_000 // older calls are forgotten; the book is not

// ERP is a mock ERP. It is safe for concurrent use.
type ERP struct {
	opts Options

	mu     sync.Mutex
	faults []*Fault
	calls  []Call
	stats  Stats
	book   map[string]booking // by idempotency key
	orders map[string]int     // keys booked per source and order
}

type booking struct {
	reference string
	digest    [sha256.Size]byte
}

// New makes an ERP with an empty book.
func New(opts Options) *ERP {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &ERP{opts: opts, book: map[string]booking{}, orders: map[string]int{}}
}

// Fail adds faults; the first that fits a call hits it.
func (e *ERP) Fail(faults ...Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range faults {
		e.faults = append(e.faults, &f)
	}
}

// Forgive takes back the faults with this label, or all of them when it is empty, and says how many there were.
func (e *ERP) Forgive(label string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := len(e.faults)
	e.faults = slices.DeleteFunc(e.faults, func(f *Fault) bool { return label == "" || f.Label == label })
	return before - len(e.faults)
}

// Reset forgets faults, calls and the book.
func (e *ERP) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults, e.calls, e.stats = nil, nil, Stats{}
	e.book, e.orders = map[string]booking{}, map[string]int{}
}

// Stats are the counters now.
func (e *ERP) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// Calls are the calls of an order, oldest first; all of them when order is empty.
func (e *ERP) Calls(order string) []Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := []Call{}
	for _, c := range e.calls {
		if order == "" || c.Order == order {
			out = append(out, c)
		}
	}
	return out
}

// names is what of a payload books are kept by.
type names struct {
	Source           string `json:"source"`
	OrderIncrementID string `json:"order_increment_id"`
}

const maxBody = 8 << 20

// ServeHTTP is POST orders/sync.
func (e *ERP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, http.StatusBadRequest, errorBody("BODY", err.Error()))
		return
	}
	var n names
	_ = json.Unmarshal(body, &n) // check says what is wrong
	call := Call{At: time.Now(), Order: n.OrderIncrementID, Key: r.Header.Get("X-Idempotency-Key"), Body: string(body), Header: headers(r.Header)}
	fault, hit := e.fault(n)
	if hit {
		call.Fault = &fault
	}
	if e.failsBefore(w, r, call, fault) {
		return
	}
	if status, why := e.check(r, body); why != "" {
		e.note(call, status, true)
		answer(w, status, errorBody("REFUSED", why))
		return
	}
	status, reference := e.bookOrder(n, call.Key, body)
	if status == http.StatusConflict {
		e.note(call, status, false)
		answer(w, status, errorBody("KEY_REUSED", "the idempotency key was used for another body"))
		return
	}
	e.answerBooked(w, call, fault, status, reference)
}

// failsBefore plays the faults that keep the order from the book, and reports whether one did.
func (e *ERP) failsBefore(w http.ResponseWriter, r *http.Request, call Call, fault Fault) bool {
	arrived := run.Sleep(r.Context(), fault.Delay)
	switch {
	case fault.Hang:
		<-r.Context().Done()
		e.note(call, 0, false)
	case !arrived:
		e.note(call, 0, false)
	case fault.ResetBefore:
		e.note(call, 0, false)
		reset(w)
	case fault.Status != 0:
		if fault.RetryAfter != "" {
			w.Header().Set("Retry-After", fault.RetryAfter)
		}
		e.note(call, fault.Status, false)
		answer(w, fault.Status, errorBody("FAULT", fmt.Sprintf("the mock ERP was told to answer %d", fault.Status)))
	default:
		return false
	}
	return true
}

// answerBooked answers for an order in the book, or plays the faults that lose the answer.
func (e *ERP) answerBooked(w http.ResponseWriter, call Call, fault Fault, status int, reference string) {
	switch {
	case fault.ResetAfter:
		e.note(call, 0, false)
		reset(w)
	case fault.BadJSON:
		e.note(call, http.StatusOK, false)
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"erp_reference": `)
	case fault.Huge:
		e.note(call, http.StatusOK, false)
		writeHuge(w, reference)
	case fault.AlreadyBooked && status == http.StatusOK:
		e.note(call, http.StatusConflict, false)
		body := errorBody("ALREADY_BOOKED", "the order was booked under this key before")
		body["erp_reference"] = reference
		answer(w, http.StatusConflict, body)
	default:
		e.note(call, status, false)
		answer(w, status, map[string]string{"erp_reference": reference, "status": "accepted"})
	}
}

// writeHuge answers with 10 MB, or as much of it as the caller reads.
func writeHuge(w http.ResponseWriter, reference string) {
	w.WriteHeader(http.StatusOK)
	_, err := io.WriteString(w, `{"erp_reference":"`+reference+`","padding":"`)
	chunk := strings.Repeat("x", 64<<10)
	for written := 0; err == nil && written < 10<<20; written += len(chunk) {
		_, err = io.WriteString(w, chunk)
	}
	_, _ = io.WriteString(w, `"}`)
}

// concerns reports whether the fault is meant for the order.
func (f Fault) concerns(n names) bool {
	return (f.Source == "" || f.Source == cmp.Or(n.Source, domain.DefaultSource)) &&
		(f.Order == "" || f.Order == "*" || f.Order == n.OrderIncrementID)
}

func (e *ERP) fault(n names) (_ Fault, hit bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, f := range e.faults {
		if !f.concerns(n) || (f.Rate > 0 && rand.Float64() >= f.Rate) { //nolint:gosec // a mock
			continue
		}
		played := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				e.faults = append(e.faults[:i:i], e.faults[i+1:]...)
			}
		}
		return played, true
	}
	return Fault{}, false
}

// check is the status and the reason of a refusal; an empty reason means that the call is in order.
func (e *ERP) check(r *http.Request, body []byte) (int, string) {
	switch {
	case e.opts.APIKey != "" && r.Header.Get("X-Api-Key") != e.opts.APIKey:
		return http.StatusUnauthorized, "X-API-KEY is missing or wrong"
	case e.opts.Secret != "" && !signature.VerifyModule([]string{e.opts.Secret}, body, r.Header.Get(signature.HeaderModule)):
		return http.StatusUnauthorized, "X-Signature is missing or wrong"
	case e.opts.Secret != "" && !signature.VerifyStandard([]string{e.opts.Secret}, r.Header.Get(signature.HeaderID),
		r.Header.Get(signature.HeaderTimestamp), r.Header.Get(signature.HeaderSignature), body, time.Now()):
		return http.StatusUnauthorized, "Webhook-Signature is missing, wrong or too old"
	case r.Header.Get("X-Idempotency-Key") == "":
		return http.StatusBadRequest, "X-Idempotency-Key is missing"
	}
	if err := domain.KeyText.Check(r.Header.Get("X-Idempotency-Key")); err != nil {
		return http.StatusBadRequest, "X-Idempotency-Key " + err.Error()
	}
	if why := unreadable(body); why != "" {
		return http.StatusBadRequest, why
	}
	if problems := contract("", bytes.TrimSpace(body)); len(problems) > 0 {
		return http.StatusUnprocessableEntity, strings.Join(problems, "; ")
	}
	return 0, ""
}

// unreadable says why a body is none that means one thing; the contract looks at what it means.
func unreadable(body []byte) string { return inWords("the body ", new(strictjson.Shape).Check(body)) }

// inWords is what is wrong in one line; subject stands for the body as a whole.
func inWords(subject string, wrong []problem.FieldError) string {
	texts := make([]string, len(wrong))
	for i, w := range wrong {
		if texts[i] = w.Error(); w.Pointer == "" {
			texts[i] = subject + w.Detail
		}
	}
	return strings.Join(texts, "; ")
}

func (e *ERP) bookOrder(n names, key string, body []byte) (int, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	digest := sha256.Sum256(body)
	if b, again := e.book[key]; again {
		if b.digest != digest {
			return http.StatusConflict, ""
		}
		return http.StatusOK, b.reference
	}
	e.stats.Bookings++
	b := booking{reference: fmt.Sprintf("ERP-%d", e.stats.Bookings), digest: digest}
	e.book[key] = b
	order := n.Source + "/" + n.OrderIncrementID
	if e.orders[order]++; e.orders[order] > 1 {
		e.stats.Doubles++
	}
	return http.StatusCreated, b.reference
}

func (e *ERP) note(c Call, status int, refused bool) {
	e.opts.Log.Debug("mock erp called", "order_increment_id", c.Order, "idempotency_key", c.Key, "bytes", len(c.Body), "http_status", status)
	e.mu.Lock()
	defer e.mu.Unlock()
	c.Status = status
	e.stats.Calls++
	if c.Fault != nil {
		e.stats.Faults++
	}
	if refused {
		e.stats.Refused++
	}
	if len(e.calls) >= keepCalls {
		e.calls = e.calls[keepCalls/2:]
	}
	e.calls = append(e.calls, c)
}

// reset breaks the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func headers(h http.Header) map[string]string {
	out := map[string]string{}
	for name := range h {
		out[name] = h.Get(name)
	}
	return out
}

func errorBody(code, text string) map[string]string {
	return map[string]string{"error": text, "code": code}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
