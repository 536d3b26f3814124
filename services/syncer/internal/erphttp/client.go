// Package erphttp calls the ERP: one signed POST for each attempt, and a GET that asks for an order. It repeats a call by itself in two
// cases only, see repeats.
package erphttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/signature"
)

// Config describes a Client.
type Config struct {
	Secrets   func() config.ERPSecrets // asked at each call; nil: none
	BasicUser string                   // empty: no login with user and password but that of the base URL
	OAuth     config.OAuth             // no token URL: no login by OAuth
	TLS       *tls.Config              // nil: the system's roots
	InFlight  int                      // maximum of idle connections
	Settings  setting.Reader           // base URL and time-out, read at each call; and the allowed addresses, read at each connection
	UseProxy  bool                     // by HTTP_PROXY, HTTPS_PROXY and NO_PROXY
}

// Client calls the ERP. It is safe for concurrent use.
type Client struct {
	cfg    Config
	tokens *tokens // nil: no login by OAuth
	// The transport makes one round trip. An http.Client would follow redirects.
	transport http.RoundTripper
	minIdle   time.Duration // how long a connection was idle at least that the ERP may have closed for that
}

// defaultMinIdle is below the shortest time after which servers close idle connections by default (gunicorn: 2 s, Apache and Node: 5 s).
// A connection that breaks sooner most likely breaks because of the call.
const defaultMinIdle = 2 * time.Second

// The values of net/http's default transport.
const (
	dialTimeout = 30 * time.Second
	keepAlive   = 30 * time.Second
)

// New returns a client. It does not follow redirects: a 3xx is an answer.
func New(cfg Config) *Client {
	if cfg.Secrets == nil {
		cfg.Secrets = func() config.ERPSecrets { return config.ERPSecrets{} }
	}
	c := &Client{cfg: cfg, transport: newTransport(cfg), minIdle: defaultMinIdle}
	if cfg.OAuth.TokenURL != "" {
		c.tokens = newTokens(cfg.OAuth, func() config.Secret { return cfg.Secrets().OAuthSecret }, c.transport)
	}
	return c
}

func newTransport(cfg Config) *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented type
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = cfg.InFlight, cfg.InFlight
	transport.IdleConnTimeout = 30 * time.Second
	transport.MaxResponseHeaderBytes = maxHeaderBytes
	transport.WriteBufferSize = writeBuffer
	transport.Proxy = nil
	if cfg.UseProxy {
		transport.Proxy = http.ProxyFromEnvironment
	}
	if cfg.TLS != nil {
		transport.TLSClientConfig = cfg.TLS
	}
	control := func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		return cfg.Settings.Current().Egress.Control(ctx, network, address, conn)
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, ControlContext: control}
	transport.DialContext = dialer.DialContext
	return transport
}

// Warnings returns what is missing for an ERP that authenticates its callers.
func (c *Client) Warnings() []string {
	var out []string
	secrets := c.cfg.Secrets()
	if secrets.APIKey == "" && c.tokens == nil && c.cfg.BasicUser == "" {
		out = append(out, "ERP_API_KEY is not set: calls go out without X-API-KEY")
	}
	if len(secrets.HMAC) == 0 {
		out = append(out, "ERP_HMAC_SECRET is not set: calls go out unsigned, and no webhook can be verified")
	}
	return out
}

// Request is one attempt.
type Request struct {
	Payload        []byte
	IdempotencyKey string // empty: about no order, without a signature
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
	timeout, cancel := context.WithTimeout(ctx, s.ErpTimeout)
	defer cancel()
	made, reply, err := c.exchange(timeout, s, method, path, r)
	again := new(repeats)
	for again.allow(c, made, reply, err, s) {
		made, reply, err = c.exchange(timeout, s, method, path, r)
	}
	if err == nil {
		reply.SentBefore = again.connection
		return reply
	}
	reply = c.unanswered(ctx, timeout, made, err)
	reply.NotSent = !made.connected.Load()
	return reply
}

// unanswered says why there is no answer.
func (c *Client) unanswered(ctx, timeout context.Context, call *call, err error) Reply {
	var refused *egress.RefusedError
	var unprepared *unpreparedError
	switch {
	case ctx.Err() != nil:
		return Reply{Cancelled: true, Answer: domain.Answer{Failure: domain.ErrorNetwork, Cause: "the call was cut off by a hand-over"}}
	case errors.As(err, &unprepared):
		return notSent(unprepared.Error())
	case errors.As(err, &refused):
		return call.refused(refused)
	case timeout.Err() != nil:
		return call.late()
	default:
		return call.failed(err)
	}
}

// unpreparedError is why a request could not be made.
type unpreparedError struct{ why string }

func (e *unpreparedError) Error() string { return e.why }

// exchange sends one request and reads its answer, which counts only once its body was read as far as needed: a connection that breaks
// in the middle is a failure.
func (c *Client) exchange(ctx context.Context, s setting.Settings, method, path string, r Request) (*call, Reply, error) {
	target := erpURL(s, path)
	made := &call{timeout: s.ErpTimeout, minIdle: c.minIdle, target: redact(target), body: newOrderBody(r.Payload), members: s.RetryPolicy().Members()}
	if c.tokens != nil {
		token, err := c.tokens.get(ctx)
		if err != nil {
			return made, Reply{}, &unpreparedError{err.Error()}
		}
		made.token = token
	}
	req, err := c.request(made.traced(ctx), method, target, r, made)
	if err != nil {
		return made, Reply{}, &unpreparedError{fmt.Sprintf("ERP_BASE_URL cannot be called: %s", withoutURL(err))}
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return made, Reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	reply, err := made.read(resp)
	return made, reply, err
}

func erpURL(s setting.Settings, path string) string {
	return strings.TrimRight(s.ErpBaseURL, "/") + path
}

// Target returns the URL that Send calls with these settings, without user, password and query: for the log.
func Target(s setting.Settings) string { return redact(erpURL(s, domain.SyncPath)) }

// request builds the call. User and password of the URL go into a header, as net/http would do: an http.Client does it, a transport not.
func (c *Client) request(ctx context.Context, method, target string, r Request, made *call) (*http.Request, error) {
	// The type of the reader is hidden, so that GetBody stays nil. Otherwise, with an idempotency header, net/http
	// would send the request again, as often as it finds a kept connection broken. See repeats for what is repeated.
	made.body.isWhole = goesWhole(target, r, c.cfg.Settings.Current())
	req, err := http.NewRequestWithContext(ctx, method, target, io.NopCloser(made.body.reader()))
	if err != nil {
		return nil, err
	}
	if req.ContentLength = int64(len(r.Payload)); len(r.Payload) == 0 {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	h := req.Header
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "erpconnector")
	secrets := c.cfg.Secrets()
	c.logIn(req, made.token, secrets)
	if r.IdempotencyKey != "" {
		h.Set("X-Idempotency-Key", r.IdempotencyKey)
		sign(h, r, secrets.HMAC)
	}
	return req, nil
}

// maxWhole is the largest order that goes out in one write with the head. The buffer of a connection has room for both.
const (
	maxWhole    = 8 << 10
	writeBuffer = 2 * maxWhole
)

// goesWhole reports whether it does not matter how many bytes of the order were sent, where something goes wrong. It matters over HTTP/2,
// where a stream may wait in the middle of a small order too, and where an order in doubt is looked up: there a call is repeated only if
// a part of the order was not sent.
func goesWhole(target string, r Request, s setting.Settings) bool {
	return len(r.Payload) <= maxWhole && s.ErpLookup == "" && strings.HasPrefix(target, "http://")
}

// logIn adds what the ERP knows its caller by.
func (c *Client) logIn(req *http.Request, token *oauth2.Token, secrets config.ERPSecrets) {
	if secrets.APIKey != "" {
		req.Header.Set("X-Api-Key", secrets.APIKey.Reveal())
	}
	switch u := req.URL.User; {
	case token != nil:
		token.SetAuthHeader(req)
	case c.cfg.BasicUser != "":
		req.SetBasicAuth(c.cfg.BasicUser, secrets.BasicPassword.Reveal())
	case u != nil:
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
}

// sign signs the payload with all secrets. The module's header has room for one: the newest.
func sign(h http.Header, r Request, hmac []config.Secret) {
	if len(hmac) == 0 {
		return
	}
	secrets := make([]string, len(hmac))
	for i, s := range hmac {
		secrets[i] = s.Reveal()
	}
	h.Set(signature.HeaderModule, signature.Module(secrets[0], r.Payload))
	h.Set(signature.HeaderID, r.MessageID)
	h.Set(signature.HeaderTimestamp, fmt.Sprint(r.At.Unix()))
	h.Set(signature.HeaderSignature, signature.Standard(secrets, r.MessageID, r.At, r.Payload))
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
