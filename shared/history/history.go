// Package history keeps what came in and went out, per shop and span of time: orders accepted, succeeded, failed and cancelled, attempts
// and their errors, how long calls of the ERP took, and how long orders took from their first request to the ERP's success.
//
// The projector counts each fact of the log in the transaction that applies it (ADR 0039). Where and as what a fact counts follows from
// the fact alone. So facts in any order, and in any batches, give the same history, and so does a rebuild.
//
// An example. These facts of one minute make one row of vendor_erp_sync_history:
//
//	requested    version 0 of a generation       accepted 1
//	after_send   error_code erp_unavailable      attempts 1, attempt_errors {1}
//	after_send   took_ms 180                     attempts 2, call_ms {…, 1}
//	success                                      succeeded 1, order_ms {…, 1}
package history

import (
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// Spans of rows. Old rows are added up to longer ones, see Roll.
const (
	minute     = time.Minute
	tenMinutes = 10 * time.Minute
	hour       = time.Hour
)

// How long rows are kept. Each is more than Read needs. docs/limits.md says so too.
const (
	keepMinutes    = 70 * time.Minute
	keepTenMinutes = 25 * time.Hour
	Keep           = 8 * 24 * time.Hour // all
)

// spanOf is the span of the row that counts what occurred at a time; 0: it is too old to be counted.
func spanOf(at, now time.Time) time.Duration {
	switch age := now.Sub(at); {
	case age < keepMinutes:
		return minute
	case age < keepTenMinutes:
		return tenMinutes
	case age < Keep:
		return hour
	}
	return 0
}

// Classes are the kinds of errors of attempts, in the order of the column attempt_errors. New ones are added at the end.
var Classes = []string{"unavailable", "rate_limited", "rejected", "timeout", "network", "other"}

// codes are those of the classes, but of the last one.
var codes = []domain.ErrorCode{domain.ErrorUnavailable, domain.ErrorRateLimited, domain.ErrorRejected, domain.ErrorTimeout, domain.ErrorNetwork}

// classOf is the number of an error's class.
func classOf(code domain.ErrorCode) int {
	if i := slices.Index(codes, code); i >= 0 {
		return i
	}
	return len(codes)
}

// Counts are what is counted of a span. The tags are the columns.
type Counts struct {
	Accepted  int32 `json:"accepted"`  // requests and resyncs: each begins a generation
	Succeeded int32 `json:"succeeded"` // generations that ended with success, also by a callback or by hand
	Failed    int32 `json:"failed"`
	Cancelled int32 `json:"cancelled"` // or superseded by a resync: neither of the two before
	Attempts  int32 `json:"attempts"`

	AttemptErrors []int32          `json:"attempt_errors"` // by class
	Calls         domain.Histogram `json:"call_ms"`
	Orders        domain.Histogram `json:"order_ms"` // of first generations: of later ones people decide when they begin
}

// add adds other counts, which stay as they are.
func (c *Counts) add(o Counts) {
	c.Accepted += o.Accepted
	c.Succeeded += o.Succeeded
	c.Failed += o.Failed
	c.Cancelled += o.Cancelled
	c.Attempts += o.Attempts
	c.AttemptErrors = domain.Histogram(c.AttemptErrors).Add(o.AttemptErrors)
	c.Calls = c.Calls.Add(o.Calls)
	c.Orders = c.Orders.Add(o.Orders)
}

// Fact is what the history needs of a record of the log.
type Fact struct {
	Topic string
	Sync  domain.Sync
	Time  time.Time      // when it occurred, which may be long before it is applied
	Took  *time.Duration // of an after_send: how long the call took; nil: there was none, or an earlier release wrote the record
}

// countsOf is what a fact counts; ok is false when that is nothing. A before_send counts nothing, as it may
// stand in the log twice.
func countsOf(f Fact) (c Counts, ok bool) {
	switch f.Topic {
	case event.TopicRequested:
		if f.Sync.Version != domain.RequestVersion(f.Sync.Generation, 0) {
			return c, false // a release
		}
		c.Accepted = 1
	case event.TopicAfterSend:
		c.Attempts = 1
		if f.Sync.ErrorCode != "" {
			c.AttemptErrors = make([]int32, classOf(f.Sync.ErrorCode)+1)
			c.AttemptErrors[len(c.AttemptErrors)-1] = 1
		}
		if f.Took != nil {
			c.Calls = c.Calls.With(*f.Took)
		}
	case event.TopicSuccess:
		c.Succeeded = 1
		if f.Sync.Generation == 1 {
			c.Orders = c.Orders.With(f.Time.Sub(f.Sync.CreatedAt))
		}
	case event.TopicFailed:
		if by := f.Sync.ClosedBy; by == domain.ClosedByCancelled || by == domain.ClosedBySuperseded {
			c.Cancelled = 1
		} else {
			c.Failed = 1
		}
	default:
		return c, false
	}
	return c, true
}
