// Package erphttp is the connector's only way to the ERP: one signed POST per attempt, never repeated by itself.
package erphttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/signature"
)

// Limits of an answer's headers. They go into the log with the answer, where no broker would take megabytes of them.
const (
	maxHeaderBytes     = 1 << 20 // of all of them; beyond it the answer is not read
	maxKeptHeaderBytes = 1 << 10 // of each that is kept; the rest is cut off
)

// Config is what a Client is made of.
type Config struct {
	APIKey   platform.Secret   // empty: no X-API-KEY
	Secrets  []platform.Secret // the newest first; empty: no signature
	InFlight int               // idle connections kept
	Settings setting.Reader    // base URL and timeout, read at each call; and where calls may go to, at each connection
	UseProxy bool              // the one that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name
}

// Client calls the ERP. It is safe for concurrent use.
type Client struct {
	cfg     Config
	secrets []string
	http    *http.Client
}

// Of the default transport.
const (
	dialTimeout = 30 * time.Second
	keepAlive   = 30 * time.Second
)

// New makes a client. Redirects are not followed: a 3xx is an answer.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg}
	for _, s := range cfg.Secrets {
		if s != "" {
			c.secrets = append(c.secrets, s.Reveal())
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented type
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = cfg.InFlight, cfg.InFlight
	transport.IdleConnTimeout = 30 * time.Second
	transport.MaxResponseHeaderBytes = maxHeaderBytes
	transport.Proxy = nil
	if cfg.UseProxy {
		transport.Proxy = http.ProxyFromEnvironment
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, ControlContext: func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		return cfg.Settings.Current().Egress.Control(ctx, network, address, conn)
	}}
	transport.DialContext = dialer.DialContext
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Warnings says what is missing for an ERP that checks who calls.
func (c *Client) Warnings() []string {
	var out []string
	if c.cfg.APIKey == "" {
		out = append(out, "ERP_API_KEY is not set: calls go out without X-API-KEY")
	}
	if len(c.secrets) == 0 {
		out = append(out, "ERP_HMAC_SECRET is not set: calls go out unsigned, and no webhook can be verified")
	}
	return out
}

// Request is one attempt.
type Request struct {
	Payload        []byte
	IdempotencyKey string
	MessageID      string // webhook-id: the same for all attempts under one key; without a dot
	At             time.Time
}

// Reply is the ERP's answer, or why there is none.
type Reply struct {
	domain.Answer
	Headers   map[string]string // those worth keeping
	Truncated bool              // the body was longer than domain.MaxResponseBytes
	Cancelled bool              // our side cut the call off: it has no outcome, whatever the ERP did
}

// Send posts the payload to {base}/orders/sync and reads the answer, all within the timeout of the settings.
func (c *Client) Send(ctx context.Context, r Request) Reply {
	s := c.cfg.Settings.Current()
	if s.ErpBaseURL == "" {
		return failure(domain.ErrorNetwork, "ERP_BASE_URL is not set: no call was made")
	}
	target := syncURL(s)
	call, cancel := context.WithTimeout(ctx, s.ErpTimeout)
	defer cancel()
	req, err := c.request(call, target, r)
	if err != nil {
		return failure(domain.ErrorNetwork, fmt.Sprintf("ERP_BASE_URL cannot be called: %s", withoutURL(err)))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.noAnswer(ctx, call, target, s.ErpTimeout, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, truncated, err := read(resp.Body)
	if err != nil {
		return c.noAnswer(ctx, call, target, s.ErpTimeout, err)
	}
	return Reply{
		Answer:    domain.Answer{StatusCode: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After"), Body: body},
		Headers:   kept(resp.Header),
		Truncated: truncated,
	}
}

func syncURL(s setting.Settings) string { return strings.TrimRight(s.ErpBaseURL, "/") + "/orders/sync" }

// Target is what Send calls under the settings, without user, password and query: for the log.
func Target(s setting.Settings) string { return redact(syncURL(s)) }

func (c *Client) request(ctx context.Context, target string, r Request) (*http.Request, error) {
	// An opaque reader leaves GetBody nil. With it, and with an idempotency header, net/http would send the request a
	// second time when a connection breaks: two calls in one attempt.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, io.NopCloser(bytes.NewReader(r.Payload)))
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(r.Payload))
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "erpconnector")
	h.Set("X-Idempotency-Key", r.IdempotencyKey)
	if c.cfg.APIKey != "" {
		h.Set("X-Api-Key", c.cfg.APIKey.Reveal())
	}
	if len(c.secrets) > 0 {
		h.Set(signature.HeaderModule, signature.Module(c.secrets[0], r.Payload))
		h.Set(signature.HeaderID, r.MessageID)
		h.Set(signature.HeaderTimestamp, fmt.Sprint(r.At.Unix()))
		h.Set(signature.HeaderSignature, signature.Standard(c.secrets, r.MessageID, r.At, r.Payload))
	}
	return req, nil
}

// noAnswer words what happened for whoever reads the order's timeline. The order may have been booked; the next attempt
// carries the same key.
func (c *Client) noAnswer(ctx, call context.Context, target string, timeout time.Duration, err error) Reply {
	target = redact(target)
	var netErr net.Error
	var refused *egress.RefusedError
	switch {
	case errors.As(err, &refused):
		return failure(domain.ErrorNetwork, fmt.Sprintf("%s was not called: %s; check ERP_BASE_URL, and what its name resolves to", target, refused))
	case ctx.Err() != nil:
		return Reply{Cancelled: true, Answer: domain.Answer{Failure: domain.ErrorNetwork, Cause: "the call was cut off by a hand-over"}}
	case call.Err() != nil, errors.As(err, &netErr) && netErr.Timeout():
		return failure(domain.ErrorTimeout, fmt.Sprintf("no answer from %s within %s; the ERP may have booked the order, the next attempt carries the same key", target, timeout))
	}
	return failure(domain.ErrorNetwork,
		fmt.Sprintf("no answer from %s: %s; check that the ERP is up and ERP_BASE_URL names it", target, withoutURL(err)))
}

// withoutURL takes the URL out of net/http's errors, as it may hold a password.
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

// read takes what is kept of a body; closing the rest unread costs the connection, reading it could cost the timeout.
func read(body io.Reader) (kept []byte, truncated bool, err error) {
	kept, err = io.ReadAll(io.LimitReader(body, domain.MaxResponseBytes+1))
	if err != nil {
		return nil, false, err
	}
	if len(kept) > domain.MaxResponseBytes {
		return kept[:domain.MaxResponseBytes], true, nil
	}
	return kept, false, nil
}

func kept(h http.Header) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"Content-Type", "Retry-After", "X-Request-Id"} {
		if v := h.Get(name); v != "" {
			out[strings.ToLower(name)] = domain.Truncate(v, maxKeptHeaderBytes)
		}
	}
	return out
}

// redact is the URL without user, password and query.
func redact(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "the ERP"
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}
