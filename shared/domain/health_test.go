package domain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatACallSaysAboutTheERP(t *testing.T) {
	t.Parallel()
	p := HealthPolicy{
		FailingStatuses: []int{401, 404},
		OrderAnswers:    []BookedAnswer{{Status: 500, Code: "UNKNOWN_SKU"}, {Status: 503, Code: "LOCKED"}},
		AlreadyBooked:   []BookedAnswer{{Status: 409}, {Status: 500, Code: "BOOKED"}},
	}
	coded := func(status int, code string) Answer {
		return Answer{StatusCode: status, Body: AnswerBodyOf([]byte(`{"code":"` + code + `"}`))}
	}
	for name, c := range map[string]struct {
		answer Answer
		want   Health
	}{
		"it took the order":                   {Answer{StatusCode: 201}, HealthGood},
		"it has the order":                    {Answer{StatusCode: 409}, HealthGood},
		"it has the order, it says with 500":  {coded(500, "BOOKED"), HealthGood},
		"no connection":                       {Answer{Failure: ErrorNetwork}, HealthFailing},
		"no answer in time":                   {Answer{Failure: ErrorTimeout}, HealthFailing},
		"no call":                             {Answer{Failure: ErrorPayloadInvalid}, HealthUnknown},
		"a status that is no answer":          {Answer{StatusCode: 101}, HealthFailing},
		"a success before the order was sent": {Answer{StatusCode: 200, Unsent: 5}, HealthFailing},
		"500":                                 {Answer{StatusCode: 500}, HealthFailing},
		"500 about one order":                 {coded(500, "UNKNOWN_SKU"), HealthOrderOwn},
		"500 about something else":            {coded(500, "NO_DISK"), HealthFailing},
		"501":                                 {Answer{StatusCode: 501}, HealthFailing},
		"503":                                 {Answer{StatusCode: 503, RetryAfter: "5"}, HealthUnavailable},
		"503 about one order":                 {coded(503, "LOCKED"), HealthOrderOwn},
		"a status beyond those of HTTP":       {Answer{StatusCode: 999}, HealthFailing},
		"429":                                 {Answer{StatusCode: 429}, HealthBusy},
		"the order is refused":                {Answer{StatusCode: 422}, HealthOrderOwn},
		"a redirect":                          {Answer{StatusCode: 302}, HealthOrderOwn},
		"a wrong key, by setting":             {Answer{StatusCode: 401}, HealthFailing},
		"a wrong path, by setting":            {Answer{StatusCode: 404}, HealthFailing},
		"a status that the setting does not name":  {Answer{StatusCode: 403}, HealthOrderOwn},
		"an order that is worked on under its key": {Answer{StatusCode: 423}, HealthOrderOwn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, HealthOf(c.answer, p))
		})
	}
	require.Equal(t, HealthOrderOwn, HealthOf(Answer{StatusCode: 401}, HealthPolicy{}))
}

// What counts for the breaker, and what asks for fewer calls, are two questions; 503 is both.
func TestWhichHealthFailsAndWhichSlows(t *testing.T) {
	t.Parallel()
	for h, want := range map[Health][2]bool{
		HealthUnknown: {false, false}, HealthGood: {false, false}, HealthOrderOwn: {false, false},
		HealthFailing: {true, false}, HealthUnavailable: {true, true}, HealthBusy: {false, true},
	} {
		require.Equal(t, want, [2]bool{h.Fails(), h.Slows()}, string(h))
	}
}

func TestWhatAProbeSays(t *testing.T) {
	t.Parallel()
	p := HealthPolicy{FailingStatuses: []int{401, 404}, AlreadyBooked: []BookedAnswer{{Status: 409}}}
	for name, c := range map[string]struct {
		answer Answer
		want   ProbeVerdict
	}{
		"it works":             {Answer{StatusCode: 204}, ProbeGood},
		"it cannot be reached": {Answer{Failure: ErrorNetwork}, ProbeFailing},
		"it does not answer":   {Answer{Failure: ErrorTimeout}, ProbeFailing},
		"it does not work":     {Answer{StatusCode: 500}, ProbeFailing},
		"it is maintained":     {Answer{StatusCode: 503}, ProbeFailing},
		"it is busy":           {Answer{StatusCode: 429}, ProbeFailing},
		"no such endpoint":     {Answer{StatusCode: 405}, ProbeMissing},
		"no such endpoint, and 404 counts as wrong": {Answer{StatusCode: 404}, ProbeMissing},
		"not implemented":                  {Answer{StatusCode: 501}, ProbeMissing},
		"a wrong key":                      {Answer{StatusCode: 401}, ProbeFailing},
		"it does not want to tell":         {Answer{StatusCode: 403}, ProbeMissing},
		"a redirect to a login":            {Answer{StatusCode: 302}, ProbeMissing},
		"a health endpoint books no order": {Answer{StatusCode: 409}, ProbeMissing},
		"no call":                          {Answer{Failure: ErrorPayloadInvalid}, ProbeAbandoned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, HealthProbe(c.answer, p))
		})
	}
	for h, want := range map[Health]ProbeVerdict{
		HealthUnknown: ProbeAbandoned, HealthGood: ProbeGood, HealthOrderOwn: ProbeGood, HealthBusy: ProbeGood,
		HealthFailing: ProbeFailing, HealthUnavailable: ProbeFailing,
	} {
		require.Equal(t, want, OrderProbe(h), string(h))
	}
}
