package domain

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestKeysOfTwoOrdersNeverMeet(t *testing.T) {
	ref := rapid.Custom(func(t *rapid.T) OrderRef {
		return OrderRef{
			Source:      rapid.SampledFrom([]string{"default", "a", "shop-b"}).Draw(t, "source"),
			IncrementID: rapid.StringMatching(`[a%/25F0-9 ä]{1,8}`).Draw(t, "id"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := ref.Draw(t, "a"), ref.Draw(t, "b")
		require.Equal(t, a == b, a.Key() == b.Key())
		parsed, err := ParseKey(a.Key())
		require.NoError(t, err)
		require.Equal(t, a, parsed)
	})
}

func TestVersionsOrderAndUnpack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, a := rapid.IntRange(1, MaxGeneration).Draw(t, "g"), rapid.IntRange(0, MaxAttempts).Draw(t, "a")
		v := AttemptVersion(g, a, PhaseAfter)
		require.Equal(t, []any{g, ClassAttempt, a, PhaseAfter}, []any{v.Generation(), v.Class(), v.Attempt(), v.Phase()})
		require.Less(t, v, Version(1)<<53)
		require.Less(t, AttemptVersion(g, a, PhaseBefore), v)
		require.Less(t, v, AttemptVersion(g, a, PhaseTerminal))
		require.Less(t, RequestVersion(g, 9), v)
		require.Less(t, v, CallbackVersion(g, 1))
		require.Less(t, CallbackVersion(g, 9), RequestVersion(g+1, 0))
	})
}

func TestAmounts(t *testing.T) {
	for in, want := range map[string]string{
		`99.990`: "99.990", `"99.99"`: "99.99", `-0.10`: "-0.10", `1.5e2`: "150", `"2E-3"`: "0.002", `007`: "", `"007"`: "7",
		`12345678901234.12345678`: "12345678901234.12345678", `123456789012345`: "", `0.123456789`: "", `"1,5"`: "", `""`: "",
		`"+1"`: "", `true`: "", `1e400`: "", `"1e99"`: "", `0`: "0", `-0`: "-0",
	} {
		var a Amount
		err := json.Unmarshal([]byte(in), &a)
		if want == "" {
			require.Error(t, err, in)
			continue
		}
		require.NoError(t, err, in)
		out, err := json.Marshal(a)
		require.NoError(t, err)
		require.Equal(t, want, string(out), in)
		require.Equal(t, a.Rat().Sign(), a.Sign(), in)
	}
}

func TestClassify(t *testing.T) {
	policy := AnswerPolicy{
		RetryableCodes: []int{423}, AlreadyBooked: []BookedAnswer{{Status: 409, Code: "ALREADY_BOOKED"}, {Status: 422, Code: "17"}, {Status: 410}},
	}
	for name, c := range map[string]struct {
		answer Answer
		want   Outcome
	}{
		"accepted":                  {Answer{StatusCode: 201, Body: AnswerBodyOf([]byte(`{"erp_reference":"E","id":4}`))}, Outcome{Kind: OutcomeSuccess, Reference: ptr("E")}},
		"accepted_with_a_number":    {Answer{StatusCode: 200, Body: AnswerBodyOf([]byte(`{"id":12345678901234567890}`))}, Outcome{Kind: OutcomeSuccess, Reference: ptr("12345678901234567890")}},
		"accepted_not_json":         {Answer{StatusCode: 204, Body: AnswerBodyOf([]byte(`ok`))}, Outcome{Kind: OutcomeSuccess}},
		"busy":                      {Answer{StatusCode: 503, RetryAfter: "5", Body: AnswerBodyOf([]byte(`{"error":"busy"}`))}, Outcome{Kind: OutcomeRetryable, Code: ErrorUnavailable, Error: "busy", RetryAfter: ptr(noon.Add(5 * time.Second))}},
		"too_many":                  {Answer{StatusCode: 429, Body: AnswerBodyOf([]byte(`{"message":"slow"}`))}, Outcome{Kind: OutcomeRetryable, Code: ErrorRateLimited, Error: "slow"}},
		"rejected":                  {Answer{StatusCode: 400, Body: AnswerBodyOf([]byte(`nope`))}, Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: "nope"}},
		"redirected":                {Answer{StatusCode: 302}, Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: "HTTP 302 without a body"}},
		"in_progress_by_setting":    {Answer{StatusCode: 423, Body: AnswerBodyOf([]byte(`{}`))}, Outcome{Kind: OutcomeRetryable, Code: ErrorBusy, Error: "{}"}},
		"booked_by_setting":         {Answer{StatusCode: 409, Body: AnswerBodyOf([]byte(`{"code":"ALREADY_BOOKED","erp_id":7}`))}, Outcome{Kind: OutcomeSuccess, Reference: ptr("7")}},
		"booked_by_a_number":        {Answer{StatusCode: 422, Body: AnswerBodyOf([]byte(`{"code":17}`))}, Outcome{Kind: OutcomeSuccess}},
		"booked_whatever_the_code":  {Answer{StatusCode: 410, Body: AnswerBodyOf([]byte(`gone`))}, Outcome{Kind: OutcomeSuccess}},
		"another_code":              {Answer{StatusCode: 422, Body: AnswerBodyOf([]byte(`{"code":"NO","error":"no"}`))}, Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: "no"}},
		"no_answer":                 {Answer{Failure: ErrorTimeout, Cause: "slow"}, Outcome{Kind: OutcomeRetryable, Code: ErrorTimeout, Error: "slow", Doubtful: true}},
		"payload_that_is_not_built": {Answer{Failure: ErrorPayloadInvalid, Cause: "x"}, Outcome{Kind: OutcomeFinal, Code: ErrorPayloadInvalid, Error: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, Classify(c.answer, policy, false, noon))
			require.Equal(t, c.want, Classify(c.answer, policy, true, noon))
		})
	}
}

// A hand-over repeats a call that may be under way still: an ERP that says 409 for that must not end a booked order as failed.
func TestAConflictIsTriedAgainWhereTheKeyWasSentBefore(t *testing.T) {
	busy := Answer{StatusCode: 409, RetryAfter: "5", Body: AnswerBodyOf([]byte(`{"error":"in progress"}`))}
	for name, c := range map[string]struct {
		sync   Sync
		policy AnswerPolicy
		want   Outcome
	}{
		"for_the_first_time":          {Sync{Generation: 1}, AnswerPolicy{}, Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: "in progress"}},
		"once_more":                   {Sync{Generation: 1, Attempts: 1}, AnswerPolicy{}, Outcome{Kind: OutcomeRetryable, Code: ErrorConflict, Error: "in progress", RetryAfter: ptr(noon.Add(5 * time.Second)), Doubtful: true}},
		"a_resync_under_the_same_key": {Sync{Generation: 2}, AnswerPolicy{}, Outcome{Kind: OutcomeRetryable, Code: ErrorConflict, Error: "in progress", RetryAfter: ptr(noon.Add(5 * time.Second)), Doubtful: true}},
		"a_resync_under_a_new_key":    {Sync{Generation: 2, NewKey: true}, AnswerPolicy{}, Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: "in progress"}},
		"a_setting_says_so":           {Sync{Generation: 1}, AnswerPolicy{RetryableCodes: []int{409}}, Outcome{Kind: OutcomeRetryable, Code: ErrorBusy, Error: "in progress", RetryAfter: ptr(noon.Add(5 * time.Second)), Doubtful: true}},
		"a_setting_says_booked":       {Sync{Generation: 1, Attempts: 1}, AnswerPolicy{AlreadyBooked: []BookedAnswer{{Status: 409}}}, Outcome{Kind: OutcomeSuccess}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, Classify(busy, c.policy, c.sync.KeySentBefore(), noon))
		})
	}
}

// The module's delays: 2, 4, 8 and 16 minutes after attempts 1 to 4, and the end after the fifth.
func TestDecideWaitsAsTheModuleDoes(t *testing.T) {
	s := Sync{Generation: 1, MaxAttempts: 5, SyncID: 1}
	var waits []time.Duration
	for {
		d := Decide(s, Outcome{Kind: OutcomeRetryable, Code: ErrorUnavailable}, RetryPolicy{BaseDelay: time.Minute}, noon, 0)
		if d.Terminal != nil {
			require.Equal(t, Failed, d.Terminal.Status)
			require.Equal(t, 5, d.Terminal.Attempts)
			break
		}
		waits = append(waits, d.Retry.Sub(noon))
		s = d.After
	}
	require.Equal(t, []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute}, waits)
}

func TestDueIsNeverEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "now")))
		attempts := rapid.IntRange(1, 2000).Draw(t, "attempts")
		p := RetryPolicy{BaseDelay: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base"))}
		after := now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "after")))
		due := Due(attempts, &after, p, now, 0)
		require.False(t, due.Before(after))
		require.Equal(t, due, NormalizeTime(due))
		if attempts < 8 {
			require.False(t, due.Before(now.Add(p.BaseDelay<<attempts)))
		}
		require.False(t, due.After(now.Add(MaxRetryAfter+time.Second)))
	})
}

func TestAdvise(t *testing.T) {
	s := Sync{Generation: 2}
	open := Gate{Generation: 2, State: GateOpen}
	for name, c := range map[string]struct {
		gate *Gate
		want func(Advice) bool
	}{
		"open":       {&open, func(a Advice) bool { return a == Advice{} }},
		"missing":    {nil, func(a Advice) bool { return !a.Stop && a.Alarm != "" }},
		"older":      {&Gate{Generation: 1, State: GateOpen}, func(a Advice) bool { return !a.Stop && a.Alarm != "" }},
		"newer":      {&Gate{Generation: 3, State: GateOpen}, func(a Advice) bool { return a.Stop && a.ClosedBy == ClosedBySuperseded }},
		"settled":    {&Gate{Generation: 2, State: GateClosed, ClosedBy: ClosedByWebhook}, func(a Advice) bool { return a.Stop && !a.Ended && a.ClosedBy == ClosedByWebhook }},
		"ended":      {&Gate{Generation: 2, State: GateClosed, ClosedBy: ClosedByAnswer}, func(a Advice) bool { return a.Stop && a.Ended && a.Alarm != "" }},
		"still_held": {&Gate{Generation: 2, State: GateHeld}, func(a Advice) bool { return !a.Stop && a.Alarm != "" }},
	} {
		t.Run(name, func(t *testing.T) { require.True(t, c.want(Advise(c.gate, s)), "%+v", Advise(c.gate, s)) })
	}
}

// Vectors by another implementation: printf 'default\000000000123\0001' | sha256sum | cut -c1-32
func TestIdempotencyKeyIsWhatSha256sumSays(t *testing.T) {
	require.Equal(t, "ERP_e45348fa3a063e995d685afcb6df1569", IdempotencyKey(OrderRef{"default", "000000123"}, 1))
	require.Equal(t, "ERP_fa935c9dade6d1be25e82c690195bada", IdempotencyKey(OrderRef{"default", "000000123"}, 2))
}

func TestPayloadHasTheModulesFields(t *testing.T) {
	var o Order
	require.NoError(t, json.Unmarshal([]byte(`{"order_increment_id":"000000123","order_id":123,"customer_email":"customer@example.com",
		"customer_firstname":"John","customer_lastname":"Doe","items":[
		{"item_id":1,"sku":"PROD-001","name":"Größe <L> & more","qty":2,"price":"99.99","row_total":199.98},
		{"item_id":2,"parent_item_id":1,"sku":"PROD-001-RED","name":"Child","qty":2,"price":0,"row_total":0}],
		"totals":{"subtotal":199.98,"tax":"20.00","shipping":"10.00","discount":"0.00","grand_total":"229.98"},
		"billing_address":{"firstname":"John","street":["Main St 1"]},"shipping_address":{"firstname":"Eve"},
		"created_at":"2024-01-15T11:00:00+01:00","updated_at":"2024-01-15 10:00:00"}`), &o))
	const head = `"order_increment_id":"000000123","order_id":123,"customer_email":"customer@example.com","customer_firstname":"John","customer_lastname":"Doe",` +
		`"items":[{"sku":"PROD-001","name":"Größe <L> & more","qty":2,"price":99.99,"row_total":199.98}],` +
		`"totals":{"subtotal":199.98,"tax":20.00,"shipping":10.00,"discount":0.00,"grand_total":229.98},` +
		`"billing_address":{"firstname":"John","lastname":null,"street":["Main St 1"],"city":null,"region":null,"postcode":null,"country_id":null,"telephone":null},`
	const dates = `,"created_at":"2024-01-15 10:00:00","updated_at":"2024-01-15 10:00:00"}`
	shipped := `"shipping_address":{"firstname":"Eve","lastname":null,"street":null,"city":null,"region":null,"postcode":null,"country_id":null,"telephone":null}`
	for name, c := range map[string]struct {
		source  string
		virtual bool
		want    string
	}{
		"default":    {"default", false, "{" + head + shipped + dates},
		"virtual":    {"default", true, "{" + head + `"shipping_address":null` + dates},
		"other_shop": {"shop-b", false, `{"source":"shop-b",` + head + shipped + dates},
	} {
		t.Run(name, func(t *testing.T) {
			o.IsVirtual = c.virtual
			got, err := BuildPayload(OrderRef{c.source, "000000123"}, o)
			require.NoError(t, err)
			require.Equal(t, c.want, string(got))
		})
	}
}

func TestTotals(t *testing.T) {
	for name, c := range map[string]struct {
		discount, card, grand string
		ok                    bool
	}{
		"add_up":                {"5.00", "-10", "215.00", true},
		"with_a_minus_discount": {"-5.00", "-10", "215", true},
		"one_cent_off":          {"5.00", "-10", "215.01", false},
	} {
		t.Run(name, func(t *testing.T) {
			var totals Totals
			require.NoError(t, json.Unmarshal(fmt.Appendf(nil, `{"subtotal":"200","tax":20,"shipping":10,"discount":%s,"adjustments":[{"code":"giftcard","amount":%s}],"grand_total":%s}`,
				c.discount, c.card, c.grand), &totals))
			require.Equal(t, c.ok, totals.CheckTotals() == nil)
		})
	}
}
