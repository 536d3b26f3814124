package mockerp

import (
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

// lookUp answers GET orders by the idempotency key, or by the order's number and shop: the booking, or 404. The setting for it is
// /orders?idempotency_key={idempotency_key}.
func (e *ERP) lookUp(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	n, key := names{Source: query.Get("source"), OrderIncrementID: query.Get("order_increment_id")}, query.Get("idempotency_key")
	e.mu.Lock()
	e.stats.LookUps++
	e.mu.Unlock()
	if fault, hit := e.fault(n, true); hit && e.failsLookUp(w, r, fault) {
		return
	}
	if e.opts.APIKey != "" && r.Header.Get("X-Api-Key") != e.opts.APIKey {
		answer(w, http.StatusUnauthorized, errorBody("REFUSED", "X-API-KEY is missing or wrong"))
		return
	}
	e.mu.Lock()
	b, known := e.book[key]
	reference := b.reference
	if key == "" {
		reference, known = e.first[n.order()]
	}
	e.mu.Unlock()
	if !known {
		answer(w, http.StatusNotFound, errorBody("UNKNOWN", "there is no such booking"))
		return
	}
	answer(w, http.StatusOK, map[string]string{"erp_reference": reference, "status": "accepted"})
}

// failsLookUp plays a fault. It reports whether the look-up is over.
func (e *ERP) failsLookUp(w http.ResponseWriter, r *http.Request, fault Fault) bool {
	arrived := run.Sleep(r.Context(), time.Duration(fault.Delay))
	switch {
	case fault.Hang:
		<-r.Context().Done()
	case !arrived:
	case fault.ResetBefore:
		reset(w)
	case fault.Status != 0:
		fault.refuse(w)
	default:
		return false
	}
	return true
}
