// Package alert keeps what is told to people when something is wrong: alerts, where they are told, and what became of each notice. Rules
// when an alert begins and ends stand in shared/domain; services/alerter looks and sends.
//
//	POST https://ops.example.com/hook
//	webhook-id: msg_4F7KQ2…          the same for every attempt
//	webhook-signature: v1,…          Standard Webhooks 1.0.0
//	{"type": "orders_failed.opened", "timestamp": "2024-01-15T10:30:00Z", "data": {"alert_id": "7", "text": "…", …}}
package alert

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// Kind is how a destination takes notices.
type Kind string

// The kinds of destinations.
const (
	KindWebhook Kind = "webhook" // Standard Webhooks
	KindSlack   Kind = "slack"   // an incoming webhook of Slack, or of what understands its {"text": …}
	KindEmail   Kind = "email"
)

// Kinds are all of them.
var Kinds = []Kind{KindWebhook, KindSlack, KindEmail}

// Destination is where alerts are told.
type Destination struct {
	ID        int64
	Name      string
	Kind      Kind
	Address   string // a URL or an e-mail address; a URL of Slack lets whoever knows it write there
	Secret    config.Secret
	Alerts    []domain.AlertKind // which are told here; none: all
	Enabled   bool
	CreatedAt time.Time
	CreatedBy string
	ChangedAt time.Time
	ChangedBy string
}

// Wants reports whether alerts of the kind are told here.
func (d Destination) Wants(kind domain.AlertKind) bool {
	return d.Enabled && (len(d.Alerts) == 0 || slices.Contains(d.Alerts, kind))
}

// ShownAddress is the address as it may be shown: of a URL without its query, and of Slack's without the path, as these are secrets.
func (d Destination) ShownAddress() string {
	u, err := url.Parse(d.Address)
	switch {
	case d.Kind == KindEmail:
		return d.Address
	case err != nil:
		return "****"
	case d.Kind == KindSlack:
		return u.Scheme + "://" + u.Host + "/****"
	}
	if u.RawQuery != "" {
		u.RawQuery = "****"
	}
	return u.String()
}

// Rules are what a destination's address must obey.
type Rules struct {
	AllowHTTP bool // http also beyond the machine itself
	Egress    egress.Policy
}

const (
	maxAddress  = 2000
	maxMailbox  = 254 // RFC 5321
	minKeyBytes = 24
	maxKeyBytes = 64 // as Standard Webhooks say
)

// Check finds what cannot be taken. The errors name the members of a body.
func (d Destination) Check(rules Rules) (wrong []problem.FieldError) {
	add := func(pointer, code, detail string) {
		if detail != "" {
			wrong = append(wrong, problem.FieldError{Pointer: pointer, Code: code, Detail: detail})
		}
	}
	if strings.TrimSpace(d.Name) == "" {
		add("/name", problem.CodeRequired, "is required: what people call it, like \"on-call\"")
	} else if err := domain.WhoText.Check(d.Name); err != nil {
		add("/name", problem.TextCode(err), err.Error())
	}
	switch {
	case !slices.Contains(Kinds, d.Kind):
		add("/kind", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be webhook, slack or email", d.Kind))
	case d.Kind == KindEmail:
		add("/address", problem.CodeInvalid, checkMailbox(d.Address))
	default:
		add("/address", problem.CodeInvalid, checkURL(d.Address, rules))
	}
	add("/secret", problem.CodeInvalid, d.checkSecret())
	for i, kind := range d.Alerts {
		if !slices.Contains(domain.AlertKinds, kind) {
			add(fmt.Sprintf("/alerts/%d", i), problem.CodeUnknown, fmt.Sprintf("is %.100q, which is no alert: %s", kind, spelling.Hint(string(kind), kindNames())))
		}
	}
	return wrong
}

func kindNames() (names []string) {
	for _, kind := range domain.AlertKinds {
		names = append(names, string(kind))
	}
	return names
}

// checkURL says what is wrong with a URL; it does not repeat it, as it may hold a secret.
func checkURL(text string, rules Rules) string {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") || u.Fragment != "" || len(text) > maxAddress || domain.PlainText(text) != nil {
		return "must be a URL like https://ops.example.com/alerts"
	}
	if u.User != nil {
		return "must not hold a user or a password: the signature shows who sends"
	}
	if u.Scheme == "http" && !rules.AllowHTTP && !isLoopback(u.Hostname()) {
		return "must be https; the setting alert_allow_http allows http"
	}
	if err := rules.Egress.CheckURL(text); err != nil {
		return "cannot be called: " + err.Error()
	}
	return ""
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && addr.IsLoopback())
}

func checkMailbox(text string) string {
	parsed, err := mail.ParseAddress(text)
	if err != nil || parsed.Address != text || len(text) > maxMailbox || domain.PlainText(text) != nil {
		return "must be one bare e-mail address, like ops@example.com"
	}
	return ""
}

var secretForm = regexp.MustCompile(`^whsec_[A-Za-z0-9+/]+=*$`)

// checkSecret says what is wrong with the secret; it does not repeat it.
func (d Destination) checkSecret() string {
	secret := d.Secret.Reveal()
	if d.Kind != KindWebhook {
		if secret != "" {
			return "is for a webhook: nothing else is signed"
		}
		return ""
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || !secretForm.MatchString(secret) || len(key) < minKeyBytes || len(key) > maxKeyBytes {
		return fmt.Sprintf("must be whsec_ and the base64 of %d to %d random bytes; leave it out when you make the destination, and it gets one", minKeyBytes, maxKeyBytes)
	}
	return ""
}

// NewSecret makes the secret of a webhook, of 32 random bytes.
func NewSecret() config.Secret {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	return config.Secret("whsec_" + base64.StdEncoding.EncodeToString(raw))
}
