package domain

import "slices"

// Health is what one call says about the ERP. The Outcome says what the same call means for its order.
type Health string

// What a call says about the ERP. The values are stable: they stand in the history of the breaker.
const (
	HealthUnknown     Health = ""            // nothing: no call was made
	HealthGood        Health = "good"        // it took the order
	HealthFailing     Health = "failing"     // it does not work, or cannot be reached
	HealthUnavailable Health = "unavailable" // 503: it does not work, and may have too much to do
	HealthBusy        Health = "busy"        // 429: it works, and has too much to do
	HealthOrderOwn    Health = "order"       // it works, and does not take this order
)

// Fails reports whether the call counts as a failure of the ERP for the breaker.
//
// 503 is among them although the ERP may only be busy: during an outage a proxy answers 503 to everything, and each answer costs an
// attempt of an order. 429 is not: an ERP that counts requests works.
func (h Health) Fails() bool { return h == HealthFailing || h == HealthUnavailable }

// Slows reports whether the ERP asks for fewer calls.
func (h Health) Slows() bool { return h == HealthBusy || h == HealthUnavailable }

// HealthPolicy is what the settings say about answers and the ERP's health.
type HealthPolicy struct {
	FailingStatuses []int          // statuses like 401, 403 and 404 that tell of the ERP, not of the order
	OrderAnswers    []BookedAnswer // 5xx answers that tell of the order, not of the ERP
	AlreadyBooked   []BookedAnswer // answers that are a success, see AnswerPolicy
}

// HealthOf tells what an answer says about the ERP. Failing are no answer, 5xx, and the statuses that a setting names; a setting may
// also name the 5xx by which an ERP speaks of one order. Every other answer comes from an ERP that works.
func HealthOf(a Answer, p HealthPolicy) Health {
	switch {
	case a.StatusCode == 0 && a.Failure == ErrorPayloadInvalid:
		return HealthUnknown
	case a.StatusCode == 0, a.noAnswer() != "":
		return HealthFailing
	case a.isSuccess(), slices.ContainsFunc(p.AlreadyBooked, a.is):
		return HealthGood
	case slices.ContainsFunc(p.OrderAnswers, a.is):
		return HealthOrderOwn
	case a.StatusCode == tooManyRequests:
		return HealthBusy
	case a.StatusCode == serviceUnavailable:
		return HealthUnavailable
	case a.StatusCode >= 500, slices.Contains(p.FailingStatuses, a.StatusCode):
		return HealthFailing
	}
	return HealthOrderOwn
}

// ProbeVerdict is what a probe of the ERP says.
type ProbeVerdict string

// The verdicts of a probe.
const (
	ProbeGood      ProbeVerdict = "good"      // the ERP works
	ProbeFailing   ProbeVerdict = "failing"   // it does not
	ProbeMissing   ProbeVerdict = "missing"   // there is no health endpoint that could tell: probe by an order
	ProbeAbandoned ProbeVerdict = "abandoned" // nobody knows: no call was made, or the process stopped
)

// HealthProbe is what an answer of the health endpoint says. 2xx is a working ERP. 404, 405 and 501 say that there is no such
// endpoint, also where the settings call them failing. Other answers below 500 come from an ERP that does not want to tell, so an
// order must find out. An ERP that is busy is left alone.
func HealthProbe(a Answer, p HealthPolicy) ProbeVerdict {
	switch a.StatusCode {
	case notFound, methodNotAllowed, notImplemented:
		return ProbeMissing
	}
	switch HealthOf(a, HealthPolicy{FailingStatuses: p.FailingStatuses}) {
	case HealthGood:
		return ProbeGood
	case HealthFailing, HealthUnavailable, HealthBusy:
		return ProbeFailing
	case HealthOrderOwn:
		return ProbeMissing
	default:
		return ProbeAbandoned
	}
}

// OrderProbe is what the call of one real order says when it is the probe. An ERP that is busy works.
func OrderProbe(h Health) ProbeVerdict {
	switch {
	case h == HealthUnknown:
		return ProbeAbandoned
	case h.Fails():
		return ProbeFailing
	}
	return ProbeGood
}

// HTTP's statuses that only health knows.
const (
	notFound           = 404
	methodNotAllowed   = 405
	notImplemented     = 501
	serviceUnavailable = 503
)
