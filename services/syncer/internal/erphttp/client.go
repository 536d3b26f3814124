// Package erphttp is the connector's only way to the ERP: one signed POST per attempt, never repeated by itself.
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

// Config is what a Client is made of.
type Config struct {
	APIKey   config.Secret   // empty: no X-API-KEY
	Secrets  []config.Secret // the newest first; empty: no signature
	InFlight int             // idle connections kept
	Settings setting.Reader  // base URL and timeout, read at each call; and where calls may go to, at each connection
	UseProxy bool            // the one that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name
}

// Client calls the ERP. It is safe for concurrent use.
type Client struct {
	cfg     Config
	secrets []string
	// One round trip and no more: an http.Client above it would read Location, and follow it.
	transport http.RoundTripper
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
	c.transport = transport
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

// Send posts the payload to {base}/orders/sync and reads the answer, all within the timeout of the settings, whatever the ERP
// does. It ends at once when ctx does.
func (c *Client) Send(ctx context.Context, r Request) Reply {
	s := c.cfg.Settings.Current()
	if s.ErpBaseURL == "" {
		return failure(domain.ErrorNetwork, "ERP_BASE_URL is not set: no call was made")
	}
	target := syncURL(s)
	within, cancel := context.WithTimeout(ctx, s.ErpTimeout)
	defer cancel()
	call := &call{timeout: s.ErpTimeout, target: redact(target), body: newOrderBody(r.Payload)}
	req, err := c.request(call.traced(within), target, r, call.body)
	if err != nil {
		return failure(domain.ErrorNetwork, fmt.Sprintf("ERP_BASE_URL cannot be called: %s", withoutURL(err)))
	}
	reply, err := c.exchange(req, call)
	var refused *egress.RefusedError
	switch {
	case err == nil:
		return reply
	case errors.As(err, &refused):
		return call.refused(refused)
	case ctx.Err() != nil:
		return Reply{Cancelled: true, Answer: domain.Answer{Failure: domain.ErrorNetwork, Cause: "the call was cut off by a hand-over"}}
	case within.Err() != nil:
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

func syncURL(s setting.Settings) string {
	return strings.TrimRight(s.ErpBaseURL, "/") + domain.SyncPath
}

// Target is what Send calls under the settings, without user, password and query: for the log.
func Target(s setting.Settings) string { return redact(syncURL(s)) }

func (c *Client) request(ctx context.Context, target string, r Request, body *orderBody) (*http.Request, error) {
	// An opaque reader leaves GetBody nil. With it, and with an idempotency header, net/http would send the request a
	// second time when a connection breaks: two calls in one attempt.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, io.NopCloser(body))
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(r.Payload))
	if u := req.URL.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
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

// redact is the URL without user, password and query.
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
