package domain

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Lookup is what asking the ERP about an order in doubt has come to.
type Lookup string

// The results of a look-up. Empty: nobody asked.
const (
	LookupFound      Lookup = "found"     // the ERP has booked the order: it is not sent again
	LookupNotFound   Lookup = "not_found" // the ERP has no booking: the order is sent
	LookupUnanswered Lookup = "no_answer" // nothing is known: ask again later
)

// LookupPath is the setting erp_lookup: the path below the ERP's base URL at which it says whether it has booked an order, like
// /orders?key={idempotency_key}. Empty: nobody asks.
type LookupPath string

// The placeholders of a LookupPath.
const (
	holdsOrder  = "{order_increment_id}"
	holdsKey    = "{idempotency_key}"
	holdsSource = "{source}"
)

// Check says what is wrong with the path. The words follow its name.
func (p LookupPath) Check() error {
	filled := p.fill(func(string) string { return "x" })
	u, err := url.Parse(filled)
	switch {
	case p == "":
		return nil
	case !strings.HasPrefix(string(p), "/"):
		return errors.New("does not begin with /")
	case strings.ContainsAny(filled, "{}"):
		return fmt.Errorf("has a brace that is none of %s, %s and %s", holdsOrder, holdsKey, holdsSource)
	case !strings.Contains(string(p), holdsOrder) && !strings.Contains(string(p), holdsKey):
		return fmt.Errorf("names neither %s nor %s, so all orders would be one", holdsKey, holdsOrder)
	case err != nil || strings.ContainsAny(filled, "#\\ ") || !isASCII(filled):
		return errors.New("is no path of a URL: percent-encode what else it must contain, and leave out a fragment")
	case hasDotSegment(u.EscapedPath()):
		return errors.New("has a segment of dots, which leads to another path")
	}
	return nil
}

// For is the path for a sync; ok is false when the ERP's answer could be about another booking, or when there is no path. Whoever asks
// by the order's number alone must know that it has had one key only, as otherwise the booking may be that of an earlier one, and
// that no other shop has such a number.
func (p LookupPath) For(s Sync) (path string, ok bool) {
	values := map[string]string{holdsOrder: s.OrderIncrementID, holdsKey: s.IdempotencyKey, holdsSource: s.Source}
	switch byKey := strings.Contains(string(p), holdsKey); {
	case p == "":
		return "", false
	case !byKey && s.IdempotencyKey != IdempotencyKey(s.Ref(), 1):
		return "", false
	case !byKey && !strings.Contains(string(p), holdsSource) && s.Source != DefaultSource:
		return "", false
	}
	filled := p.fill(func(placeholder string) string { return escaped(values[placeholder]) })
	before, _, _ := strings.Cut(filled, "?")
	return filled, !hasDotSegment(before) // an order may be called ".."
}

func (p LookupPath) fill(value func(placeholder string) string) string {
	return strings.NewReplacer(holdsOrder, value(holdsOrder), holdsKey, value(holdsKey), holdsSource, value(holdsSource)).Replace(string(p))
}

// escaped is a value for a path or a query: all but letters, digits and -_.~ is percent-encoded.
func escaped(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// InDoubt reports whether the ERP may have booked the order under its key, and nobody here has heard of it: an answer was lost, or a
// former owner of the record died during a call (mayBeRepeated), or this is a resync under a key that went out before. A record of a
// time without a look-up names only the code of its last failure.
func (s Sync) InDoubt(mayBeRepeated bool) bool {
	lost := s.ErrorCode == ErrorTimeout || s.ErrorCode == ErrorNetwork || s.ErrorCode == ErrorConflict
	return s.Doubtful || mayBeRepeated || s.Attempts > 0 && lost || s.Generation > 1 && !s.NewKey
}

// gatewayLost are the statuses by which a proxy says that it had no answer of the ERP: 502 and 504 of HTTP, 520 and 524 of Cloudflare.
var gatewayLost = map[int]bool{502: true, 504: true, 520: true, 524: true}

// leavesDoubt reports whether the ERP may have booked the order although this is no success.
func (a Answer) leavesDoubt() bool {
	if a.StatusCode == 0 {
		return !a.NotSent && a.Failure != ErrorPayloadInvalid
	}
	return gatewayLost[a.StatusCode] || a.StatusCode == conflict || a.noAnswer() != "" || a.isSuccess()
}

// LookupResult is what the answer to a look-up means.
type LookupResult struct {
	Lookup    Lookup
	Reference *string // of what was found
	Why       string  // there is no answer
}

// ReadLookup reads the answer to a look-up. Found is a 2xx with a JSON object, or a list of one, that names the order as the answer to
// a call would. Not found is 404, 410, or a 2xx with null or an empty list. Everything else is no answer: to take it for "not
// found" would book the order twice, and to take it for "found" would lose it.
func ReadLookup(a Answer, s Sync, p AnswerPolicy) LookupResult {
	unanswered := func(why string) LookupResult {
		return LookupResult{Lookup: LookupUnanswered, Why: truncate(why)}
	}
	switch {
	case a.StatusCode == 0:
		return unanswered(a.Cause)
	case a.StatusCode == 404, a.StatusCode == 410:
		return LookupResult{Lookup: LookupNotFound}
	case a.noAnswer() != "":
		return unanswered(a.noAnswer())
	case !a.isSuccess():
		return unanswered(fmt.Sprintf("HTTP %d: %s", a.StatusCode, errorText(a)))
	case a.Body.saysNone():
		return LookupResult{Lookup: LookupNotFound}
	}
	reference, why := a.Body.booking(s, p)
	if why != "" {
		return unanswered(fmt.Sprintf("HTTP %d does not say whether the order is booked: %s", a.StatusCode, why))
	}
	return LookupResult{Lookup: LookupFound, Reference: reference}
}

// saysNone reports whether the body is null or an empty list.
func (b AnswerBody) saysNone() bool {
	text := strings.Join(strings.Fields(strings.TrimPrefix(string(b.Start), byteOrderMark)), "")
	return b.isWhole && (text == "null" || text == "[]")
}

// booking is the reference in a body that stands for one booking of this order. An object that names another order or key, as an ERP
// answers that ignores a filter, is none.
func (b AnswerBody) booking(s Sync, p AnswerPolicy) (reference *string, why string) {
	if b.top.kind == listValue {
		if len(b.top.parts) != 1 || b.top.dropped || b.top.parts[0].kind != objectValue || b.top.parts[0].dropped {
			return nil, "the list does not consist of one object that can be read whole"
		}
		one := b.top.parts[0]
		b.isObject, b.members = true, map[string]value{}
		for _, name := range one.names {
			b.members[name] = one.member(name)
		}
	}
	if o, is := disguised(Answer{StatusCode: 200, Body: b}, p); is {
		return nil, o.Error
	}
	for name, want := range map[string]string{"order_increment_id": s.OrderIncrementID, "idempotency_key": s.IdempotencyKey, "source": s.Source} {
		if said := b.members[name].text; said != "" && said != want {
			return nil, "its " + name + " is that of another order"
		}
	}
	if reference, why = b.Reference(p.ReferenceFields...); reference == nil && why == "" {
		why = "no number of the order is in it"
	}
	return reference, why
}
