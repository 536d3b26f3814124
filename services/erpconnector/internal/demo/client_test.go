package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// What answered 101 and kept the connection held the demo for ever: no time-out of an http.Client holds there.
func TestWhatSwitchesProtocolsIsNoConnector(t *testing.T) {
	t.Parallel()
	c := newClient(testkit.SwitchingServer(t), "token")
	t.Cleanup(c.close)
	said := make(chan error, 1)
	go func() { said <- c.hello(t.Context()) }()
	select {
	case err := <-said:
		require.ErrorContains(t, err, "answered 101 Switching Protocols, which no connector does: name another with --url")
	case <-time.After(testkit.Patience):
		require.Fail(t, "the request goes on")
	}
}

// answering is a client of a server that answers everything alike; heard are its requests.
func answering(t *testing.T, status int, body string, headers ...string) (c *client, heard *[]string) {
	t.Helper()
	heard = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		*heard = append(*heard, fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Authorization"), content))
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	c = newClient(server.URL+"/", "token")
	t.Cleanup(c.close)
	return c, heard
}

// What a shop does about each answer to an event.
func TestAnswersToAnEvent(t *testing.T) {
	t.Parallel()
	const noResult = " and no result, which no connector does: name another with --url"
	for name, c := range map[string]struct {
		status     int
		body       string
		retryAfter string
		want       verdict
		later      string // it is to be sent again, as that happened
		after      time.Duration
		err        string // it is of no use to go on
	}{
		"accepted":           {status: 202, body: `{"result":"accepted"}`, want: verdict{Result: "accepted"}},
		"duplicate":          {status: 200, body: `{"result":"duplicate","differs":true}`, want: verdict{Result: "duplicate", Differs: true}},
		"refused":            {status: 422, body: `{"detail":"no","errors":[{"pointer":"/a","detail":"is b"},{"detail":"c"}]}`, want: verdict{Result: "refused", reasons: "/a is b; c"}},
		"refused_in_a_word":  {status: 400, body: `{"detail":"no JSON"}`, want: verdict{Result: "refused", reasons: "no JSON"}},
		"refused_wordlessly": {status: 413, body: `<html>`, want: verdict{Result: "refused", reasons: "413 Request Entity Too Large"}},
		"a_conflict":         {status: 409, body: `{"detail":"another event"}`, want: verdict{Result: "refused", reasons: "another event"}},
		"no_ingest":          {status: 404, err: "takes no events: its ingest service does not run there"},
		"not_that_method":    {status: 405, err: "takes no events: its ingest service does not run there"},
		"not_with_a_token":   {status: 401, err: "401 Unauthorized"},
		"not_with_this_one":  {status: 403, err: "403 Forbidden"},
		"unavailable":        {status: 503, body: `{"detail":"no database"}`, retryAfter: "7", later: "503, no database", after: 7 * time.Second},
		"in_a_while":         {status: 429, later: "429, 429 Too Many Requests"},
		"at_a_date":          {status: 503, retryAfter: "Wed, 21 Oct 2026 07:28:00 GMT", later: "503, 503 Service Unavailable"},
		"a_gateway":          {status: 502, body: `<html>`, later: "502, 502 Bad Gateway"},
		"a_web_page":         {status: 200, body: `<html>`, err: "answered an event with 200" + noResult}, // ended the run with "invalid character '<'"
		"another_service":    {status: 200, body: `{}`, err: "answered an event with 200" + noResult},     // was counted as a duplicate
		"nothing":            {status: 202, err: "answered an event with 202" + noResult},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, heard := answering(t, c.status, c.body, "Retry-After", c.retryAfter)
			got, err := client.publish(t.Context(), []byte(`{"a":1}`))
			require.Equal(t, []string{"POST " + httpapi.BasePath + `/events Bearer token {"a":1}`}, *heard)
			var later *laterError
			switch {
			case c.later != "":
				require.ErrorAs(t, err, &later)
				require.Equal(t, laterError{c.later, c.after}, *later)
			case c.err != "":
				require.ErrorContains(t, err, c.err)
				require.NotErrorAs(t, err, &later)
			default:
				require.NoError(t, err)
				require.Equal(t, c.want, got)
			}
		})
	}
	nobody := newClient("http://127.0.0.1:1", "token")
	_, err := nobody.publish(t.Context(), nil)
	require.ErrorAs(t, err, new(*laterError), "a connector that restarts")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = nobody.publish(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestHello(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status    int
		body, err string
	}{
		"a_connector":            {404, `{"status":"not_synced"}`, ""},
		"it_knows_the_order":     {200, `{"status":"success"}`, ""},
		"it_is_not_well":         {503, ``, ""},
		"somebody_else":          {404, `not found`, "is no connector, or one without its api service: name another with --url"},
		"the_token_is_not_taken": {401, ``, "401 Unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := answering(t, c.status, c.body)
			err := client.hello(t.Context())
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
		})
	}
	require.ErrorIs(t, newClient("http://127.0.0.1:1", "").hello(t.Context()), errNobody)
	require.Error(t, newClient("http://a b", "").hello(t.Context()))
}

func TestStatusQueries(t *testing.T) {
	t.Parallel()
	outlet := domain.OrderRef{Source: "outlet", IncrementID: "a/b c"}
	client, heard := answering(t, 200, `{"status":"queued","attempts":2,"max_attempts":5,"next_attempt_at":"x","erp_reference":"E","last_error":"y"}`)
	got, err := client.status(t.Context(), outlet)
	require.NoError(t, err)
	require.Equal(t, status{"queued", 2, 5, "x", "E", "y"}, got)
	_, err = client.status(t.Context(), refOf("1"))
	require.NoError(t, err)
	require.Equal(t, []string{
		"GET " + httpapi.BasePath + "/sync-status/a%2Fb%20c?source=outlet Bearer token ", "GET " + httpapi.BasePath + "/sync-status/1 Bearer token ",
	}, *heard)

	for want, answer := range map[string][2]string{
		"the database does not answer": {"503", `{"detail":"the database does not answer"}`},
		"502 Bad Gateway":              {"502", `<html>`},
		"200 and no JSON":              {"200", `<html>`},
	} {
		var code int
		_, err := fmt.Sscan(answer[0], &code)
		require.NoError(t, err)
		client, _ := answering(t, code, answer[1])
		_, err = client.status(t.Context(), refOf("1"))
		require.EqualError(t, err, want)
	}
	unknown, _ := answering(t, 404, `{"status":"not_synced"}`)
	got, err = unknown.status(t.Context(), refOf("1"))
	require.NoError(t, err)
	require.Equal(t, domain.NotSynced, got.Status)
}

// The mock ERP is told what to do, and that it need not any more. What it does not take is no success.
func TestFaultsOfTheMockErp(t *testing.T) {
	t.Parallel()
	well, heard := answering(t, 200, `{"faults":3,"calls":7}`)
	require.NoError(t, well.arm(t.Context(), mockerp.Fault{Order: "1", Status: 503, Times: 2}))
	n, err := well.disarm(t.Context(), "demo-1&x")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	stats, err := well.stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 7, stats.Calls)
	require.Contains(t, (*heard)[0], "POST /mockerp/faults Bearer token [{")
	require.Equal(t, "DELETE /mockerp/faults?label=demo-1%26x Bearer token ", (*heard)[1])
	require.Equal(t, "GET /mockerp/stats Bearer token ", (*heard)[2])

	ill, _ := answering(t, 500, `{"detail":"`+strings.Repeat("x", 500)+`"}`)
	require.ErrorContains(t, ill.arm(t.Context(), mockerp.Fault{}), `500: {"detail":"xxx`)
	_, err = ill.disarm(t.Context(), "demo-1") // was told as: none was left
	require.ErrorContains(t, err, `500: {"detail":"xxx`)
	require.Less(t, len(err.Error()), 250)
	_, err = ill.stats(t.Context())
	require.EqualError(t, err, "500")
	page, _ := answering(t, 200, `<html>`)
	_, err = page.stats(t.Context())
	require.Error(t, err, "no mock ERP")
	_, err = page.disarm(t.Context(), "demo-1")
	require.Error(t, err)
}
