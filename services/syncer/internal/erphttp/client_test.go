package erphttp

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
	"github.com/erpconnector/erpconnector/shared/setting"
)

var at = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

const payload = `{"order_increment_id":"000000123","name":"Größe <L> & more"}`

// secretsOf are secrets that do not change.
func secretsOf(apiKey config.Secret, hmac ...config.Secret) func() config.ERPSecrets {
	return func() config.ERPSecrets { return config.ERPSecrets{APIKey: apiKey, HMAC: hmac} }
}

func clientOf(t *testing.T, baseURL string, change func(*setting.Settings)) *Client {
	t.Helper()
	s := setting.Defaults()
	s.ErpBaseURL = baseURL
	if change != nil {
		change(&s)
	}
	return New(Config{Secrets: secretsOf("key", "new", "old"), InFlight: 4, Settings: setting.Fixed(s)})
}

func send(t *testing.T, c *Client) Reply {
	t.Helper()
	return c.Send(t.Context(), Request{Payload: []byte(payload), IdempotencyKey: "ERP_1", MessageID: "msg_1", At: at})
}

// answering is an ERP that answers all calls with h.
func answering(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return clientOf(t, server.URL+"/api/", nil)
}

// wire is a server below HTTP: it counts connections and requests, and play decides what becomes of each connection.
type wire struct {
	listener net.Listener
	over     chan struct{} // closed when the test ends

	mu          sync.Mutex
	connections int
	requests    int
}

func onTheWire(t *testing.T, play func(w *wire, conn *net.TCPConn, in *bufio.Reader)) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{listener: listener, over: make(chan struct{})}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.connections++
			w.mu.Unlock()
			connections.Go(func() {
				defer func() { _ = conn.Close() }()
				play(w, conn.(*net.TCPConn), bufio.NewReader(conn)) //nolint:forcetypeassert // a TCP listener
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		close(w.over)
		connections.Wait()
	})
	return w
}

// read takes one whole request; false when the caller has left.
func (w *wire) read(in *bufio.Reader) bool {
	req, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	if _, err = io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	return true
}

// settled waits until every connection that came before now is counted: the kernel hands them out in their order.
func (w *wire) settled(t *testing.T) (connections, requests int) {
	t.Helper()
	w.mu.Lock()
	before := w.connections
	w.mu.Unlock()
	conn, err := net.Dial("tcp", w.listener.Addr().String())
	if err == nil {
		_ = conn.Close()
	} else { // taken and reset before the dial returned
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.connections > before
	}, time.Minute, time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.connections - 1, w.requests
}

func reset(conn *net.TCPConn) { _ = conn.SetLinger(0) } // the close that follows sends RST

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// A call that is repeated by the HTTP client is a second attempt that nobody counts. For kept connections see repeat_test.go.
func TestACallIsOnTheWireOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		wantRequests int
		broken       bool // there was the beginning of an answer
		play         func(w *wire, conn *net.TCPConn, in *bufio.Reader)
	}{
		"reset_before_the_request_was_read": {play: func(_ *wire, conn *net.TCPConn, _ *bufio.Reader) { reset(conn) }},
		"reset_in_the_middle_of_the_request": {play: func(_ *wire, conn *net.TCPConn, in *bufio.Reader) {
			_, _ = in.ReadByte()
			reset(conn)
		}},
		"reset_after_the_request_was_read": {wantRequests: 1, play: func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
			w.read(in)
			reset(conn)
		}},
		"closed_without_an_answer": {wantRequests: 1, play: func(w *wire, _ *net.TCPConn, in *bufio.Reader) { w.read(in) }},
		"broken_in_the_middle_of_the_answer": {wantRequests: 1, broken: true, play: func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
			w.read(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onTheWire(t, test.play)
			c := clientOf(t, "http://"+w.listener.Addr().String(), nil)
			reply := send(t, c)
			require.Zero(t, reply.StatusCode)
			require.Equal(t, domain.ErrorNetwork, reply.Failure)
			if test.broken {
				require.Contains(t, reply.Cause, "/orders/sync, HTTP 200, broke off: unexpected EOF; the ERP may have booked the order")
			} else {
				require.Contains(t, reply.Cause, "check that the ERP is up and ERP_BASE_URL names it")
			}
			require.Equal(t, domain.OutcomeRetryable, domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at).Kind)
			connections, requests := w.settled(t)
			require.Equal(t, 1, connections)
			require.Equal(t, test.wantRequests, requests)
		})
	}
}

func TestARedirectIsAnAnswer(t *testing.T) {
	t.Parallel()
	elsewhere := onTheWire(t, func(*wire, *net.TCPConn, *bufio.Reader) {})
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+elsewhere.listener.Addr().String()+"/orders/sync", status)
		})
		reply := send(t, c)
		require.Equal(t, status, reply.StatusCode)
		require.Equal(t, domain.OutcomeFinal, domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at).Kind)
	}
	connections, _ := elsewhere.settled(t)
	require.Zero(t, connections)
}

func TestATimeoutNamesItself(t *testing.T) {
	t.Parallel()
	started := map[string]string{"no_answer": "", "no_end_of_the_answer": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"}
	for name, start := range started {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onTheWire(t, func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
				w.read(in)
				_, _ = io.WriteString(conn, start)
				w.read(in) // until the caller leaves
			})
			base := "http://user:pass@" + w.listener.Addr().String() + "/api?token=t"
			c := clientOf(t, base, func(s *setting.Settings) { s.ErpTimeout = 100 * time.Millisecond })
			reply := send(t, c)
			require.Equal(t, Reply{Answer: domain.Answer{Failure: domain.ErrorTimeout, Cause: fmt.Sprintf(
				"no answer from http://%s/api within 100ms; the ERP may have booked the order, the next attempt carries the same key",
				w.listener.Addr())}}, reply)
			connections, requests := w.settled(t)
			require.Equal(t, []int{1, 1}, []int{connections, requests})
		})
	}
}

func TestACallCutOffByUsHasNoOutcome(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // net/http notices that the caller leaves only once the body is read
		cancel()
		<-r.Context().Done()
	})
	reply := c.Send(ctx, Request{Payload: []byte(payload), IdempotencyKey: "ERP_1", MessageID: "msg_1", At: at})
	require.True(t, reply.Cancelled)
	require.Zero(t, reply.StatusCode)
}

func TestAnERPThatCannotBeCalled(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	for base, want := range map[string]string{
		"": "ERP_BASE_URL is not set: no call was made",
		"http://user:pass@" + listener.Addr().String(): "connection refused; check that the ERP is up",
		"http://user:pass@host:port":                   "ERP_BASE_URL cannot be called: invalid port",
		"erp.example.com/api":                          "unsupported protocol scheme",
	} {
		reply := send(t, clientOf(t, base, nil))
		require.Equal(t, domain.ErrorNetwork, reply.Failure, base)
		require.Contains(t, reply.Cause, want)
		require.NotContains(t, reply.Cause, "pass")
	}
}

// Whatever way an address got into the settings, it is looked at when it is called.
func TestAnAddressThatIsNeverCalled(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	t.Cleanup(server.Close)
	reachesUs := strings.Replace(server.URL, "127.0.0.1", "0.0.0.0", 1)
	reply := send(t, clientOf(t, reachesUs, nil))
	require.Equal(t, domain.ErrorNetwork, reply.Failure)
	require.Contains(t, reply.Cause, reachesUs+"/orders/sync was not called: 0.0.0.0 is an unspecified address, which is never called")
	require.Contains(t, reply.Cause, "ERP_ALLOWED_NETWORKS")
	allowed, err := egress.ParseNetworks("0.0.0.0")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, send(t, clientOf(t, reachesUs, func(s *setting.Settings) { s.Egress.Allowed = allowed })).StatusCode)
}

// An HTTP_PROXY that was meant for something else sent every order, with its customer and the API key, to the proxy.
func TestTheEnvironmentsProxyIsObeyedOnlyWhenAskedFor(t *testing.T) {
	var proxied atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		proxied.Add(1)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL) // net/http reads it once, so before anything else of this package asks for it
	s := setting.Defaults()
	s.ErpBaseURL = "http://erp.invalid"
	reply := send(t, New(Config{Settings: setting.Fixed(s)}))
	require.Equal(t, domain.ErrorNetwork, reply.Failure)
	require.Zero(t, proxied.Load())
	require.Equal(t, http.StatusOK, send(t, New(Config{Settings: setting.Fixed(s), UseProxy: true})).StatusCode)
	require.EqualValues(t, 1, proxied.Load())
}

func TestOfALongBodyOnlyTheStartIsKept(t *testing.T) {
	t.Parallel()
	for size, truncated := range map[int]bool{0: false, domain.MaxResponseBytes: false, domain.MaxResponseBytes + 1: true, 10 << 20: true} {
		c := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", size)) })
		reply := send(t, c)
		require.Equal(t, http.StatusOK, reply.StatusCode)
		require.Len(t, reply.Body.Start, min(size, domain.MaxResponseBytes))
		require.Equal(t, truncated, reply.Body.More, "%d bytes", size)
	}
}

// An ERP that sends without end must not hold the call until its timeout.
func TestABodyWithoutEndIsLeft(t *testing.T) {
	t.Parallel()
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	})
	require.True(t, send(t, c).Body.More)
}

func macOf(secret, content string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(content))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func TestEveryHeaderOfTheContractIsThere(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	c := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	require.Equal(t, http.StatusOK, send(t, c).StatusCode)
	require.Equal(t, "POST /api/orders/sync", got.Method+" "+got.RequestURI)
	require.Equal(t, payload, string(body)) //nolint:testifylint // these very bytes are signed
	require.EqualValues(t, len(payload), got.ContentLength)
	got.Header.Del("Accept-Encoding") // net/http's own
	signed := "msg_1.1705314600." + string(body)
	require.Equal(t, http.Header{
		"Accept":            {"application/json"},
		"Content-Length":    {fmt.Sprint(len(payload))},
		"Content-Type":      {"application/json"},
		"User-Agent":        {"erpconnector"},
		"Webhook-Id":        {"msg_1"},
		"Webhook-Signature": {"v1," + macOf("new", signed) + " v1," + macOf("old", signed)},
		"Webhook-Timestamp": {"1705314600"},
		"X-Api-Key":         {"key"},
		"X-Idempotency-Key": {"ERP_1"},
		"X-Signature":       {macOf("new", string(body))},
	}, got.Header)
}

func TestWithoutSecretsCallsAreUnsignedAndWarnedOf(t *testing.T) {
	t.Parallel()
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	t.Cleanup(server.Close)
	c := New(Config{Settings: setting.Fixed{ErpBaseURL: server.URL, ErpTimeout: time.Minute}})
	require.Equal(t, http.StatusOK, send(t, c).StatusCode)
	for _, name := range []string{"X-Api-Key", "X-Signature", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		require.NotContains(t, got, name)
	}
	require.Len(t, c.Warnings(), 2)
	require.Empty(t, clientOf(t, server.URL, nil).Warnings())
}

func TestHeadersWorthKeepingAreKept(t *testing.T) {
	t.Parallel()
	c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", "r\xff1")
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Set-Cookie", "session=1")
	})
	reply := send(t, c)
	require.Equal(t, map[string]string{"content-type": "application/json", "x-request-id": "r\uFFFD1", "retry-after": "7"}, reply.Headers)
	require.Equal(t, "7", reply.RetryAfter)
}

// An answer with megabytes of headers was kept whole: no broker took the outcome, nor any other in its transaction.
func TestLongHeadersAreCutAndTooManyAreNotRead(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", strings.Repeat("é", 400<<10))
		w.WriteHeader(http.StatusCreated)
	})
	reply := send(t, c)
	require.Equal(t, http.StatusCreated, reply.StatusCode)
	kept := reply.Headers["x-request-id"]
	require.LessOrEqual(t, len(kept), 1<<10)
	require.Regexp(t, "^é{500,}…$", kept)

	c = answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", strings.Repeat("x", 9<<20))
	})
	reply = send(t, c)
	require.Zero(t, reply.StatusCode)
	require.Equal(t, domain.ErrorNetwork, reply.Failure)
	require.Contains(t, reply.Cause, "headers exceeded 1048576 bytes")
}

func TestAnswersAreReadAsTheContractSays(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) *time.Time { due := at.Add(d); return &due }
	retryable := func(code domain.ErrorCode, text string, after *time.Time) domain.Outcome {
		return domain.Outcome{Kind: domain.OutcomeRetryable, Code: code, Error: text, RetryAfter: after}
	}
	const noNumber = "the ERP accepted the order, and no number of it was found in its answer, which begins as JSON and is none to its end"
	success := func(reference *string) domain.Outcome {
		return domain.Outcome{Kind: domain.OutcomeSuccess, Reference: reference}
	}
	final := func(text string) domain.Outcome {
		return domain.Outcome{Kind: domain.OutcomeFinal, Code: domain.ErrorRejected, Error: text}
	}
	tests := map[string]struct {
		status     int
		body       string
		retryAfter string
		want       domain.Outcome
	}{
		"the_modules_success":             {200, `{"erp_reference": "ERP-123", "status": "accepted"}`, "", success(new("ERP-123"))},
		"created":                         {201, `{"erp_reference": "ERP-123", "erp_id": "x", "id": "y"}`, "", success(new("ERP-123"))},
		"a_reference_called_erp_id":       {200, `{"erp_reference": null, "erp_id": 42, "id": "y"}`, "", success(new("42"))},
		"a_reference_called_id":           {202, `{"erp_reference": "", "id": "y"}`, "", success(new("y"))},
		"no_content":                      {204, ``, "", success(nil)},
		"a_success_that_is_not_json":      {200, `<ok/>`, "", success(nil)},
		"a_success_cut_short":             {200, `{"erp_reference": `, "", domain.Outcome{Kind: domain.OutcomeSuccess, Warning: noNumber}},
		"not_modified":                    {304, ``, "", final("HTTP 304 without a body")},
		"the_modules_error":               {422, `{"error": "no such sku", "code": "SKU"}`, "", final("no such sku")},
		"an_error_called_message":         {400, `{"message": "no such sku"}`, "", final("no such sku")},
		"an_error_that_is_not_json":       {404, "not here\n", "", final("not here")},
		"a_conflict":                      {409, ``, "", final("HTTP 409 without a body")},
		"a_final_answer_with_retry_after": {403, `no`, "60", final("no")},
		"a_code_the_setting_names":        {423, `locked`, "60", retryable(domain.ErrorBusy, "locked", in(time.Minute))},
		"rate_limited":                    {429, ``, "", retryable(domain.ErrorRateLimited, "HTTP 429 without a body", nil)},
		"rate_limited_for_seconds":        {429, `slow`, "120", retryable(domain.ErrorRateLimited, "slow", in(2*time.Minute))},
		"rate_limited_until_a_date":       {429, `slow`, "Mon, 15 Jan 2024 10:40:00 GMT", retryable(domain.ErrorRateLimited, "slow", in(10*time.Minute))},
		"a_retry_after_nobody_can_read":   {503, `down`, "soon", retryable(domain.ErrorUnavailable, "down", nil)},
		"a_server_error":                  {500, `{"error": {"nested": 1}}`, "", retryable(domain.ErrorUnavailable, `{"error": {"nested": 1}}`, nil)},
		"unavailable_for_seconds":         {503, `down`, "30", retryable(domain.ErrorUnavailable, "down", in(30*time.Second))},
		"a_gateway_without_answer":        {504, ``, "", retryable(domain.ErrorUnavailable, "HTTP 504 without a body", nil)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.want.Doubtful = test.status == http.StatusGatewayTimeout
			c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.retryAfter != "" {
					w.Header().Set("Retry-After", test.retryAfter)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			require.Equal(t, test.want, domain.Classify(send(t, c).Answer, domain.AnswerPolicy{RetryableCodes: []int{423}}, false, at))
		})
	}
}
