package erphttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
)

// Limits of an answer's head. Headers go into the log with the answer, and no broker takes megabytes of them.
const (
	maxHeaderBytes     = 1 << 20 // of all headers; an answer with more is not read
	maxKeptHeaderBytes = 1 << 10 // of each header that is kept; the rest is truncated
	maxInterim         = 100     // interim answers (1xx) before the answer
)

// Reply is the ERP's answer, or why there is none.
type Reply struct {
	domain.Answer
	Headers    map[string]string // those worth keeping
	Cancelled  bool              // the context ended first: the call has no outcome, whatever the ERP did
	SentBefore bool              // the call was made again: the ERP may have read the key before
}

// call is one request in flight.
type call struct {
	timeout time.Duration
	minIdle time.Duration
	target  string        // without user, password and query
	members []string      // of the answer's JSON that the settings name
	token   *oauth2.Token // that it carries; nil: none
	body    *orderBody
	interim atomic.Int64
	status  int // of an answer whose body is being read

	ctx       context.Context //nolint:containedctx // to tell the end of the call's time from a connection that broke
	connected atomic.Bool     // bytes of the request may have gone out
	wasIdle   atomic.Bool     // the connection was kept, and idle for minIdle at least
	answered  atomic.Bool     // a byte of an answer came
}

var errInterim = fmt.Errorf("more than %d interim answers (HTTP 1xx) came, and no answer", maxInterim)

// traced limits the count of interim answers, as net/http limits only their bytes, and notes how far the call came.
func (c *call) traced(ctx context.Context) context.Context {
	c.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			c.connected.Store(true)
			c.wasIdle.Store(info.WasIdle && info.IdleTime >= c.minIdle)
		},
		WroteHeaders:         c.body.headWritten,
		GotFirstResponseByte: func() { c.answered.Store(true) },
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			if c.interim.Add(1) > maxInterim {
				return errInterim
			}
			return nil
		},
	})
	return c.ctx
}

// foundItClosed reports whether a call that failed was the first to see that the ERP had closed an idle connection. Over HTTP/2 a
// stream can end and its connection live on: then the ERP has given up this call, unless it says that it never looked at it.
func (c *call) foundItClosed(err error) bool {
	var stream streamError
	if errors.As(err, &stream) && stream.Code != refusedStream {
		return false
	}
	return c.wasIdle.Load() && !c.answered.Load() && c.ctx.Err() == nil
}

// streamError takes net/http's error of an HTTP/2 stream, which has no exported type: errors.As fills any struct with its fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error is for errors.As, which wants an error.
func (e streamError) Error() string {
	return fmt.Sprintf("stream %d ended with code %d", e.StreamID, e.Code)
}

// refusedStream is REFUSED_STREAM of RFC 9113: the request was not processed.
const refusedStream = 7

// read reads the answer. It reads no body after a status below 200 (such as 101, Switching Protocols): the connection
// has another protocol then, its data are no body, may never end, and no deadline applies to them.
func (c *call) read(resp *http.Response) (Reply, error) {
	reply := Reply{
		Answer:  domain.Answer{StatusCode: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After"), Target: c.target, Location: location(resp)},
		Headers: kept(resp.Header),
	}
	switch {
	case resp.StatusCode < http.StatusContinue:
		return Reply{}, fmt.Errorf("it answered with the status %03d, which HTTP does not have", resp.StatusCode)
	case resp.StatusCode < http.StatusOK:
		return reply, nil
	}
	c.status = resp.StatusCode
	body, err := domain.ReadAnswerBody(resp.Body, c.members...)
	if err != nil {
		return Reply{}, err
	}
	reply.Body, reply.Unsent = body, c.body.unsent()
	return reply, nil
}

// late returns the reply after the time-out. The order may have been booked; the next attempt carries the same key.
func (c *call) late() Reply {
	return failure(domain.ErrorTimeout, fmt.Sprintf("no answer from %s within %s; "+
		"the ERP may have booked the order, the next attempt carries the same key", c.target, c.timeout))
}

// refused returns the reply when no connection was made, as calls may not go to that address.
func (c *call) refused(err *egress.RefusedError) Reply {
	return failure(domain.ErrorNetwork, fmt.Sprintf("%s was not called: %s; check ERP_BASE_URL, and what its name resolves to", c.target, err))
}

// failed returns the reply after a network error. Its text is for the order's timeline.
func (c *call) failed(err error) Reply {
	var netErr net.Error
	switch {
	case errors.As(err, &netErr) && netErr.Timeout():
		return c.late()
	case c.status != 0:
		return failure(domain.ErrorNetwork, fmt.Sprintf("the answer of %s, HTTP %d, broke off: %s; "+
			"the ERP may have booked the order, the next attempt carries the same key; check the ERP and the proxies before it",
			c.target, c.status, withoutURL(err)))
	}
	return failure(domain.ErrorNetwork,
		fmt.Sprintf("no answer from %s: %s; check that the ERP is up and ERP_BASE_URL names it", c.target, withoutURL(err)))
}

// withoutURL removes the URL from net/http's errors, as it may hold a password.
func withoutURL(err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		return urlErr.Err
	}
	return err
}

func failure(code domain.ErrorCode, cause string) Reply {
	return Reply{Answer: domain.Answer{Failure: code, Cause: cause}}
}

// notSent returns the reply when nothing was sent.
func notSent(cause string) Reply {
	return Reply{Answer: domain.Answer{Failure: domain.ErrorNetwork, Cause: cause, NotSent: true}}
}

// kept are the headers that help to find a call in the ERP's own log. Others may hold cookies or tokens, and the log is for ever.
func kept(h http.Header) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"Content-Type", "Retry-After", "X-Request-Id"} {
		if v := h.Get(name); v != "" {
			out[strings.ToLower(name)] = domain.Truncate(v, maxKeptHeaderBytes)
		}
	}
	return out
}

// location returns the absolute URL of a redirect.
func location(resp *http.Response) string {
	if resp.Header.Get("Location") == "" {
		return ""
	}
	u, err := resp.Location()
	if err != nil {
		return domain.UnreadableLocation
	}
	return withoutSecrets(u)
}

// orderBody is the body of the request. It counts the bytes that the transport has not read yet, which were certainly
// not sent. A byte that was read may still be in a buffer.
type orderBody struct {
	order *bytes.Reader
	size  int
	left  atomic.Int64

	isWhole bool // it goes out in one write together with the head
}

func newOrderBody(order []byte) *orderBody {
	b := &orderBody{order: bytes.NewReader(order), size: len(order)}
	b.left.Store(int64(len(order)))
	return b
}

// Read is for the transport.
func (b *orderBody) Read(p []byte) (int, error) {
	n, err := b.order.Read(p)
	b.left.Add(-int64(n))
	return n, err
}

// reader is the body for the transport. Head and body go out in one write if the transport knows the type of the reader, and finds room in
// its buffer. Then no bytes can be counted, and until headWritten all of them are unsent.
func (b *orderBody) reader() io.Reader {
	if b.isWhole {
		return b.order
	}
	return b
}

// headWritten notes that the transport has put the head into its buffer. The body follows at once.
func (b *orderBody) headWritten() {
	if b.isWhole {
		b.left.Store(0)
	}
}

func (b *orderBody) unsent() int { return int(b.left.Load()) }
