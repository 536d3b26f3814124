package domain

import (
	"slices"
	"time"
)

// ErrorCode names the kind of a failure for programs; it never changes its meaning.
type ErrorCode string

// The error codes of a sync.
const (
	ErrorUnavailable    ErrorCode = "erp_unavailable"     // 5xx
	ErrorRateLimited    ErrorCode = "erp_rate_limited"    // 429
	ErrorRejected       ErrorCode = "erp_rejected"        // any other 3xx or 4xx
	ErrorTimeout        ErrorCode = "erp_timeout"         // no answer in time: the ERP may have booked
	ErrorNetwork        ErrorCode = "erp_network"         // no connection, or a broken one: the ERP may have booked
	ErrorPayloadInvalid ErrorCode = "payload_invalid"     // the payload cannot be built; no call was made
	ErrorRecordRefused  ErrorCode = "record_refused"      // a record of the sync cannot be written: it is too large for the brokers
	ErrorClosed         ErrorCode = "closed"              // the gate ended the sync; closed_by says who
	ErrorBusy           ErrorCode = "erp_retry_requested" // a status that a setting names as retryable
	ErrorConflict       ErrorCode = "erp_conflict"        // 409 under a key that may have been sent before: the ERP may be working on it, or have booked it
	ErrorInDoubt        ErrorCode = "erp_in_doubt"        // the ERP may have booked the order and did not say so when it was asked; no call was made
	ErrorGivenUp        ErrorCode = "given_up"            // attempts were left, but too long has passed since the request
	ErrorUnreadable     ErrorCode = "record_unreadable"   // its record could not be read and stands among the dead letters
)

// OutcomeKind is what came of one ERP call.
type OutcomeKind int

// The kinds of outcomes. The zero value is none of them.
const (
	OutcomeSuccess OutcomeKind = iota + 1
	OutcomeRetryable
	OutcomeFinal
)

// Outcome is what an answer means.
type Outcome struct {
	Kind       OutcomeKind
	Code       ErrorCode
	Error      string
	Reference  *string
	Warning    string     // of a success: why it has no reference, where there may have been one
	RetryAfter *time.Time // the ERP wants no call before
	Doubtful   bool       // the ERP may have booked the order all the same
	Lookup     Lookup     // what the ERP said of the order before the call
}

// AnswerPolicy is what the settings say about answers of the ERP.
type AnswerPolicy struct {
	RetryableCodes []int          // statuses beyond 429 and 5xx that are tried again
	AlreadyBooked  []BookedAnswer // answers that are a success

	FailureFields   []FailureField // what in a 2xx means that it is a failure
	ReferenceFields []AnswerField  // where the ERP's number of the order stands, beside erp_reference, erp_id and id
	RetryPages      bool           // a 2xx that is an HTML page is tried again: a proxy has answered
	MaxRetryAfter   time.Duration  // a longer Retry-After is capped; 0: at the constant of this name
}

// BookedAnswer is an answer that means: there is a booking under this key already.
type BookedAnswer struct {
	Status int
	Code   string // the `code` of the JSON body; empty: any
}

// Classify decides what an answer means. A success is 2xx that no setting calls a failure, or an answer that a setting calls already
// booked. Retryable are 429, 5xx,
// no answer, and the statuses that a setting names. Everything else is final. A success whose body is not JSON is still one, without
// a reference.
//
// A success that came before the whole order was sent is no answer, nor is a status below 200; both are tried again under the same
// key.
//
// 409 is retryable when the key may have been sent before. That call may still be under way, or have booked the order; a failure
// would lead to a new key, which books it twice. Under a key that goes out for the first time, 409 is final.
func Classify(a Answer, p AnswerPolicy, keySentBefore bool, now time.Time) Outcome {
	o := classify(a, p, keySentBefore, now)
	o.Doubtful = o.Kind == OutcomeRetryable && a.leavesDoubt()
	return o
}

func classify(a Answer, p AnswerPolicy, keySentBefore bool, now time.Time) Outcome {
	switch {
	case a.StatusCode == 0 && a.Failure == ErrorPayloadInvalid:
		return Outcome{Kind: OutcomeFinal, Code: a.Failure, Error: truncate(a.Cause)}
	case a.StatusCode == 0:
		return Outcome{Kind: OutcomeRetryable, Code: a.Failure, Error: truncate(a.Cause)}
	case a.noAnswer() != "":
		return Outcome{Kind: OutcomeRetryable, Code: ErrorNetwork, Error: truncate(a.noAnswer())}
	}
	booked := slices.ContainsFunc(p.AlreadyBooked, a.is)
	if booked || a.isSuccess() {
		if o, is := disguised(a, p); is && !booked {
			return o
		}
		reference, warning := a.Body.Reference(p.ReferenceFields...)
		return Outcome{Kind: OutcomeSuccess, Reference: reference, Warning: warning}
	}
	o := Outcome{Kind: OutcomeRetryable}
	switch {
	case a.StatusCode == tooManyRequests:
		o.Code = ErrorRateLimited
	case a.StatusCode >= 500:
		o.Code = ErrorUnavailable
	case slices.Contains(p.RetryableCodes, a.StatusCode):
		o.Code = ErrorBusy
	case a.StatusCode == conflict && keySentBefore:
		o.Code = ErrorConflict
	default:
		return Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: truncate(errorText(a))}
	}
	after := ParseRetryAfter(a.RetryAfter, p.MaxRetryAfter, now)
	o.RetryAfter, o.Error = after.At, withWords(errorText(a), after.words(a.RetryAfter))
	return o
}

// HTTP's statuses; the domain knows no transport.
const (
	conflict        = 409
	tooManyRequests = 429
)
