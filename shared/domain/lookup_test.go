package domain

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLookupPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[LookupPath]string{
		"":                          "",
		"/orders/{idempotency_key}": "",
		"/orders?shop={source}&no={order_increment_id}": "",
		"/Gr%C3%B6%C3%9Fe/{order_increment_id}":         "",
		"orders/{idempotency_key}":                      "does not begin with /",
		"https://other.example.com/{idempotency_key}":   "does not begin with /",
		"/orders":                              "names neither {idempotency_key} nor {order_increment_id}, so all orders would be one",
		"/orders/{source}":                     "names neither {idempotency_key} nor {order_increment_id}, so all orders would be one",
		"/orders/{order_id}/{idempotency_key}": "has a brace that is none of {order_increment_id}, {idempotency_key} and {source}",
		"/orders/{idempotency_key}#a":          "is no path of a URL: percent-encode what else it must contain, and leave out a fragment",
		"/orders/%zz/{idempotency_key}":        "is no path of a URL: percent-encode what else it must contain, and leave out a fragment",
		"/orders/Größe/{idempotency_key}":      "is no path of a URL: percent-encode what else it must contain, and leave out a fragment",
		"/orders/{idempotency_key} ":           "is no path of a URL: percent-encode what else it must contain, and leave out a fragment",
		"/../{idempotency_key}":                "has a segment of dots, which leads to another path",
	} {
		if want == "" {
			require.NoError(t, path.Check(), path)
		} else {
			require.EqualError(t, path.Check(), want, path)
		}
	}
}

// Whatever an order is called, the path stays the one of the setting, and the ERP reads the order's own values from it.
func TestAPathIsFilledInSoThatTheERPReadsTheValues(t *testing.T) {
	t.Parallel()
	const p = LookupPath("/a/{source}/{order_increment_id}/b?key={idempotency_key}&no={order_increment_id}")
	rapid.Check(t, func(t *rapid.T) {
		s := Sync{
			Source: rapid.StringMatching(`[a-z0-9._-]{1,8}`).Draw(t, "source"), Generation: 1,
			OrderIncrementID: rapid.StringMatching(`[a%/?#&=+ .ä{}]{1,12}`).Draw(t, "id"), IdempotencyKey: rapid.StringMatching(`[A-Z%/ &]{1,12}`).Draw(t, "key"),
		}
		path, ok := p.For(s)
		isDots := func(v string) bool { return v == "." || v == ".." }
		require.Equal(t, !isDots(s.Source) && !isDots(s.OrderIncrementID), ok)
		u, err := url.Parse("http://erp" + path)
		require.NoError(t, err)
		require.Equal(t, "/a/"+s.Source+"/"+s.OrderIncrementID+"/b", u.Path)
		require.Equal(t, 5, strings.Count(u.EscapedPath(), "/")+1)
		require.Equal(t, url.Values{"key": {s.IdempotencyKey}, "no": {s.OrderIncrementID}}, u.Query())
	})
}

// An answer about another booking would end an order that was never sent: then nobody asks.
func TestNobodyAsksWhereTheAnswerCouldBeAboutAnotherBooking(t *testing.T) {
	t.Parallel()
	ref := func(source string) OrderRef { return OrderRef{Source: source, IncrementID: "1"} }
	of := func(source string, number int) Sync {
		return Sync{Source: source, OrderIncrementID: "1", IdempotencyKey: IdempotencyKey(ref(source), number), Generation: number}
	}
	const byNumber, byShop, byKey = LookupPath("/o/{order_increment_id}"), LookupPath("/o/{source}/{order_increment_id}"), LookupPath("/o/{idempotency_key}")
	for name, c := range map[string]struct {
		path LookupPath
		sync Sync
		want bool
	}{
		"no_path":                              {"", of("default", 1), false},
		"the_first_key_of_an_order":            {byNumber, of("default", 1), true},
		"a_new_key_by_the_number":              {byNumber, of("default", 2), false},
		"a_new_key_by_the_key":                 {byKey, of("default", 2), true},
		"another_shop_by_the_number":           {byNumber, of("shop-b", 1), false},
		"another_shop_by_its_name_and_number":  {byShop, of("shop-b", 1), true},
		"a_new_key_by_the_shop_and_the_number": {byShop, of("shop-b", 2), false},
		"another_shop_by_the_key":              {byKey, of("shop-b", 1), true},
	} {
		_, ok := c.path.For(c.sync)
		require.Equal(t, c.want, ok, name)
	}
}

func TestWhatIsInDoubt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sync     Sync
		repeated bool
		want     bool
	}{
		"a_first_call":                    {Sync{Generation: 1}, false, false},
		"a_former_owner_may_have_called":  {Sync{Generation: 1}, true, true},
		"a_retry_after_an_answer":         {Sync{Generation: 1, Attempts: 1, ErrorCode: ErrorUnavailable}, false, false},
		"a_retry_that_says_so":            {Sync{Generation: 1, Attempts: 1, ErrorCode: ErrorUnavailable, Doubtful: true}, false, true},
		"a_retry_of_before_the_setting":   {Sync{Generation: 1, Attempts: 1, ErrorCode: ErrorTimeout}, false, true},
		"a_retry_after_a_conflict":        {Sync{Generation: 1, Attempts: 1, ErrorCode: ErrorConflict}, false, true},
		"a_resync_under_the_same_key":     {Sync{Generation: 2}, false, true},
		"a_resync_under_a_key_of_its_own": {Sync{Generation: 2, NewKey: true}, false, false},
		"one_whose_look-up_had_no_answer": {Sync{Generation: 1, Doubtful: true, ErrorCode: ErrorInDoubt}, false, true},
	} {
		require.Equal(t, c.want, c.sync.InDoubt(c.repeated), name)
	}
}

func TestWhatLeavesADoubt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer Answer
		want   bool
	}{
		"success":                    {Answer{StatusCode: 201}, false},
		"busy":                       {Answer{StatusCode: 503}, false},
		"broken":                     {Answer{StatusCode: 500}, false},
		"too_many":                   {Answer{StatusCode: 429}, false},
		"refused":                    {Answer{StatusCode: 422}, false},
		"conflict":                   {Answer{StatusCode: 409}, true},
		"timeout":                    {Answer{Failure: ErrorTimeout}, true},
		"broken_off":                 {Answer{Failure: ErrorNetwork}, true},
		"no_connection":              {Answer{Failure: ErrorNetwork, NotSent: true}, false},
		"a_proxy_without_an_answer":  {Answer{StatusCode: 502}, true},
		"a_proxy_that_did_not_wait":  {Answer{StatusCode: 504}, true},
		"another_protocol":           {Answer{StatusCode: 101}, true},
		"a_success_before_the_order": {Answer{StatusCode: 200, Unsent: 5}, true},
	} {
		require.Equal(t, c.want, Classify(c.answer, AnswerPolicy{}, true, noon).Doubtful, name)
	}
}

func TestReadLookup(t *testing.T) {
	t.Parallel()
	s := Sync{Source: "default", OrderIncrementID: "123", IdempotencyKey: "ERP_1"}
	found := func(reference string) LookupResult { return LookupResult{Lookup: LookupFound, Reference: &reference} }
	none := LookupResult{Lookup: LookupNotFound}
	unanswered := func(why string) LookupResult { return LookupResult{Lookup: LookupUnanswered, Why: why} }
	const unclear = "HTTP 200 does not say whether the order is booked: "
	const nameless = unclear + "no number of the order is in it"
	for name, c := range map[string]struct {
		status int
		body   string
		want   LookupResult
	}{
		"an_order":                        {200, `{"erp_reference":"E-1","status":"new"}`, found("E-1")},
		"an_order_with_a_number":          {200, `{"id":17}`, found("17")},
		"an_order_that_names_itself":      {200, `{"id":17,"order_increment_id":"123","idempotency_key":"ERP_1","source":"default"}`, found("17")},
		"a_number_as_a_number":            {200, `{"id":17,"order_increment_id":123}`, found("17")},
		"a_list_of_one":                   {200, ` [ {"erp_id":"E-2"} ] `, found("E-2")},
		"a_list_of_one_that_names_itself": {200, `[{"erp_id":"E-2","idempotency_key":"ERP_1"}]`, found("E-2")},
		"not_there":                       {404, `{"error":"unknown"}`, none},
		"gone":                            {410, ``, none},
		"null":                            {200, "\n null\n", none},
		"an_empty_list":                   {200, "[ ]", none},
		"another_order":                   {200, `{"id":17,"order_increment_id":"124"}`, unanswered(unclear + "its order_increment_id is that of another order")},
		"another_key_in_a_list":           {200, `[{"id":17,"idempotency_key":"ERP_2"}]`, unanswered(unclear + "its idempotency_key is that of another order")},
		"all_orders":                      {200, `[{"id":1},{"id":2}]`, unanswered(unclear + "the list does not consist of one object that can be read whole")},
		"more_than_is_kept":               {200, `[{"id":1},"` + strings.Repeat("x", 20<<10) + `",{"id":2}]`, unanswered(unclear + "the list does not consist of one object that can be read whole")},
		"one_that_is_too_long_to_be_kept": {200, `[{"a":"` + strings.Repeat("x", 2<<10) + `","b":[` + strings.Repeat(`"yyyyyyyy",`, 2000) + `1]}]`, unanswered(unclear + "the list does not consist of one object that can be read whole")},
		"a_list_that_breaks_off":          {200, `[`, unanswered(nameless)},
		"an_object_without_a_name":        {200, `{"status":"new"}`, unanswered(nameless)},
		"nothing":                         {204, ``, unanswered("HTTP 204 does not say whether the order is booked: no number of the order is in it")},
		"a_page":                          {200, `<html><title>Login</title></html>`, unanswered(nameless)},
		"no_key":                          {401, `{"error":"no"}`, unanswered("HTTP 401: no")},
		"busy":                            {503, `{"error":"busy"}`, unanswered("HTTP 503: busy")},
		"elsewhere":                       {302, ``, unanswered("HTTP 302: HTTP 302 without a body")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, ReadLookup(Answer{StatusCode: c.status, Body: AnswerBodyOf([]byte(c.body))}, s, AnswerPolicy{}))
		})
	}
	require.Equal(t, unanswered("slow"), ReadLookup(Answer{Failure: ErrorTimeout, Cause: "slow"}, s, AnswerPolicy{}))
}

// Without the setting a record says what it said before, byte for byte; with it the doubt stays until the order has ended well.
func TestADoubtIsKeptAlongTheChainWhereSomebodyAsks(t *testing.T) {
	t.Parallel()
	lost := Classify(Answer{Failure: ErrorTimeout}, AnswerPolicy{}, false, noon)
	busy := Classify(Answer{StatusCode: 503}, AnswerPolicy{}, false, noon)
	s := Sync{Generation: 1, MaxAttempts: 5, SyncID: 1}
	without, with := RetryPolicy{BaseDelay: time.Second}, RetryPolicy{BaseDelay: time.Second, LookUp: "/{idempotency_key}"}

	plain := Decide(s, lost, without, noon, 0)
	lost.Doubtful = false
	require.Equal(t, Decide(s, lost, without, noon, 0), plain)
	lost.Doubtful = true

	first := Decide(s, lost, with, noon, 0).After
	require.True(t, first.Doubtful)
	require.False(t, Sending(first, noon).Doubtful, "an intent that is repeated has the same content")
	require.False(t, Decide(s, busy, with, noon, 0).After.Doubtful)
	busy.Lookup = LookupNotFound
	second := Decide(first, busy, with, noon, 0).After
	require.True(t, second.Doubtful)
	require.Equal(t, LookupNotFound, second.Lookup)
	third := Decide(second, Outcome{Kind: OutcomeSuccess}, with, noon, 0)
	require.False(t, third.Terminal.Doubtful)
	require.Empty(t, third.Terminal.Lookup)
}

func TestWhatALookupLeadsTo(t *testing.T) {
	t.Parallel()
	s := Sync{Generation: 1, MaxAttempts: 5, SyncID: 1, Attempts: 1, Status: Queued, Doubtful: true, ErrorCode: ErrorTimeout, Version: AttemptVersion(1, 1, PhaseAfter)}
	reference := "E-1"
	d := Found(s, LookupResult{Lookup: LookupFound, Reference: &reference}, noon)
	require.Nil(t, d.Retry)
	require.Equal(t, []any{InProgress, 2, LookupFound, AttemptVersion(1, 2, PhaseAfter)}, []any{d.After.Status, d.After.Attempts, d.After.Lookup, d.After.Version})
	require.Equal(t, []any{Success, LookupFound, &reference, ErrorCode(""), AttemptVersion(1, 2, PhaseTerminal)},
		[]any{d.Terminal.Status, d.Terminal.Lookup, d.Terminal.ErpReference, d.Terminal.ErrorCode, d.Terminal.Version})

	p := RetryPolicy{BaseDelay: time.Minute, LookUp: "/{idempotency_key}"}
	later, due := Postponed(s, Answer{StatusCode: 503}, p, noon, 0)
	require.Equal(t, noon.Add(2*time.Minute), *due)
	require.Equal(t, []any{Queued, 1, due, s.Version, ErrorInDoubt, true}, []any{later.Status, later.Attempts, later.NextAttemptAt, later.Version, later.ErrorCode, later.InDoubt(false)})
	_, due = Postponed(s, Answer{StatusCode: 503, RetryAfter: "3600"}, p, noon, 0)
	require.Equal(t, noon.Add(time.Hour), *due)
	released := true
	later, due = Postponed(Sync{Generation: 1, Released: &released, Cause: "evt", Version: RequestVersion(1, 0)}, Answer{}, p, noon, 0)
	require.Equal(t, noon.Add(time.Minute), *due)
	require.Nil(t, later.Released)
	require.Empty(t, later.Cause)
	require.Equal(t, RequestVersion(1, 0), later.Version)
}
