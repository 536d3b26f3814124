package domain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrorCode names the kind of a failure for programs; it never changes its meaning.
type ErrorCode string

// The error codes of a sync.
const (
	ErrorUnavailable    ErrorCode = "erp_unavailable"     // 5xx
	ErrorRateLimited    ErrorCode = "erp_rate_limited"    // 429
	ErrorRejected       ErrorCode = "erp_rejected"        // any other 3xx or 4xx
	ErrorTimeout        ErrorCode = "erp_timeout"         // no answer in time: the ERP may have booked
	ErrorNetwork        ErrorCode = "erp_network"         // no connection, or it broke: the ERP may have booked
	ErrorPayloadInvalid ErrorCode = "payload_invalid"     // the payload cannot be built; no call was made
	ErrorRecordRefused  ErrorCode = "record_refused"      // a record of the sync cannot be written: it is too large for the brokers
	ErrorClosed         ErrorCode = "closed"              // the gate ended the sync; closed_by says who
	ErrorBusy           ErrorCode = "erp_retry_requested" // a status that a setting names as retryable
	ErrorConflict       ErrorCode = "erp_conflict"        // 409 under a key that may have been sent before: the ERP may be at it, or have booked it
	ErrorUnreadable     ErrorCode = "record_unreadable"   // its record could not be read and stands among the dead letters
)

// Limits of what is kept of an answer.
const (
	MaxErrorBytes    = 2 << 10
	MaxResponseBytes = 64 << 10
)

// OutcomeKind is what one ERP call came to.
type OutcomeKind int

// The kinds of outcomes. In doubt is reserved: we cannot know whether the ERP booked.
const (
	OutcomeSuccess OutcomeKind = iota + 1
	OutcomeRetryable
	OutcomeFinal
)

// Answer is what came back from one ERP call, or why nothing did.
type Answer struct {
	StatusCode int           // 0: no answer
	RetryAfter string        // the header's value
	Body       []byte        // at most MaxResponseBytes of it
	Failure    ErrorCode     // with StatusCode 0: ErrorTimeout, ErrorNetwork or ErrorPayloadInvalid
	Cause      string        // with StatusCode 0: the error's text
	Took       time.Duration // from the first byte sent to the last byte read
}

// Outcome is an answer, read.
type Outcome struct {
	Kind       OutcomeKind
	Code       ErrorCode
	Error      string
	Reference  *string
	RetryAfter *time.Time // the ERP asks for nothing earlier
}

// AnswerPolicy is what settings say of the ERP's answers.
type AnswerPolicy struct {
	RetryableCodes []int          // statuses beyond 429 and 5xx that are tried again
	AlreadyBooked  []BookedAnswer // answers that are a success
}

// BookedAnswer is an answer by which the ERP says that it has a booking under this key already.
type BookedAnswer struct {
	Status int
	Code   string // the `code` of the JSON body; empty: any
}

// Classify reads an answer: 2xx is success, and what a setting calls already booked; 429, 5xx, no answer and the codes a
// setting names are retryable; all else is final. A success whose body is not JSON is still one, without reference.
//
// 409 is retryable when the key may have been sent before: that call may still be under way, or have booked the order, and
// a failure would lead to a new key, which books it twice. Under a key that goes out for the first time it is final.
func Classify(a Answer, p AnswerPolicy, keySentBefore bool, now time.Time) Outcome {
	switch {
	case a.StatusCode == 0 && a.Failure == ErrorPayloadInvalid:
		return Outcome{Kind: OutcomeFinal, Code: a.Failure, Error: cut(a.Cause)}
	case a.StatusCode == 0:
		return Outcome{Kind: OutcomeRetryable, Code: a.Failure, Error: cut(a.Cause)}
	case a.StatusCode >= 200 && a.StatusCode <= 299, slices.ContainsFunc(p.AlreadyBooked, a.is):
		return Outcome{Kind: OutcomeSuccess, Reference: AnswerReference(a.Body)}
	}
	o := Outcome{Kind: OutcomeRetryable, Error: errorText(a), RetryAfter: ParseRetryAfter(a.RetryAfter, now)}
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
		o.Kind, o.Code, o.RetryAfter = OutcomeFinal, ErrorRejected, nil
	}
	return o
}

// is reports whether the answer is this one.
func (a Answer) is(b BookedAnswer) bool {
	return a.StatusCode == b.Status && (b.Code == "" || scalar(object(a.Body)["code"]) == b.Code)
}

// MaxRetryAfter bounds what an ERP can ask for, so that a mistaken header does not park an order for years.
const MaxRetryAfter = 30 * 24 * time.Hour

// ParseRetryAfter reads the header of RFC 9110, section 10.2.3: seconds or a date. Nil when absent or unreadable.
func ParseRetryAfter(header string, now time.Time) *time.Time {
	header = strings.TrimSpace(header)
	if header == "" {
		return nil
	}
	var at time.Time
	if seconds, err := strconv.ParseUint(header, 10, 63); err == nil {
		wait := MaxRetryAfter
		if seconds < uint64(MaxRetryAfter/time.Second) {
			wait = time.Duration(seconds) * time.Second
		}
		at = now.Add(wait)
	} else if at, err = parseHTTPDate(header); err != nil {
		return nil
	}
	if limit := now.Add(MaxRetryAfter); at.After(limit) {
		at = limit
	}
	return &at
}

// AnswerReference is what an answer calls the order: erp_reference, else erp_id, else id of a JSON object; numbers count.
func AnswerReference(body []byte) *string {
	fields := object(body)
	for _, name := range []string{"erp_reference", "erp_id", "id"} {
		if s := scalar(fields[name]); s != "" {
			return &s
		}
	}
	return nil
}

// errorText is error, else message, else the body, cut to MaxErrorBytes.
func errorText(a Answer) string {
	fields := object(a.Body)
	for _, name := range []string{"error", "message"} {
		if s := scalar(fields[name]); s != "" {
			return cut(s)
		}
	}
	if text := strings.TrimSpace(string(a.Body)); text != "" {
		return cut(text)
	}
	return fmt.Sprintf("HTTP %d without a body", a.StatusCode)
}

func object(body []byte) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil
	}
	return fields
}

// scalar is the text of a JSON string or number that is not empty, and "" for all else.
func scalar(raw json.RawMessage) string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if len(raw) == 0 || dec.Decode(&v) != nil {
		return ""
	}
	switch v := v.(type) {
	case string:
		return cut(KeepableText(v))
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

// KeepableText is s as valid UTF-8 without U+0000, which Postgres cannot keep.
func KeepableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func cut(s string) string { return Truncate(s, MaxErrorBytes) }

// Truncate is s as KeepableText, in at most so many bytes; what is cut off shows as an ellipsis.
func Truncate(s string, maxBytes int) string {
	s = KeepableText(s)
	if len(s) <= maxBytes {
		return s
	}
	end := maxBytes - len("…")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// HTTP's statuses; the domain knows no transport.
const (
	conflict        = 409
	tooManyRequests = 429
)

// parseHTTPDate reads the three date formats of RFC 9110, section 5.6.7.
func parseHTTPDate(text string) (at time.Time, err error) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, err
}
