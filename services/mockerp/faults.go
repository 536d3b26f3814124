package mockerp

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Fault is what goes wrong with a call. The zero value is none. The delay comes first, then what keeps the order out of the book, then
// what loses the answer; so {"delay": "2s", "status": 503} is an ERP that is slow and then busy.
type Fault struct {
	Label       string  `json:"label,omitempty"`        // whose fault it is, for Forgive
	Source      string  `json:"source,omitempty"`       // the order's shop; empty: any
	Order       string  `json:"order,omitempty"`        // order increment id; empty or *: any
	SKU         string  `json:"sku,omitempty"`          // of one of the order's lines; empty: any
	Times       int     `json:"times,omitempty"`        // calls it hits; 0: all
	Rate        float64 `json:"rate,omitempty"`         // share of the calls it hits; 0: all
	Status      int     `json:"status,omitempty"`       // answered in place of booking
	Says        string  `json:"says,omitempty"`         // the error beside Status, in the words of an ERP
	Code        string  `json:"code,omitempty"`         // the code beside Says; empty: FAULT
	Field       string  `json:"field,omitempty"`        // what the ERP complains of, like items[0].sku
	RetryAfter  string  `json:"retry_after,omitempty"`  // header beside Status
	Delay       Delay   `json:"delay,omitempty"`        // before anything else, like "2s"
	Hang        bool    `json:"hang,omitempty"`         // no answer until the caller leaves
	ResetBefore bool    `json:"reset_before,omitempty"` // the connection breaks, nothing is booked
	ResetAfter  bool    `json:"reset_after,omitempty"`  // booked, then the connection breaks
	BadJSON     bool    `json:"bad_json,omitempty"`     // booked, answered 200 with a body that is not JSON
	Huge        bool    `json:"huge,omitempty"`         // booked, answered 200 with a body of 10 MB
	// A key that is in the book already is answered 409 with the code ALREADY_BOOKED and the reference, in place of 200.
	AlreadyBooked bool `json:"already_booked,omitempty"`
	// The key is not looked at: the order is booked again, as by an ERP that knows no idempotency keys.
	ForgetsKeys bool `json:"forgets_keys,omitempty"`
	// The fault is of look-ups in place of calls: Status, RetryAfter, Delay, Hang and ResetBefore are played.
	LookUps bool `json:"look_ups,omitempty"`
}

// check lists what cannot be played. Place is the JSON pointer of the fault in the request.
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
		add("delay", problem.CodeRange, "is %s; it must not be negative", time.Duration(f.Delay))
	}
	if f.LookUps && f.SKU != "" {
		add("sku", problem.CodeMisplaced, "does not go with look_ups: a look-up names no article")
	}
	for _, t := range []struct{ member, text string }{
		{"label", f.Label},
		{"source", f.Source},
		{"order", f.Order},
		{"sku", f.SKU},
		{"says", f.Says},
		{"code", f.Code},
		{"field", f.Field},
		{"retry_after", f.RetryAfter},
	} {
		if err := domain.MockText.Check(t.text); err != nil {
			add(t.member, problem.TextCode(err), "%v", err)
		}
	}
	return wrong
}

// failsBefore plays the faults that keep the order out of the book. It reports whether the call is over.
func (e *ERP) failsBefore(w http.ResponseWriter, r *http.Request, call Call, fault Fault) bool {
	arrived := run.Sleep(r.Context(), time.Duration(fault.Delay)) // false: the caller has left meanwhile, and a real ERP may have booked; this one has not
	switch {
	case fault.Hang:
		<-r.Context().Done()
		e.record(call, 0, false)
	case !arrived:
		e.record(call, 0, false)
	case fault.ResetBefore:
		e.record(call, 0, false)
		reset(w)
	case fault.Status != 0:
		e.record(call, fault.Status, false)
		fault.refuse(w)
	default:
		return false
	}
	return true
}

// refuse answers Status in place of what the ERP would answer.
func (f Fault) refuse(w http.ResponseWriter) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	body := errorBody(cmp.Or(f.Code, "FAULT"), cmp.Or(f.Says, fmt.Sprintf("the mock ERP was told to answer %d", f.Status)))
	if f.Field != "" {
		body["field"] = f.Field
	}
	answer(w, f.Status, body)
}

// answerBooked answers for an order in the book, or plays the faults that lose or spoil the answer.
func (e *ERP) answerBooked(w http.ResponseWriter, call Call, fault Fault, status int, reference string) {
	switch {
	case fault.ResetAfter:
		e.record(call, 0, false)
		reset(w)
	case fault.BadJSON:
		e.record(call, http.StatusOK, false)
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"erp_reference": `)
	case fault.Huge:
		e.record(call, http.StatusOK, false)
		writeHuge(w, reference)
	case fault.AlreadyBooked && status == http.StatusOK:
		e.record(call, http.StatusConflict, false)
		body := errorBody("ALREADY_BOOKED", "the order was booked under this key before")
		body["erp_reference"] = reference
		answer(w, http.StatusConflict, body)
	default:
		e.record(call, status, false)
		answer(w, status, map[string]string{"erp_reference": reference, "status": "accepted"})
	}
}

// writeHuge answers with 10 MB, or as much of it as the caller reads.
func writeHuge(w http.ResponseWriter, reference string) {
	w.WriteHeader(http.StatusOK)
	// The reference stands first: a reader that stops after its limit has it.
	_, err := io.WriteString(w, `{"erp_reference":"`+reference+`","padding":"`)
	chunk := strings.Repeat("x", 64<<10)
	for written := 0; err == nil && written < 10<<20; written += len(chunk) {
		_, err = io.WriteString(w, chunk)
	}
	_, _ = io.WriteString(w, `"}`)
}

// concerns reports whether the fault is for this order.
func (f Fault) concerns(n names) bool {
	return (f.Source == "" || f.Source == cmp.Or(n.Source, domain.DefaultSource)) &&
		(f.Order == "" || f.Order == "*" || f.Order == n.OrderIncrementID) && (f.SKU == "" || slices.Contains(n.Items, line{f.SKU}))
}

// fault takes the first fault that fits the order and what is asked. One with Times is used up by its last hit.
func (e *ERP) fault(n names, lookUp bool) (_ Fault, hit bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, f := range e.faults {
		if f.LookUps != lookUp || !f.concerns(n) || (f.Rate > 0 && rand.Float64() >= f.Rate) { //nolint:gosec // a mock
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

// reset breaks the connection with a TCP reset, as a crashed server or a firewall does. The caller sees no answer, and cannot tell
// whether the order was booked.
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
