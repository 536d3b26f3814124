// Package mockerp is an ERP to try the connector against: it checks what it is sent, books each idempotency key once,
// misbehaves on demand, and counts calls, bookings and doubles.
//
// For example, to see an answer get lost and the order be booked once all the same:
//
//	POST /mockerp/faults  [{"order": "000000123", "times": 1, "reset_after": true}]
//	                      publish order 000000123; the first call books it and breaks the connection
//	GET  /mockerp/stats   {"calls": 2, "bookings": 1, "doubles": 0, "refused": 0, "faults": 1}
//
// It is strict where an ERP may be: it refuses a payload with a field too many, a wrong signature, and a key that comes with another
// body. So a mistake of the connector shows here, and not at a customer's. Tests use it in process (New and Fail); `up` serves it
// below the connector's own paths.
package mockerp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
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

// Stats are the ERP's counters. Doubles is the one that must stay 0: an order was booked under a second key. After a resync under a
// new key, which an operator has asked for, it may be 1.
type Stats struct {
	Calls    int `json:"calls"`
	Bookings int `json:"bookings"` // keys booked
	Doubles  int `json:"doubles"`  // bookings of an order beyond its first
	Refused  int `json:"refused"`  // bad signature, API key, idempotency key or payload
	Faults   int `json:"faults"`   // calls that a fault hit
	LookUps  int `json:"look_ups"` // GET orders: they are no calls
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

// ERP is a mock ERP. It is safe for concurrent use. Its book lives as long as the process.
type ERP struct {
	opts Options

	mu     sync.Mutex
	faults []*Fault
	calls  []Call
	stats  Stats
	book   map[string]booking // by idempotency key
	orders map[string]int     // bookings per source and order
	first  map[string]string  // the reference of the first one
}

// booking is what the book has of a key. The digest tells the same order sent again from another one under the same key.
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
	return &ERP{opts: opts, book: map[string]booking{}, orders: map[string]int{}, first: map[string]string{}}
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
	e.book, e.orders, e.first = map[string]booking{}, map[string]int{}, map[string]string{}
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

// names are the parts of a payload that name the order, and what it is of. The book is kept by source and number.
type names struct {
	Source           string `json:"source"`
	OrderIncrementID string `json:"order_increment_id"`
	Items            []line `json:"items"`
}

type line struct {
	SKU string `json:"sku"`
}

// order is what the book knows the order by.
func (n names) order() string {
	return cmp.Or(n.Source, domain.DefaultSource) + "/" + n.OrderIncrementID
}

const maxBody = 8 << 20 // bytes; the connector sends less than 2 MiB

// ServeHTTP answers POST orders/sync. A fault comes first, as a broken ERP checks nothing; then the checks, then the book.
func (e *ERP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	var n names
	// A fault may be for one order, so its name is read before anything is checked; what is wrong with the body, check says.
	_ = json.Unmarshal(body, &n)
	call := Call{At: time.Now(), Order: n.OrderIncrementID, Key: r.Header.Get("X-Idempotency-Key"), Body: string(body), Header: headers(r.Header)}
	fault, hit := e.fault(n, false)
	if hit {
		call.Fault = &fault
	}
	if e.failsBefore(w, r, call, fault) {
		return
	}
	if status, why := e.check(r, body); why != "" {
		e.record(call, status, true)
		answer(w, status, errorBody("REFUSED", why))
		return
	}
	status, reference := e.bookOrder(n, call.Key, body, fault.ForgetsKeys)
	if status == http.StatusConflict {
		e.record(call, status, false)
		answer(w, status, errorBody("KEY_REUSED", "the idempotency key was used for another body"))
		return
	}
	e.answerBooked(w, call, fault, status, reference)
}

// check returns the status and the reason of a refusal. An empty reason means that the call is in order.
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

// unreadable says why a body is not JSON that every reader understands in the same way. The contract looks at what it says.
func unreadable(body []byte) string { return inWords("the body ", new(strictjson.Shape).Check(body)) }

// inWords joins what is wrong into one line. The subject stands for the body as a whole.
func inWords(subject string, wrong []problem.FieldError) string {
	texts := make([]string, len(wrong))
	for i, w := range wrong {
		if texts[i] = w.Error(); w.Pointer == "" {
			texts[i] = subject + w.Detail
		}
	}
	return strings.Join(texts, "; ")
}

// bookOrder books a key once. The same key with the same body gets its booking again, with another body a conflict. This is what the
// connector relies on when an answer was lost: it sends the same bytes under the same key. An ERP that forgets keys books
// each call.
func (e *ERP) bookOrder(n names, key string, body []byte, forgets bool) (int, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	digest := sha256.Sum256(body)
	if b, known := e.book[key]; known && !forgets {
		if b.digest != digest {
			return http.StatusConflict, ""
		}
		return http.StatusOK, b.reference
	}
	e.stats.Bookings++
	b := booking{reference: fmt.Sprintf("ERP-%d", e.stats.Bookings), digest: digest}
	e.book[key] = b
	order := n.order()
	if _, known := e.first[order]; !known {
		e.first[order] = b.reference
	}
	if e.orders[order]++; e.orders[order] > 1 {
		e.stats.Doubles++
	}
	return http.StatusCreated, b.reference
}

// record keeps the call and counts it.
func (e *ERP) record(c Call, status int, refused bool) {
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
	if len(e.calls) >= keepCalls { // half of them at once, so that not every call copies the list
		e.calls = e.calls[keepCalls/2:]
	}
	e.calls = append(e.calls, c)
}

// headers keeps the first value of each, which is the only one that the connector sends.
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
