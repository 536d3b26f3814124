package alert

import (
	"bytes"
	"context"
	"encoding/json"
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

const (
	// SendTimeout bounds one attempt, from dialling to the last byte of the answer: what Standard Webhooks recommend at least.
	SendTimeout = 15 * time.Second
	maxAnswer   = 500 // bytes that are kept of an answer's body
	maxHeader   = 64 << 10
)

// Answer is what a destination says to one notice. Said holds no part of the destination's address.
type Answer struct {
	Delivered  bool
	HTTPStatus int       // 0: there was no answer, or it is a mail
	Said       string    // the beginning of the answer's body, or why there is none
	AskAt      time.Time // when it wants to be asked again; zero: it does not say
	Gone       bool      // it is gone for good (410)
}

// Sender sends notices. It is safe for concurrent use.
type Sender struct {
	settings  setting.Reader
	transport http.RoundTripper
	mail      mailer
	now       func() time.Time
}

// NewSender makes a Sender. Calls go through the environment's proxy as those to the ERP do (ERP_USE_PROXY), and are kept from the same
// addresses. password gives the one for the mail server.
func NewSender(settings setting.Reader, erp config.ERP, mail config.Mail, password func() config.Secret) *Sender {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented type
	transport.MaxResponseHeaderBytes, transport.DisableKeepAlives, transport.Proxy = maxHeader, true, nil
	if erp.Proxy {
		transport.Proxy = http.ProxyFromEnvironment
	}
	control := func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		return settings.Current().Egress.Control(ctx, network, address, conn)
	}
	transport.DialContext = (&net.Dialer{ControlContext: control}).DialContext
	return &Sender{settings: settings, transport: transport, mail: mailer{server: mail, password: password}, now: time.Now}
}

// Send sends a message once. Whatever the destination does, that takes no longer than SendTimeout.
func (s *Sender) Send(ctx context.Context, d Destination, messageID, body string) Answer {
	ctx, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel()
	if d.Kind == KindEmail {
		if err := s.mail.send(ctx, d.Address, messageID, body, s.now()); err != nil {
			return Answer{Said: said(ctx, err)}
		}
		return Answer{Delivered: true}
	}
	a, err := s.post(ctx, d, messageID, body)
	if err != nil {
		return Answer{Said: said(ctx, err)}
	}
	return a
}

// post sends by HTTP. The transport makes one round trip: an http.Client would follow redirects.
func (s *Sender) post(ctx context.Context, d Destination, messageID, body string) (Answer, error) {
	// The settings may have changed since the address was taken.
	current := s.settings.Current()
	if wrong := checkURL(d.Address, Rules{AllowHTTP: current.AlertAllowHTTP, Egress: current.Egress}); wrong != "" {
		return Answer{}, errors.New("the address " + wrong)
	}
	content, err := contentFor(d.Kind, body)
	if err != nil {
		return Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Address, bytes.NewReader(content))
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ERP-Connector")
	if d.Kind == KindWebhook {
		at := s.now()
		req.Header.Set(signature.HeaderID, messageID)
		req.Header.Set(signature.HeaderTimestamp, fmt.Sprint(at.Unix()))
		req.Header.Set(signature.HeaderSignature, signature.Standard([]string{d.Secret.Reveal()}, messageID, at, content))
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	return s.read(resp), nil
}

// read takes the status as the answer. A body that breaks off changes nothing: the destination has the notice.
func (s *Sender) read(resp *http.Response) Answer {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	a := Answer{
		HTTPStatus: resp.StatusCode, Said: domain.Truncate(domain.Printable(strings.TrimSpace(string(text))), maxAnswer),
		Delivered: resp.StatusCode >= 200 && resp.StatusCode <= 299, Gone: resp.StatusCode == http.StatusGone,
	}
	if asked := domain.ParseRetryAfter(resp.Header.Get("Retry-After"), 0, s.now()); asked.At != nil && !a.Delivered {
		a.AskAt = *asked.At
	}
	return a
}

// said is an error in words that do not hold the address.
func said(ctx context.Context, err error) string {
	var refused *egress.RefusedError
	var called *url.Error
	switch {
	case errors.As(err, &refused):
		return domain.Truncate(refused.Error(), maxAnswer)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", SendTimeout)
	case errors.As(err, &called):
		err = called.Err
	}
	return domain.Truncate(domain.Printable(err.Error()), maxAnswer)
}

// slackText escapes what Slack reads as marks.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// contentFor is the body as the kind wants it. It is the same each time.
func contentFor(kind Kind, body string) ([]byte, error) {
	if kind != KindSlack {
		return []byte(body), nil
	}
	n, err := readNotice(body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"text": slackText.Replace(n.title() + "\n" + n.Data.Text + n.hint())})
}

func readNotice(body string) (n Notice, err error) {
	if err = json.Unmarshal([]byte(body), &n); err != nil {
		return n, fmt.Errorf("reading a notice: %w", err)
	}
	return n, nil
}

// title is the notice in a few words.
func (n Notice) title() string {
	if n.Type == TestType {
		return "ERP Connector: test"
	}
	return fmt.Sprintf("ERP Connector: %s %s (alert %s)", n.Data.Alert, n.Data.Event, n.Data.AlertID)
}

// hint is what to look at next, on a line of its own.
func (n Notice) hint() string {
	if n.Data.Next == "" {
		return ""
	}
	return "\nNext: " + n.Data.Next
}

// TestResult is what came back from a destination that was tried.
type TestResult struct {
	Answer

	MessageID string
}

// Test sends a test to a destination, once.
func (s *Sender) Test(ctx context.Context, d Destination, by string) (TestResult, error) {
	body, err := TestNotice(by, s.now()).Body()
	if err != nil {
		return TestResult{}, err
	}
	id := NewMessageID()
	return TestResult{s.Send(ctx, d, id, body), id}, nil
}
