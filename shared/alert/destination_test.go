package alert

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
)

func webhook(address string) Destination {
	return Destination{Name: "on-call", Kind: KindWebhook, Address: address, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Enabled: true}
}

func TestDestinationsThatCannotBe(t *testing.T) {
	t.Parallel()
	with := func(change func(d *Destination)) Destination {
		d := webhook("https://ops.example.com/alerts")
		change(&d)
		return d
	}
	key := func(n int) config.Secret {
		return config.Secret("whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)))
	}
	const noURL, noMailbox = "/address must be a URL like", "/address must be one bare e-mail address"
	for name, c := range map[string]struct {
		d     Destination
		rules Rules
		want  string // empty: it is taken
	}{
		"https":                   {d: webhook("https://ops.example.com/alerts?token=x")},
		"http_here":               {d: webhook("http://127.0.0.1:8080/")},
		"http_here_by_name":       {d: webhook("http://localhost/")},
		"http_here_in_ipv6":       {d: webhook("http://[::1]:8080/")},
		"http_elsewhere":          {d: webhook("http://ops.example.com/"), want: "/address must be https; the setting alert_allow_http allows http"},
		"http_in_a_network":       {d: webhook("http://10.0.0.1/"), want: "/address must be https"},
		"http_allowed":            {d: webhook("http://ops.example.com/"), rules: Rules{AllowHTTP: true}},
		"metadata":                {d: webhook("https://169.254.169.254/latest"), want: "/address cannot be called: 169.254.169.254 is the metadata service"},
		"metadata_in_disguise":    {d: webhook("https://[::ffff:169.254.169.254]/"), rules: Rules{AllowHTTP: true}, want: "the metadata service of a cloud"},
		"private_where_refused":   {d: webhook("https://10.0.0.1/"), rules: Rules{Egress: egress.Policy{RefusePrivate: true}}, want: "/address cannot be called: 10.0.0.1"},
		"user_and_password":       {d: webhook("https://me:hunter2@ops.example.com/"), want: "/address must not hold a user or a password"},
		"another_scheme":          {d: webhook("file:///etc/passwd"), want: noURL},
		"no_url":                  {d: webhook("hunter2"), want: noURL},
		"a_fragment":              {d: webhook("https://ops.example.com/#x"), want: noURL},
		"a_line_end":              {d: webhook("https://ops.example.com/\r\nX: y"), want: noURL},
		"too_long":                {d: webhook("https://ops.example.com/" + strings.Repeat("x", 2000)), want: noURL},
		"no_name":                 {d: with(func(d *Destination) { d.Name = " " }), want: "/name is required"},
		"a_long_name":             {d: with(func(d *Destination) { d.Name = strings.Repeat("x", 200) }), want: "/name has 200 bytes"},
		"no_kind":                 {d: with(func(d *Destination) { d.Kind = "fax" }), want: `/kind is "fax"; it must be webhook, slack or email`},
		"no_secret":               {d: with(func(d *Destination) { d.Secret = "" }), want: "/secret must be whsec_"},
		"a_short_key":             {d: with(func(d *Destination) { d.Secret = key(23) }), want: "/secret must be whsec_"},
		"a_long_key":              {d: with(func(d *Destination) { d.Secret = key(65) }), want: "/secret must be whsec_"},
		"a_key_without_prefix":    {d: with(func(d *Destination) { d.Secret = key(32)[6:] }), want: "/secret must be whsec_"},
		"the_longest_key":         {d: with(func(d *Destination) { d.Secret = key(64) })},
		"a_secret_of_its_own":     {d: with(func(d *Destination) { d.Secret = NewSecret() })},
		"an_alert_misspelt":       {d: with(func(d *Destination) { d.Alerts = []domain.AlertKind{"breaker", "breaks"} }), want: `/alerts/1 is "breaks", which is no alert`},
		"slack":                   {d: Destination{Name: "x", Kind: KindSlack, Address: "https://hooks.slack.com/services/T/B/hunter2"}},
		"slack_signs_nothing":     {d: Destination{Name: "x", Kind: KindSlack, Address: "https://hooks.slack.com/", Secret: "x"}, want: "/secret is for a webhook"},
		"email":                   {d: Destination{Name: "x", Kind: KindEmail, Address: "ops@example.com"}},
		"email_with_a_name":       {d: Destination{Name: "x", Kind: KindEmail, Address: "Ops <ops@example.com>"}, want: noMailbox},
		"two_emails":              {d: Destination{Name: "x", Kind: KindEmail, Address: "a@example.com,b@example.com"}, want: noMailbox},
		"an_email_with_a_command": {d: Destination{Name: "x", Kind: KindEmail, Address: "a@example.com>\r\nRCPT TO:<b@example.com"}, want: noMailbox},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := fmt.Sprint(c.d.Check(c.rules))
			require.NotContains(t, wrong, "hunter2")
			if c.want == "" {
				require.Equal(t, "[]", wrong)
			} else {
				require.Contains(t, wrong, c.want)
			}
		})
	}
}

func TestAnAddressIsShownWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://ops.example.com/alerts":               "https://ops.example.com/alerts",
		"https://ops.example.com/alerts?token=hunter2": "https://ops.example.com/alerts?****",
	} {
		require.Equal(t, want, webhook(address).ShownAddress())
	}
	require.Equal(t, "https://hooks.slack.com/****", Destination{Kind: KindSlack, Address: "https://hooks.slack.com/services/T/B/hunter2"}.ShownAddress())
	require.Equal(t, "ops@example.com", Destination{Kind: KindEmail, Address: "ops@example.com"}.ShownAddress())
	require.NotContains(t, fmt.Sprintf("%+v", webhook("https://x")), "MfKQ9r8G", "a secret is printed by nobody")
}

func TestWhatADestinationWants(t *testing.T) {
	t.Parallel()
	d := webhook("https://x")
	require.True(t, d.Wants(domain.AlertBreaker))
	d.Alerts = []domain.AlertKind{domain.AlertBacklog}
	require.False(t, d.Wants(domain.AlertBreaker))
	d.Alerts, d.Enabled = nil, false
	require.False(t, d.Wants(domain.AlertBreaker))
}
