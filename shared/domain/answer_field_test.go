package domain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFields(t *testing.T) {
	t.Parallel()
	for field, want := range map[AnswerField]bool{
		"success": true, "a.b.c.d": true, "@odata.type": true, "$id": true,
		"": false, ".": false, "a.": false, "a..b": false, "a.b.c.d.e": false, "a b": false, "a[0]": false, "größe": false, AnswerField(strings.Repeat("a", 65)): false,
	} {
		require.Equal(t, want, field.IsValid(), field)
	}
}

// Symptom: an ERP answered 200 to orders that it refused, and they were shown as sent.
func TestAnswersInDisguise(t *testing.T) {
	t.Parallel()
	policy := AnswerPolicy{
		FailureFields:   []FailureField{{"success", "false"}, {"result.status", "error"}, {"result.code", "17"}, {"order", "null"}},
		ReferenceFields: []AnswerField{"data.order.number", "booking"},
		AlreadyBooked:   []BookedAnswer{{200, "DUP"}, {Status: 409}, {422, "DUP"}},
		RetryPages:      true,
	}
	success := func(reference *string) Outcome { return Outcome{Kind: OutcomeSuccess, Reference: reference} }
	failure := func(text string) Outcome { return Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: text} }
	long := strings.Repeat(`"padding",`, 4000)
	for name, c := range map[string]struct {
		status int
		body   string
		want   Outcome
	}{
		"a_success":                       {200, `{"success":true,"id":5}`, success(ptr("5"))},
		"a_failure":                       {200, `{"success":false,"message":"no such sku","id":5}`, failure("no such sku; HTTP 200 says success=false")},
		"a_failure_as_a_text":             {201, `{"success":"false"}`, failure(`{"success":"false"}; HTTP 201 says success=false`)},
		"a_failure_further_in":            {200, `{"result":{"status":"error"},"error":"no"}`, failure("no; HTTP 200 says result.status=error")},
		"a_failure_by_a_number":           {200, `{"result":{"code":17},"error":"no"}`, failure("no; HTTP 200 says result.code=17")},
		"a_failure_by_null":               {200, `{"order":null,"error":"no"}`, failure("no; HTTP 200 says order=null")},
		"the_last_of_two_counts":          {200, `{"success":false,"success":true}`, success(nil)},
		"another_value":                   {200, `{"success":0,"result":{"status":"ok","code":1.7e1}}`, success(nil)},
		"another_place":                   {200, `{"data":{"success":false}}`, success(nil)},
		"a_value_in_place_of_an_object":   {200, `{"result":"error"}`, success(nil)},
		"nothing":                         {204, ``, success(nil)},
		"accepted":                        {202, ``, success(nil)},
		"an_empty_success":                {200, ``, success(nil)},
		"a_text":                          {200, `success=false`, success(nil)},
		"a_reference_further_in":          {200, `{"id":5,"data":{"order":{"number":"E-5"}}}`, success(ptr("E-5"))},
		"the_first_place_that_is_there":   {200, `{"id":5,"booking":7}`, success(ptr("7"))},
		"an_object_in_place_of_a_number":  {200, `{"id":5,"booking":{"id":7}}`, success(ptr("5"))},
		"booked_under_this_key":           {409, `{"data":{"order":{"number":"E-6"}}}`, success(ptr("E-6"))},
		"booked_by_another_status":        {422, `{"code":"DUP","booking":"E-7"}`, success(ptr("E-7"))},
		"booked_in_a_failure_in_disguise": {200, `{"success":false,"code":"DUP","booking":"E-8"}`, success(ptr("E-8"))},
		"refused_by_the_same_status":      {422, `{"code":"NO","error":"no"}`, failure("no")},
		"a_page":                          {200, `<!doctype html><title>We are back soon</title>`, Outcome{Kind: OutcomeRetryable, Code: ErrorUnavailable, Doubtful: true, Error: "We are back soon (an HTML page: a proxy or a web server may have answered in the ERP's place); HTTP 200, and retry_html_pages is on"}},
		"broken_off_before_it_is_clear":   {200, `{"id":5,`, Outcome{Kind: OutcomeRetryable, Code: ErrorNetwork, Doubtful: true, Error: "HTTP 200 does not show whether it says success=false: its answer is too long or broke off"}},
		"longer_than_is_kept":             {200, `{"success":true,"result":{"a":[` + long + `1],"status":"error"},"order":1}`, Outcome{Kind: OutcomeRetryable, Code: ErrorNetwork, Doubtful: true, Error: "HTTP 200 does not show whether it says result.status=error: its answer is too long or broke off"}},
		"clear_before_what_is_not_kept":   {200, `{"success":true,"result":{"status":"ok","code":1,"a":[` + long + `1]},"id":6}`, success(ptr("6"))},
		"clear_before_it_breaks_off":      {200, `{"success":false,"error":"no","id":5,`, failure("no; HTTP 200 says success=false")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := Answer{StatusCode: c.status, Body: AnswerBodyOf([]byte(c.body), policy.Members()...)}
			require.Equal(t, c.want, Classify(a, policy, false, noon))
		})
	}
}

// Without the settings all of these are what they were.
func TestWithoutASettingNothingIsInDisguise(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"success":false}`, `<html><title>x</title>`, ``, `{"order":null}`} {
		require.Equal(t, Outcome{Kind: OutcomeSuccess}, Classify(Answer{StatusCode: 200, Body: AnswerBodyOf([]byte(body))}, AnswerPolicy{}, false, noon), body)
	}
}

// A look-up reads its answer by the same settings: a failure in disguise says nothing of the order.
func TestALookupIsReadByTheSettingsToo(t *testing.T) {
	t.Parallel()
	policy := AnswerPolicy{FailureFields: []FailureField{{"success", "false"}}, ReferenceFields: []AnswerField{"data.number"}, RetryPages: true}
	read := func(body string) LookupResult {
		return ReadLookup(Answer{StatusCode: 200, Body: AnswerBodyOf([]byte(body), policy.Members()...)}, Sync{}, policy)
	}
	require.Equal(t, LookupResult{Lookup: LookupFound, Reference: ptr("E-1")}, read(`{"success":true,"data":{"number":"E-1"}}`))
	require.Equal(t, LookupResult{Lookup: LookupFound, Reference: ptr("E-1")}, read(`[{"success":true,"data":{"number":"E-1"}}]`))
	for _, body := range []string{`{"success":false,"id":1}`, `[{"success":false,"id":1}]`, `<html><title>x</title>`} {
		require.Equal(t, LookupUnanswered, read(body).Lookup, body)
	}
}
