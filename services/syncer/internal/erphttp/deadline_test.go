package erphttp

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// drip writes again and again, with a pause in between, until the caller has left.
func drip(conn net.Conn, what string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.WriteString(conn, what); err != nil {
			return
		}
	}
}

// flood writes without a pause until the caller has left.
func flood(conn net.Conn, what string) {
	for {
		if _, err := io.WriteString(conn, what); err != nil {
			return
		}
	}
}

// peer is an ERP's side of one connection, after it has read a request, or before.
type peer struct {
	name   string
	scheme string // https: it is called so, and sees no request; else http
	unread bool   // it does not read the order
	answer func(conn net.Conn)
}

// at is the peer's base URL.
func (p peer) at(w *wire) string {
	return cmp.Or(p.scheme, "http") + "://" + w.listener.Addr().String()
}

const (
	chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	slow    = 5 * time.Millisecond
)

// endless are ERPs, and what stands before them, that never come to an end by themselves.
var endless = []peer{
	{name: "silence", answer: func(net.Conn) {}},
	{name: "no_handshake", scheme: "https", answer: func(net.Conn) {}},
	{name: "an_order_that_nobody_reads", unread: true, answer: func(net.Conn) {}},
	{name: "a_go_on_and_silence", answer: func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n") }},
	{name: "interim_answers_now_and_then", answer: func(conn net.Conn) { drip(conn, "HTTP/1.1 102 Processing\r\n\r\n", 50*time.Millisecond) }},
	{name: "a_head_byte_by_byte", answer: func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: ")
		drip(conn, "x", slow)
	}},
	{name: "a_body_byte_by_byte", answer: func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		drip(conn, "x", slow)
	}},
	{name: "a_body_chunk_by_chunk", answer: func(conn net.Conn) {
		_, _ = io.WriteString(conn, chunked)
		drip(conn, "1\r\nx\r\n", slow)
	}},
	{name: "a_body_that_ends_with_the_connection", answer: func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}")
	}},
	{name: "an_object_without_an_end", answer: func(conn net.Conn) {
		_, _ = io.WriteString(conn, chunked+"9\r\n{\"id\": \"7\r\n")
		drip(conn, "1\r\nx\r\n", slow)
	}},
	{name: "trailers_line_by_line", answer: func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\n{}\r\n0\r\n")
		drip(conn, "X: x\r\n", 50*time.Millisecond)
	}},
	{name: "a_refusal_without_an_end", answer: func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\n{")
	}},
}

// play is the peer on the wire; reached is told when it has begun to answer.
func (p peer) play(reached chan<- struct{}) func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
	return func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
		_ = conn.SetReadBuffer(4 << 10) // so that what is not read stays with its sender
		if p.scheme != "" {
			_, _ = in.Peek(1)
		} else if !p.unread {
			w.read(in)
		} else if _, err := http.ReadRequest(in); err != nil { // its head
			return
		}
		select {
		case reached <- struct{}{}:
		default:
		}
		p.answer(conn)
		if p.unread || p.scheme != "" { // net/http goes on with a handshake for whoever calls next
			<-w.over
			return
		}
		_, _ = io.Copy(io.Discard, in) // until the caller leaves
	}
}

// large is an order that no buffer on the way holds.
var large = []byte(`{"name":"` + strings.Repeat("x", 16<<20) + `"}`)

func (p peer) send(ctx context.Context, c *Client) Reply {
	r := Request{Payload: []byte(payload), IdempotencyKey: "ERP_1", MessageID: "msg_1", At: at}
	if p.unread {
		r.Payload = large
	}
	return c.Send(ctx, r)
}

// soon is far more than a call that has ended takes to return on a busy machine, and far less than it may last.
const soon = testkit.Patience

func TestEveryCallEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	for _, p := range endless {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w := onTheWire(t, p.play(make(chan struct{}, 1)))
			c := clientOf(t, p.at(w), func(s *setting.Settings) { s.ErpTimeout = 200 * time.Millisecond })
			began := time.Now()
			reply := p.send(t.Context(), c)
			require.Less(t, time.Since(began), soon)
			require.Equal(t, domain.ErrorTimeout, reply.Failure)
			require.Equal(t, "no answer from "+p.at(w)+"/orders/sync within 200ms; "+
				"the ERP may have booked the order, the next attempt carries the same key", reply.Cause)
			require.Equal(t, domain.OutcomeRetryable, domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at).Kind)
		})
	}
}

// A process that is told to stop, or that loses the order's partition, cuts its calls off.
func TestEveryCallEndsAtOnceWhenItIsCutOff(t *testing.T) {
	t.Parallel()
	for _, p := range endless {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			reached := make(chan struct{}, 1)
			w := onTheWire(t, p.play(reached))
			c := clientOf(t, p.at(w), func(s *setting.Settings) { s.ErpTimeout = 10 * time.Minute })
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan Reply, 1)
			go func() { done <- p.send(ctx, c) }()
			<-reached
			cancel()
			select {
			case reply := <-done:
				require.True(t, reply.Cancelled)
			case <-time.After(soon):
				require.Fail(t, "the call goes on")
			}
		})
	}
}

// An answer of 101 kept its call for ever: its connection is nobody's then, and net/http reads from it without a deadline.
func TestAnAnswerThatIsNoneEndsTheCallAtOnce(t *testing.T) {
	t.Parallel()
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	const no101 = "/orders/sync sent HTTP 101 and no answer: check that erp_base_url names the ERP's HTTP API, and the proxies before it"
	for _, c := range []struct {
		peer
		want string
	}{
		{peer{name: "another_protocol", answer: func(conn net.Conn) { _, _ = io.WriteString(conn, switched) }}, no101},
		{peer{name: "another_protocol_that_talks", answer: func(conn net.Conn) {
			_, _ = io.WriteString(conn, switched)
			drip(conn, "x", slow)
		}}, no101},
		{peer{name: "another_protocol_that_talks_much", answer: func(conn net.Conn) {
			_, _ = io.WriteString(conn, switched)
			flood(conn, strings.Repeat("x", 1<<10))
		}}, no101},
		{peer{name: "another_protocol_of_no_name", answer: func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		}}, no101},
		{peer{name: "interim_answers_without_an_end", answer: func(conn net.Conn) { flood(conn, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n") }}, "more than 100 interim answers (HTTP 1xx) came, and no answer; check that the ERP is up"},
		{peer{name: "a_status_that_http_does_not_have", answer: func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\n{}")
		}}, "it answered with the status 000, which HTTP does not have"},
		{peer{name: "no_http", answer: func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n") }}, "malformed HTTP"},
		{peer{name: "chunk_extensions_without_an_end", answer: func(conn net.Conn) {
			_, _ = io.WriteString(conn, chunked+"2;")
			flood(conn, strings.Repeat("x", 1<<10))
		}}, "/orders/sync, HTTP 200, broke off: "},
		{peer{name: "trailers_without_an_end", answer: func(conn net.Conn) {
			_, _ = io.WriteString(conn, chunked+"2\r\n{}\r\n0\r\n")
			flood(conn, "X: x\r\n")
		}}, "/orders/sync, HTTP 200, broke off: "},
		{peer{name: "a_body_that_is_no_gzip", answer: func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 21\r\n\r\n{\"erp_reference\":\"1\"}")
		}}, "/orders/sync, HTTP 200, broke off: gzip: invalid header"},
		{peer{name: "a_success_though_nobody_read_the_order", unread: true, answer: func(conn net.Conn) { _, _ = io.WriteString(conn, ok) }}, "bytes of the order were still to be sent, so http://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := onTheWire(t, c.play(make(chan struct{}, 1)))
			client := clientOf(t, "http://"+w.listener.Addr().String(), func(s *setting.Settings) { s.ErpTimeout = 10 * time.Minute })
			done := make(chan Reply, 1)
			go func() { done <- c.send(t.Context(), client) }()
			var reply Reply
			select {
			case reply = <-done:
			case <-time.After(soon):
				require.Fail(t, "the call goes on")
			}
			o := domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at)
			require.Equal(t, domain.OutcomeRetryable, o.Kind)
			require.Equal(t, domain.ErrorNetwork, o.Code)
			require.Contains(t, o.Error, c.want)
			connections, _ := w.settled(t)
			require.Equal(t, 1, connections)
		})
	}
}

func TestARefusalMayComeBeforeTheOrderWasSent(t *testing.T) {
	t.Parallel()
	p := peer{unread: true, answer: func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large")
	}}
	w := onTheWire(t, p.play(make(chan struct{}, 1)))
	reply := p.send(t.Context(), clientOf(t, "http://"+w.listener.Addr().String(), nil))
	require.Equal(t, domain.Outcome{Kind: domain.OutcomeFinal, Code: domain.ErrorRejected, Error: "too large"},
		domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at))
}

// An ERP may send the head of its answer while it still reads the order.
func TestASuccessCountsOnceTheOrderWasSent(t *testing.T) {
	t.Parallel()
	w := onTheWire(t, func(_ *wire, conn *net.TCPConn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, chunked)
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(conn, "15\r\n{\"erp_reference\":\"1\"}\r\n0\r\n\r\n")
	})
	c := clientOf(t, "http://"+w.listener.Addr().String(), nil)
	reply := c.Send(t.Context(), Request{Payload: large, IdempotencyKey: "ERP_1", MessageID: "msg_1", At: at})
	o := domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at)
	require.Equal(t, domain.OutcomeSuccess, o.Kind)
	require.Equal(t, "1", *o.Reference)
}

// What comes of an answer that goes on where no more of it is kept: it is one, and its number counts as far as it was read.
func TestAnAnswerThatStallsBehindWhatIsKeptIsOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, want, warning string }{
		"with_its_number":    {`"erp_reference":"1"`, "1", ""},
		"without_its_number": {`"id":"1"`, "", "it broke off after 102419 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onTheWire(t, func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
				w.read(in)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{"+c.first+`,"order":"`+strings.Repeat("x", 100<<10))
				w.read(in) // until the caller leaves
			})
			client := clientOf(t, "http://"+w.listener.Addr().String(), func(s *setting.Settings) { s.ErpTimeout = 500 * time.Millisecond })
			o := domain.Classify(send(t, client).Answer, domain.AnswerPolicy{}, false, at)
			require.Equal(t, domain.OutcomeSuccess, o.Kind)
			if c.want != "" {
				require.Equal(t, c.want, *o.Reference)
				require.Empty(t, o.Warning)
				return
			}
			require.Nil(t, o.Reference)
			require.Contains(t, o.Warning, c.warning)
		})
	}
}

// A BOM, or an answer longer than what is kept, lost erp_reference.
func TestTheReferenceOfALongAnswerIsFound(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"after_a_byte_order_mark": "\xef\xbb\xbf{\"erp_reference\":\"ERP-1\"}",
		"after_an_echo":           `{"order":"` + strings.Repeat("x", 200<<10) + `","erp_reference":"ERP-1"}`,
	} {
		c := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		reply := send(t, c)
		require.Equal(t, body[:min(len(body), domain.MaxResponseBytes)], string(reply.Body.Start), name)
		require.Equal(t, len(body) > domain.MaxResponseBytes, reply.Body.More, name)
		o := domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at)
		require.Equal(t, "ERP-1", *o.Reference, name)
	}
}

// The target of a redirect is told without what may be a secret in it; one that is no address ended as a broken connection.
func TestWhereARedirectLeadsIsTold(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://user:pass@erp.example.com/api/orders/sync?token=t#f": "HTTP 308 redirects to https://erp.example.com/api/orders/sync, and redirects are not followed: ",
		"/login?next=%2Forders":               "/login, and redirects are not followed: that is no address of orders, but a login page perhaps",
		"https://erp.example.com/%zz?token=t": "HTTP 308 redirects to an address that cannot be read, and redirects are not followed: check erp_base_url",
		"":                                    "HTTP 308 without a body",
	} {
		c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{given}
			w.WriteHeader(http.StatusPermanentRedirect)
		})
		o := domain.Classify(send(t, c).Answer, domain.AnswerPolicy{}, false, at)
		require.Equal(t, domain.OutcomeFinal, o.Kind)
		require.Contains(t, o.Error, want)
		require.NotContains(t, o.Error, "pass")
		require.NotContains(t, o.Error, "token")
	}
}

func TestUserAndPasswordOfTheAddressLogIn(t *testing.T) {
	t.Parallel()
	var user, password string
	c := answering(t, func(_ http.ResponseWriter, r *http.Request) { user, password, _ = r.BasicAuth() })
	s := c.cfg.Settings.Current()
	s.ErpBaseURL = strings.Replace(s.ErpBaseURL, "//", "//me:p%C3%A4ss@", 1)
	reply := send(t, New(Config{Settings: setting.Fixed(s)}))
	require.Equal(t, http.StatusOK, reply.StatusCode)
	require.Equal(t, []string{"me", "päss"}, []string{user, password})
	require.NotContains(t, reply.Target, "me")
}
