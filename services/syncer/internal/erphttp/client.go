// Package erphttp calls the ERP: one signed POST for each attempt, which it never repeats by itself, and a GET that asks for an order.
package erphttp

import (
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

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/signature"
)

// Config describes a Client.
type Config struct {
	APIKey   config.Secret   // empty: no X-API-KEY
	Secrets  []config.Secret // the newest first; empty: no signature
	InFlight int             // maximum of idle connections
	Settings setting.Reader  // base URL and time-out, read at each call; and the allowed addresses, read at each connection
	UseProxy bool            // by HTTP_PROXY, HTTPS_PROXY and NO_PROXY
}

// Client calls the ERP. It is safe for concurrent use.
type Client struct {
	cfg     Config
	secrets []string
	// The transport makes one round trip. An http.Client would follow redirects.
	transport http.RoundTripper
}

// The values of net/http's default transport.
const (
	dialTimeout = 30 * time.Second
	keepAlive   = 30 * time.Second
)

// New returns a client. It does not follow redirects: a 3xx is an answer.
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
	control := func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		return cfg.Settings.Current().Egress.Control(ctx, network, address, conn)
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, ControlContext: control}
	transport.DialContext = dialer.DialContext
	c.transport = transport
	return c
}

// Warnings returns what is missing for an ERP that authenticates its callers.
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
	MessageID      string // webhook-id: the same for all attempts with one key; without a dot
	At             time.Time
}

// Send posts the payload to {base}/orders/sync and reads the answer. Whatever the ERP does, this takes no longer than
// the time-out of the settings. Send ends at once when ctx does.
func (c *Client) Send(ctx context.Context, r Request) Reply {
	return c.call(ctx, http.MethodPost, domain.SyncPath, r)
}

// LookUp asks by GET {base}{path} for an order, and reads the answer. It takes no longer than Send. The request has no payload, and is
// signed as one of no bytes.
func (c *Client) LookUp(ctx context.Context, path string, r Request) Reply {
	r.Payload = nil
	return c.call(ctx, http.MethodGet, path, r)
}

func (c *Client) call(ctx context.Context, method, path string, r Request) Reply {
	s := c.cfg.Settings.Current()
	if s.ErpBaseURL == "" {
		return notSent("ERP_BASE_URL is not set: no call was made")
	}
	target := erpURL(s, path)
	timeout, cancel := context.WithTimeout(ctx, s.ErpTimeout)
	defer cancel()
	call := &call{timeout: s.ErpTimeout, target: redact(target), body: newOrderBody(r.Payload), members: s.RetryPolicy().Members()}
	req, err := c.request(call.traced(timeout), method, target, r, call.body)
	if err != nil {
		return notSent(fmt.Sprintf("ERP_BASE_URL cannot be called: %s", withoutURL(err)))
	}
	reply, err := c.exchange(req, call)
	if err != nil {
		reply = c.unanswered(ctx, timeout, call, err)
		reply.NotSent = !call.connected.Load()
	}
	return reply
}

// unanswered says why there is no answer.
func (c *Client) unanswered(ctx, timeout context.Context, call *call, err error) Reply {
	var refused *egress.RefusedError
	switch {
	case errors.As(err, &refused):
		return call.refused(refused)
	case ctx.Err() != nil:
		return Reply{Cancelled: true, Answer: domain.Answer{Failure: domain.ErrorNetwork, Cause: "the call was cut off by a hand-over"}}
	case timeout.Err() != nil:
		return call.late()
	default:
		return call.failed(err)
	}
}

func (c *Client) exchange(req *http.Request, call *call) (Reply, error) {
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	return call.read(resp)
}

func erpURL(s setting.Settings, path string) string {
	return strings.TrimRight(s.ErpBaseURL, "/") + path
}

// Target returns the URL that Send calls with these settings, without user, password and query: for the log.
func Target(s setting.Settings) string { return redact(erpURL(s, domain.SyncPath)) }

func (c *Client) request(ctx context.Context, method, target string, r Request, body *orderBody) (*http.Request, error) {
	// The type of the reader is hidden, so that GetBody stays nil. Otherwise, with an idempotency header, net/http
	// would send the request a second time when a connection breaks. That would be two calls in one attempt.
	req, err := http.NewRequestWithContext(ctx, method, target, io.NopCloser(body))
	if err != nil {
		return nil, err
	}
	if req.ContentLength = int64(len(r.Payload)); len(r.Payload) == 0 {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if u := req.URL.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	h := req.Header
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

// redact returns the URL without user, password and query.
func redact(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "the ERP"
	}
	return withoutSecrets(u)
}

func withoutSecrets(u *url.URL) string {
	shown := *u
	shown.User, shown.RawQuery, shown.Fragment, shown.RawFragment = nil, "", "", ""
	return shown.String()
}
