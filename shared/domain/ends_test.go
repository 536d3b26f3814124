package domain

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// onItsWay is the sync of a chain record after two calls.
func onItsWay() Sync {
	s := openGate(2, 1).RequestedSync(new(int64(70)), "evt")
	s.Attempts, s.LastAttemptAt, s.NextAttemptAt = 2, &noon, new(noon.Add(time.Minute))
	s.ErrorCode, s.ErpReference, s.NewKey = ErrorUnavailable, new("old"), true
	return s
}

// An end without a call counts no attempt, and leaves nothing of the attempt before it.
func TestEndsWithoutACall(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Hour)
	for name, c := range map[string]struct {
		got    Sync
		status Status
		code   ErrorCode
		by     ClosedBy
		ended  ClosedBy
	}{
		"a payload that cannot be built":    {Unsendable(onItsWay(), later), Failed, ErrorPayloadInvalid, "", ClosedByFailure},
		"a record that cannot be written":   {Refused(onItsWay(), later), Failed, ErrorRecordRefused, "", ClosedByFailure},
		"a retry whose time is over":        {GivenUp(onItsWay(), later), Failed, ErrorGivenUp, "", ClosedByFailure},
		"a gate that a callback has closed": {Closed(onItsWay(), ClosedByWebhook, later), Success, "", ClosedByWebhook, ClosedByWebhook},
		"a gate that was cancelled":         {Closed(onItsWay(), ClosedByCancelled, later), Failed, ErrorClosed, ClosedByCancelled, ClosedByCancelled},
		"a newer generation":                {Closed(onItsWay(), ClosedBySuperseded, later), Failed, ErrorClosed, ClosedBySuperseded, ClosedBySuperseded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := onItsWay()
			want.Status, want.ErrorCode, want.ClosedBy = c.status, c.code, c.by
			want.NextAttemptAt, want.ErpReference, want.Released, want.Cause = nil, nil, nil, ""
			want.Version, want.UpdatedAt = AttemptVersion(2, 2, PhaseTerminal), later
			if c.code == ErrorGivenUp {
				want.Version = AttemptVersion(2, 3, PhaseTerminal)
			}
			require.Equal(t, want, c.got)
			require.Equal(t, c.ended, c.got.EndedBy())
		})
	}
	require.Equal(t, ClosedByAnswer, Sync{Status: Success}.EndedBy())
}

func TestWhatACallComesTo(t *testing.T) {
	t.Parallel()
	p := RetryPolicy{BaseDelay: time.Second}
	for name, c := range map[string]struct {
		outcome  Outcome
		attempts int // before the call
		after    Status
		terminal Status // empty: a retry follows
		code     ErrorCode
	}{
		"a success":                        {Outcome{Kind: OutcomeSuccess, Reference: new("R")}, 0, InProgress, Success, ""},
		"a success at the last attempt":    {Outcome{Kind: OutcomeSuccess}, 4, InProgress, Success, ""},
		"a final failure":                  {Outcome{Kind: OutcomeFinal, Code: ErrorRejected}, 0, InProgress, Failed, ErrorRejected},
		"a failure that is tried again":    {Outcome{Kind: OutcomeRetryable, Code: ErrorTimeout}, 3, Queued, "", ErrorTimeout},
		"the last attempt fails":           {Outcome{Kind: OutcomeRetryable, Code: ErrorTimeout}, 4, InProgress, Failed, ErrorTimeout},
		"more attempts than are there now": {Outcome{Kind: OutcomeRetryable, Code: ErrorTimeout}, 9, InProgress, Failed, ErrorTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onItsWay()
			s.Attempts = c.attempts
			d := Decide(s, c.outcome, p, noon, 0)
			require.Equal(t, []any{c.after, c.attempts + 1, AttemptVersion(2, c.attempts+1, PhaseAfter), c.code},
				[]any{d.After.Status, d.After.Attempts, d.After.Version, d.After.ErrorCode})
			require.Nil(t, d.After.ErpReference, "the terminal event names it")
			if c.terminal == "" {
				require.Nil(t, d.Terminal)
				require.Equal(t, d.Retry, d.After.NextAttemptAt)
				return
			}
			require.Nil(t, d.Retry)
			require.Nil(t, d.After.NextAttemptAt)
			require.Equal(t, []any{c.terminal, c.code, AttemptVersion(2, c.attempts+1, PhaseTerminal), c.outcome.Reference},
				[]any{d.Terminal.Status, d.Terminal.ErrorCode, d.Terminal.Version, d.Terminal.ErpReference})
		})
	}
}

func TestTheDelayOfARetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		attempts   int
		policy     RetryPolicy
		random     float64
		retryAfter time.Duration
		want       time.Duration
	}{
		"twice the base":                 {1, RetryPolicy{BaseDelay: time.Minute}, 0, 0, 2 * time.Minute},
		"doubles":                        {4, RetryPolicy{BaseDelay: time.Minute}, 0, 0, 16 * time.Minute},
		"capped":                         {4, RetryPolicy{BaseDelay: time.Minute, MaxDelay: 5 * time.Minute}, 0, 0, 5 * time.Minute},
		"capped, then jitter":            {4, RetryPolicy{BaseDelay: time.Minute, MaxDelay: 5 * time.Minute, Jitter: 0.2}, 0.5, 0, 5*time.Minute + 30*time.Second},
		"never beyond what an ERP can":   {300, RetryPolicy{BaseDelay: time.Hour}, 0, 0, MaxRetryAfter},
		"the ERP asks for more":          {1, RetryPolicy{BaseDelay: time.Minute}, 0, time.Hour, time.Hour},
		"the ERP asks for less":          {1, RetryPolicy{BaseDelay: time.Minute}, 0, time.Second, 2 * time.Minute},
		"the ERP is above the cap":       {1, RetryPolicy{BaseDelay: time.Minute, MaxDelay: time.Minute}, 0, time.Hour, time.Hour},
		"rounded up to the millisecond":  {1, RetryPolicy{BaseDelay: 1}, 0, 0, time.Millisecond},
		"no delay is due at once":        {1, RetryPolicy{}, 0, 0, 0},
		"a random number without jitter": {1, RetryPolicy{BaseDelay: time.Minute}, 0.9, 0, 2 * time.Minute},
	} {
		var retryAfter *time.Time
		if c.retryAfter > 0 {
			retryAfter = new(noon.Add(c.retryAfter))
		}
		require.Equal(t, c.want, Due(c.attempts, retryAfter, c.policy, noon, c.random).Sub(noon), name)
	}
}

func TestWhenAKeyMayHaveBeenSentBefore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sync Sync
		want bool
	}{
		"the first call of an order":        {Sync{Generation: 1}, false},
		"a second attempt":                  {Sync{Generation: 1, Attempts: 1}, true},
		"a resync under the same key":       {Sync{Generation: 2}, true},
		"a resync under a new key":          {Sync{Generation: 2, NewKey: true}, false},
		"the second attempt of that resync": {Sync{Generation: 2, NewKey: true, Attempts: 1}, true},
	} {
		require.Equal(t, c.want, c.sync.KeySentBefore(), name)
	}
}

// payloadOf is the payload of an order with one line and these members, as JSON.
func payloadOf(t *testing.T, ref OrderRef, members string) (map[string]any, error) {
	t.Helper()
	var o Order
	require.NoError(t, json.Unmarshal([]byte(`{"items": [{"sku": "A", "name": "<b> & c", "qty": "1.50", "price": 2, "row_total": 3}]`+members+`}`), &o))
	text, err := BuildPayload(ref, o)
	if err != nil {
		return nil, err
	}
	require.NotContains(t, string(text), `\u003c`, "texts go out as they came in")
	var out map[string]any
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	require.NoError(t, d.Decode(&out))
	return out, nil
}

func TestWhatThePayloadSays(t *testing.T) {
	t.Parallel()
	const address = `{"city": "Bern", "street": ["a", "b"]}`
	for name, c := range map[string]struct {
		ref     OrderRef
		members string
		field   string
		want    any
	}{
		"the number is the order's":          {one, `, "order_increment_id": "999"`, "order_increment_id", "1"},
		"the default shop is not named":      {one, ``, "source", nil},
		"another one is":                     {OrderRef{Source: "b2b", IncrementID: "1"}, ``, "source", "b2b"},
		"a time is in the module's format":   {one, `, "created_at": "2024-01-15T12:30:00+02:00"`, "created_at", "2024-01-15 10:30:00"},
		"MySQL's zero date is none":          {one, `, "updated_at": "0000-00-00 00:00:00"`, "updated_at", nil},
		"an empty date is none":              {one, `, "updated_at": ""`, "updated_at", nil},
		"a virtual order is shipped nowhere": {one, `, "is_virtual": true, "shipping_address": ` + address, "shipping_address", nil},
		"nobody's e-mail is null":            {one, ``, "customer_email", nil},
	} {
		got, err := payloadOf(t, c.ref, c.members)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got[c.field], name)
	}
	got, err := payloadOf(t, one, `, "totals": {"subtotal": "2.00", "tax": 0}, "shipping_address": `+address)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"subtotal": json.Number("2.00"), "tax": json.Number("0"), "shipping": nil, "discount": nil, "grand_total": nil}, got["totals"],
		"an amount that is left out is null, which is not 0")
	require.Equal(t, "Bern", got["shipping_address"].(map[string]any)["city"]) //nolint:forcetypeassert // an address
	require.Equal(t, []any{map[string]any{"sku": "A", "name": "<b> & c", "qty": json.Number("1.50"), "price": json.Number("2"), "row_total": json.Number("3")}}, got["items"])
}

func TestWhatHasNoPayload(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]string{
		`, "created_at": "yesterday"`:                      "created_at: ",
		`, "updated_at": "12024-01-01 00:00:00"`:           "updated_at: ",
		`, "items": []`:                                    "/order/items has no line to send",
		`, "items": [{"item_id": 1, "parent_item_id": 1}]`: "which is the line itself",
	} {
		_, err := payloadOf(t, one, members)
		require.ErrorContains(t, err, want, members)
	}
}
