package demo

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo/internal/shop"
	"github.com/erpconnector/erpconnector/services/mockerp"
)

// Each kind of trouble in the mock ERP's terms, and in words.
func TestFaultsInWords(t *testing.T) {
	t.Parallel()
	for kind, c := range map[shop.FaultKind]struct {
		want  mockerp.Fault
		words string
	}{
		shop.Unavailable: {mockerp.Fault{Status: 503, Times: 2}, "the ERP answered 503"},
		shop.Limited:     {mockerp.Fault{Status: 429, RetryAfter: "3", Times: 1}, "the ERP answered 429, Retry-After 3 s"},
		shop.Slow:        {mockerp.Fault{Delay: mockerp.Delay(2400 * time.Millisecond), Times: 1}, "the ERP took its time"},
		shop.Lost:        {mockerp.Fault{ResetAfter: true, Times: 1}, "the ERP booked it, but its answer got lost"},
		shop.Broken:      {mockerp.Fault{ResetBefore: true, Times: 1}, "the connection broke before the ERP booked it"},
		shop.Rejected:    {mockerp.Fault{Status: 422, Times: 1}, "the ERP answered 422, which no retry mends"},
	} {
		got, words := fault(shop.Fault{Kind: kind, Size: 3})
		require.Equal(t, c.want, got)
		require.Equal(t, c.words, words)
	}
	once, _ := fault(shop.Fault{Kind: shop.Unavailable, Size: 1})
	require.Equal(t, 1, once.Times)
}

// transport answers requests without a network, so that the clock of a synctest bubble goes on by itself.
type transport func(n int) (status int, body string, headers http.Header)

// offline is a run whose n-th request is answered so.
func offline(answer transport) (*run, *bytes.Buffer) {
	var out bytes.Buffer
	n := 0
	c := newClient("http://host", "token")
	c.http = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		status, body, headers := answer(n)
		n++
		if status == 0 {
			return nil, errors.New("connection reset")
		}
		return &http.Response{StatusCode: status, Header: headers, Body: io.NopCloser(strings.NewReader(body))}, nil
	})}
	return &run{Options: Options{URL: "http://host", Seed: 1, Rate: 1000, Out: &out}, client: c, tracker: newTracker(), screen: newScreen(&out), mock: true}, &out
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip answers.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A shop waits longer each time, up to half a minute, unless it is told how long; and after two minutes it says so and ends.
func TestHowLongAShopWaits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		retryAfter string
		waits      []string
	}{
		"it_is_not_told":        {"", []string{"1s", "2s", "4s", "8s", "16s", "30s", "30s", "30s"}},
		"it_is_told":            {"20", []string{"20s", "20s", "20s", "20s", "20s", "20s"}},
		"it_is_told_an_hour":    {"3600", []string{"30s", "30s", "30s", "30s"}},
		"it_is_told_a_nonsense": {"-5", []string{"1s", "2s", "4s", "8s", "16s", "30s", "30s", "30s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, out := offline(func(int) (int, string, http.Header) { return 503, "", http.Header{"Retry-After": {c.retryAfter}} })
				_, err := r.send(t.Context(), shop.Event{ID: "e1"})
				require.ErrorContains(t, err, "event e1 was not taken for 2m0s: 503, 503 Service Unavailable; look at the connector's log and at http://host/readyz")
				var waits []string
				for line := range strings.Lines(out.String()) {
					if _, wait, ok := strings.Cut(line, "event e1 is sent again in "); ok {
						waits = append(waits, strings.TrimSpace(wait))
					}
				}
				require.Equal(t, c.waits[:min(len(c.waits), notesOfAKind)], waits[:min(len(waits), len(c.waits))])
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // and one that comes back is not told as a failure
		r, _ := offline(func(n int) (int, string, http.Header) {
			if n < 5 {
				return 0, "", nil
			}
			return 202, `{"result":"accepted"}`, nil
		})
		began := time.Now()
		v, err := r.send(t.Context(), shop.Event{ID: "e1"})
		require.NoError(t, err)
		require.Equal(t, "accepted", v.Result)
		require.Equal(t, 31*time.Second, time.Since(began))
	})
}

// A fault is told to the mock ERP for an order of this run that is to meet one, and for no other.
func TestWhichOrdersMeetAFault(t *testing.T) {
	t.Parallel()
	unlucky := shop.Event{Ref: refOf("1"), Fault: shop.Fault{Kind: shop.Rejected, Luck: 0.4, Size: 1}}
	for name, c := range map[string]struct {
		e      shop.Event
		change func(r *run)
		armed  bool
	}{
		"one_of_half":    {unlucky, func(r *run) { r.Misbehave = 0.5 }, true},
		"one_of_less":    {unlucky, func(r *run) { r.Misbehave = 0.4 }, false},
		"none_is_wanted": {unlucky, func(*run) {}, false},
		"no_invoice":     {shop.Event{Ref: refOf("1")}, func(r *run) { r.Misbehave = 1 }, false},
		"a_real_erp":     {unlucky, func(r *run) { r.Misbehave, r.mock = 1, false }, false},
		"known_before":   {unlucky, func(r *run) { r.Misbehave = 1; r.tracker.placed[refOf("1")] = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			r, out := offline(func(int) (int, string, http.Header) { asked++; return 200, "{}", nil })
			c.change(r)
			r.arm(t.Context(), c.e)
			require.Equal(t, c.armed, asked == 1)
			require.Len(t, r.tracker.armed, asked)
			require.Empty(t, out.String())
		})
	}
	r, out := offline(func(int) (int, string, http.Header) { return 500, "no", nil })
	r.Misbehave = 1
	r.arm(t.Context(), unlucky)
	require.Equal(t, "faults   the mock ERP was not told to misbehave with 1: 500: no\n", out.String())
	require.Empty(t, r.tracker.armed, "a fault that it was not told does not explain a failure")
}

// What is printed is what would be published, and it ends where that would.
func TestPrint(t *testing.T) {
	t.Parallel()
	lines := func(o Options) []string {
		var out bytes.Buffer
		o.Out = &out
		require.NoError(t, Print(t.Context(), o))
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
	var want []string
	for e := range shop.Stream(5, 3) {
		want = append(want, string(e.Body))
	}
	require.Equal(t, want, lines(Options{Seed: 5, Orders: 3}))
	require.Equal(t, want[:2], lines(Options{Seed: 5, Orders: 3, Events: 2}))
	require.Equal(t, want, lines(Options{Seed: 5, Orders: 3, Events: 1000}), "there are no more")
	require.Len(t, lines(Options{Seed: 5, Events: 50}), 50, "as many orders as the events are for")
	require.ErrorIs(t, Print(t.Context(), Options{Seed: 5, Orders: 3, Out: closed{}}), io.ErrClosedPipe)
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// The words at the beginning are of what the run was asked.
func TestGreeting(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(r *run){
		"Three e-scooter shops publish 3 orders, up to 1000 events a second, to http://host.\n":                   func(*run) {},
		"Three e-scooter shops publish 300 events in about 1m0s, up to 5 events a second, to http://host.\n":      func(r *run) { r.Rate, r.Events = 5, 300 },
		"There is no mock ERP beside the connector, so nothing is made to go wrong: --misbehave has no effect.\n": func(r *run) { r.mock, r.Misbehave = false, 1 },
		"The mock ERP misbehaves with 15% of the orders: 503, 429, slow answers, answers that get lost, 422.\n":   func(r *run) { r.Misbehave = 0.15 },
		"Seed 1: --seed 1 repeats these events. Ctrl-C ends early.\n":                                             func(*run) {},
	} {
		r, out := offline(nil)
		r.Orders = 3
		change(r)
		r.greet()
		require.Contains(t, out.String(), want)
	}
	r, out := offline(nil)
	r.greet()
	require.NotContains(t, out.String(), "mock ERP", "all is as usual")
}

// The status line holds what there is, and no zeros of what is rare.
func TestStatusLine(t *testing.T) {
	t.Parallel()
	r, _ := offline(nil)
	r.began = time.Now().Add(-90 * time.Second)
	require.Equal(t, "1m30s  sent 0, duplicate 0, refused 0 | in ERP 0, on the way 0", r.statusLine())
	for id, got := range map[string]status{"1": {Status: "success", ErpReference: "E"}, "2": {Status: "failed", LastError: "x"}, "3": {Status: "pending"}, "4": {Status: "queued", NextAttemptAt: "2100-01-01T00:00:00Z"}} {
		r.tracker.took(shop.Event{Ref: refOf(id), Type: "invoice.created"}, verdict{Result: "accepted"}, noon)
		r.tracker.learn(refOf(id), got, noon)
	}
	require.Equal(t, "1m30s  sent 4, duplicate 0, refused 0 | in ERP 1, on the way 0, to retry 1, failed 1, held 1", r.statusLine())
}

// Errors of the beginning say what to do about them.
func TestExplain(t *testing.T) {
	t.Parallel()
	denied := &deniedError{http.StatusUnauthorized}
	r := &run{Options: Options{URL: "http://host", Self: "erpconnector", TokenFrom: "API_TOKEN is not set"}}
	require.EqualError(t, r.explain(errNobody), "nothing listens at http://host: start `erpconnector up` in another shell, or name the connector with --url")
	require.EqualError(t, r.explain(denied), "there is no token: API_TOKEN is not set; set API_TOKEN to the one that `erpconnector up` prints")
	r.Token, r.TokenFrom = "token", "API_TOKEN"
	require.EqualError(t, r.explain(denied), "the connector at http://host does not take the token from API_TOKEN (401 Unauthorized): set API_TOKEN to the one that `erpconnector up` prints")
	require.EqualError(t, r.explain(&deniedError{http.StatusForbidden}),
		"the token from API_TOKEN may not publish, or not look at orders: set API_TOKEN to one that may, or to the one that `erpconnector up` prints")
	require.Equal(t, io.EOF, r.explain(io.EOF))
	require.NoError(t, r.explain(nil))
}

// A run that was here before is told once, and a refusal with its reasons each time.
func TestAnswersOnTheScreen(t *testing.T) {
	t.Parallel()
	r, out := offline(nil)
	known := shop.Event{ID: "e1", Ref: refOf("1"), Type: "order.placed"}
	r.took(known, verdict{Result: "duplicate"})
	r.took(known, verdict{Result: "duplicate"})
	r.took(shop.Event{ID: "e2", Ref: refOf("2"), Kind: shop.Mistake}, verdict{Result: "refused", reasons: "no"})
	r.took(shop.Event{ID: "e3", Ref: refOf("3")}, verdict{Result: "refused", reasons: "no"})
	r.took(shop.Event{ID: "e4", Ref: refOf("4")}, verdict{Result: "accepted"})
	require.Equal(t, "Event e1 was already accepted before: seed 1 has been here. Its events are duplicates and start nothing anew;\n"+
		"you see where its orders stand now. For new orders leave out --seed, or choose another.\n"+
		"refused  event e2 of 2 (a shop's bug, on purpose): no\nrefused  event e3 of 3: no\n", out.String())
}
