package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// An operator says where alerts go, tries it, sees what was told, and removes it.
func testAlerts(t *testing.T, database testkit.Database, env variables) {
	status, body := http.StatusOK, ""
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		body = string(raw)
		w.WriteHeader(status)
	}))
	t.Cleanup(receiver.Close)
	require.Equal(t, "alerts are told nowhere: erpconnector alert add\n", does(t, env, "alert", "list"))
	p := invoke(t, env, "alert", "add", "on-call", "--webhook", receiver.URL+"/hook?token=hunter2", "--only", "breaker,backlog")
	require.NoError(t, p.err)
	secret := strings.TrimSpace(p.out)
	require.Regexp(t, `^whsec_\S+$`, secret, "a script takes the output as it is")
	require.Contains(t, p.stderr, `destination 1, "on-call": this is the only time that its secret is shown`)
	require.Equal(t, "destination 2, \"shop-team\"\n", does(t, env, "alert", "add", "shop-team", "--email", "shop@example.com"))
	list := does(t, env, "alert", "list")
	require.Regexp(t, `1 +on-call +webhook +http://127\.0\.0\.1:\d+/hook\?\*\*\*\* +breaker,backlog +on +`, list)
	require.Regexp(t, `2 +shop-team +email +shop@example\.com +all +on +`, list)
	require.NotContains(t, list, secret)
	require.NotContains(t, list, "hunter2")

	require.Regexp(t, `^destination 1 has taken it: msg_\S+ HTTP 200\n$`, does(t, env, "alert", "test", "1"))
	require.Contains(t, body, `"type":"test"`)
	status = http.StatusTeapot
	require.EqualError(t, invoke(t, env, "alert", "test", "1").err, `destination 1: it was not taken: HTTP 418`)
	require.ErrorContains(t, invoke(t, env, "alert", "test", "2").err, "ALERT_SMTP_URL is not set")

	require.Equal(t, "there is no alert\n", does(t, env, "alert", "history"))
	store, now := alert.NewStore(database.Pool), time.Now()
	open, err := store.Open(t.Context())
	require.NoError(t, err)
	_, err = store.Apply(t.Context(), open, alert.Change{Data: alert.Data{Text: "calls are held back\x1b[2J"}, AlertChange: domain.AlertChange{
		Alert: domain.Alert{AlertKey: domain.AlertKey{Kind: domain.AlertBreaker}, OpenedAt: now, ToldAt: now, Told: 1}, Event: domain.AlertOpened, Level: 1, More: 1,
	}}, now)
	require.NoError(t, err)
	require.Regexp(t, `1 +breaker +\S+ \S+ +open +2 pending +calls are held back\\x1b\[2J`, does(t, env, "alert", "history", "--open"))
	require.Equal(t, "destination 1, \"on-call\", is removed\n", does(t, env, "alert", "remove", "on-call"))
	require.Contains(t, does(t, env, "alert", "history"), "1 pending, 1 failed")

	for want, args := range map[string][]string{
		"give one of --webhook, --slack and --email: where":   {"add", "x"},
		"give one of --webhook, --slack and --email":          {"add", "x", "--email", "a@example.com", "--slack", "https://x"},
		"--webhook must be https":                             {"add", "x", "--webhook", "http://ops.example.com"},
		"--email must be one bare e-mail address":             {"add", "x", "--email", "nobody"},
		"the name is required":                                {"add", " ", "--email", "a@example.com"},
		`--only is "fire", which is no alert`:                 {"add", "x", "--email", "a@example.com", "--only", "fire"},
		"a destination of that name is there already":         {"add", "shop-team", "--email", "a@example.com"},
		"destination 9: there is no such destination":         {"remove", "9"},
		"there is none of this name: did you mean shop-team?": {"test", "shop-taem"},
		"--limit is 0; it must be 1 or more":                  {"history", "--limit", "0"},
	} {
		require.ErrorContains(t, invoke(t, env, append([]string{"alert"}, args...)...).err, want)
	}
}

// Slack's address is a secret, so it can be read from the standard input.
func testAnAddressFromTheInput(t *testing.T, _ testkit.Database, env variables) {
	cmd := Root()
	cmd.SetIn(strings.NewReader("https://hooks.slack.com/services/T/B/hunter2\n"))
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"alert", "add", "#orders", "--slack", "-"})
	require.NoError(t, cmd.ExecuteContext(WithEnvironment(t.Context(), env.lookup)))
	require.Equal(t, "destination 1, \"#orders\"\n", out.String())
	require.Contains(t, does(t, env, "alert", "list"), "https://hooks.slack.com/****")
}
