package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// An operator sees, changes and returns settings from the command line.
func TestSettingsFromTheCommandLine(t *testing.T) {
	t.Parallel()
	url := testkit.Postgres(t).URL
	settings := func(args ...string) string { return must(t)(settingsCLI(t, url, args...)) }
	refuses := func(want string, args ...string) {
		t.Helper()
		_, err := settingsCLI(t, url, args...)
		require.ErrorContains(t, err, want)
	}
	require.Regexp(t, `(?m)^erp_timeout +30s *$`, settings())
	current, err := user.Current()
	require.NoError(t, err)
	who := current.Username
	require.Equal(t, "nobody has changed it\n", settings("history"))

	require.Equal(t, "erp_timeout is 10s\nretryable_codes is 409,423\nin force in every process within a second\n",
		settings("set", "erp_timeout=10", "retryable_codes=423,409", "--reason", "a slow ERP"))
	require.Equal(t, "10s\n", settings("get", "erp_timeout", "--value"))
	require.Regexp(t, `(?m)^erp_timeout +10s +\S+ \S+ by `+who+`; ERP_TIMEOUT says 30s$`, settings())
	require.Contains(t, settings("get", "erp_timeout"), "takes     a duration from 100ms to 10m")
	require.Equal(t, "erp_timeout is 30s (ERP_TIMEOUT)\nin force in every process within a second\n", settings("unset", "erp_timeout"))

	history := settings("history", "erp_timeout")
	require.Regexp(t, `(?m)^2 .* `+who+` +erp_timeout +"10s" +\(environment\) *$`, history)
	require.Regexp(t, `(?m)^1 .* `+who+` +erp_timeout +\(environment\) +"10s" +a slow ERP$`, history)
	require.Contains(t, settings("history", "--limit", "1"), "there is more: erpconnector settings history --limit 1 --after 2.erp_timeout")
	require.NotContains(t, settings("history", "--after", "2.erp_timeout"), "\n2 ")

	before := settings("history")
	for _, problem := range []string{"cron_batch is \"-1\"; it must be a whole number from 0 to 10000", "speed is no setting: there are enabled,", `"debug" is not NAME=VALUE`} {
		refuses(problem, "set", "enabled=false", "cron_batch=-1", "speed=9", "debug")
	}
	refuses("retry_max_delay is 1s; it must be 0 (no cap) or at least the base delay, which is 1m", "set", "retry_max_delay=1s")
	refuses("speed is no setting", "unset", "speed")
	refuses("speed is no setting", "get", "speed")
	refuses("reason contains the control character U+000A; remove it", "set", "debug=true", "--reason", "a\nb")
	refuses("is no cursor", "history", "--after", "x")
	refuses("erp_base_url is \"http://****@erp\"; it must be", "set", "erp_base_url=http://me:secret@erp")
	require.Equal(t, before, settings("history"))
}

func settingsCLI(t *testing.T, url string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := cli.Root()
	cmd.SetArgs(append([]string{"settings"}, args...))
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(withEnvironment(t.Context(), map[string]string{"DATABASE_URL": url}))
	return out.String(), err
}

func must(t *testing.T) func(out string, err error) string {
	t.Helper()
	return func(out string, err error) string {
		t.Helper()
		require.NoError(t, err)
		return out
	}
}

// changeSettingsAt sends a PUT; it returns the ETag of what is in force then.
func changeSettingsAt(t *testing.T, base, tag, body string) (status int, newTag string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, base+httpapi.BasePath+"/settings", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer token")
	req.Header.Set("If-Match", tag)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header.Get("ETag")
}

func (p *product) set(body string) {
	p.t.Helper()
	status, _ := changeSettingsAt(p.t, p.base, "*", body)
	require.Equal(p.t, http.StatusOK, status)
}

// Each change by the API is in force in the running product; nothing is started again.
func TestSettingsInForceWithoutRestart(t *testing.T) {
	t.Parallel()
	cfg := configured(t, testkit.EmbeddedBroker(t))
	cfg.Settings.Breaker = false // the ERP fails as long as the test likes
	p := start(t, cfg)
	erp := mockerp.New(mockerp.Options{APIKey: "key", Secret: "secret"})
	mux := http.NewServeMux()
	mux.Handle("POST /elsewhere/orders/sync", erp)
	elsewhere := httptest.NewServer(mux)
	t.Cleanup(elsewhere.Close)
	orders := 0
	// next publishes order after order until one comes out as wanted, and says how long that took.
	next := func(change string, wanted func(order string, answer map[string]any) bool) {
		t.Helper()
		p.set(change)
		began := time.Now()
		for {
			orders++
			order := fmt.Sprint(orders)
			_, answer := p.publish(invoice("e"+order, order))
			if wanted(order, answer) {
				t.Logf("%s in force after %s", change, time.Since(began))
				return
			}
			require.Less(t, time.Since(began), testkit.Patience, "%s is not in force", change)
		}
	}
	ends := func(order, status string) map[string]any { return p.becomes(order, ended(status)) }

	next(`{"enabled": false}`, func(_ string, answer map[string]any) bool { return answer["status"] == "pending" })
	next(`{"enabled": true}`, func(_ string, answer map[string]any) bool { return answer["status"] == "queued" })

	p.fail(mockerp.Fault{Status: 500, Label: "down"})
	next(`{"retry_max_attempts": 2}`, func(order string, _ map[string]any) bool { return ends(order, "failed")["attempts"] == 2.0 })
	next(`{"retry_base_delay": "1m"}`, func(order string, _ map[string]any) bool {
		s := p.becomes(order, func(s map[string]any) bool { return s["attempts"].(float64) > 0 }) //nolint:forcetypeassert // a test
		return s["status"] == "queued" && parsed(t, s["next_attempt_at"]).Sub(parsed(t, s["last_attempt_at"])) >= 110*time.Second
	})

	p.set(`{"retry_max_attempts": 1}`)
	next(`{"erp_base_url": "`+elsewhere.URL+`/elsewhere/"}`, func(order string, _ map[string]any) bool {
		return p.becomes(order, func(s map[string]any) bool { return s["last_attempt_at"] != nil && s["status"] != "in_progress" })["status"] == "success"
	})
	require.Positive(t, erp.Stats().Bookings)
	erp.Fail(mockerp.Fault{Hang: true})
	next(`{"erp_timeout": 0.25}`, func(order string, _ map[string]any) bool {
		return strings.Contains(fmt.Sprint(ends(order, "failed")["last_error"]), "within 250ms")
	})
	_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
	require.InDelta(t, 0, stats["doubles"], 0)
}

func parsed(t *testing.T, moment any) time.Time {
	t.Helper()
	at, err := time.Parse(domain.ModuleTime, fmt.Sprint(moment))
	require.NoError(t, err)
	return at
}

// loudProcess is a process of the product whose log is read.
type loudProcess struct {
	*process
	base string
	log  testkit.Log
}

// lines are those of the log that satisfy the condition.
func (p *loudProcess) lines(want func(map[string]any) bool) (found []map[string]any) {
	for _, line := range p.log.Lines() {
		fields := map[string]any{}
		if json.Unmarshal([]byte(line), &fields) == nil && want(fields) {
			found = append(found, fields)
		}
	}
	return found
}

func startLoud(t *testing.T, binary string, cfg config.Config) *loudProcess {
	t.Helper()
	addr := testkit.FreeAddr(t)
	p := &loudProcess{base: "http://" + addr}
	cmd := exec.Command(binary, "run") //nolint:gosec // built by this test
	cmd.Env = append(os.Environ(),
		"DATABASE_URL="+cfg.DatabaseURL, "KAFKA_BROKERS="+strings.Join(cfg.KafkaBrokers, ","), "KAFKA_TOPIC_PREFIX="+cfg.TopicPrefix,
		fmt.Sprintf("KAFKA_PARTITIONS=%d", cfg.Partitions), "HTTP_ADDR="+addr, "API_TOKEN=token",
	)
	cmd.Stderr = &p.log
	p.process = launch(t, cmd)
	testkit.Eventually(t, func() bool {
		resp, err := http.Get(p.base + "/readyz")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, "%s is not ready", p.base)
	return p
}

// A change at one process is in force in the other as well, within a second; so is debug mode, without a restart.
func TestSettingsReachEveryProcess(t *testing.T) {
	binary := build(t)
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		processes := []*loudProcess{startLoud(t, binary, cfg), startLoud(t, binary, cfg)}
		changed := time.Now()
		inForce := func(name, value string) {
			t.Helper()
			for i, p := range processes {
				var found []map[string]any
				testkit.Eventually(t, func() bool {
					found = p.lines(func(l map[string]any) bool {
						return l["msg"] == "setting in force" && l["setting"] == name && l["value"] == value
					})
					return len(found) > 0
				}, "%s=%s in process %d:\n%s", name, value, i, &p.log)
				at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(found[0]["time"]))
				require.NoError(t, err)
				t.Logf("%s=%s in force in process %d %s after it was sent", name, value, i, at.Sub(changed))
				require.Less(t, at.Sub(changed), 5*time.Second, "a second is promised")
			}
		}
		change := func(at int, tag, body string) string {
			t.Helper()
			changed = time.Now()
			status, newTag := changeSettingsAt(t, processes[at].base, tag, body)
			require.Equal(t, http.StatusOK, status)
			return newTag
		}
		debugLines := func(p *loudProcess) int {
			return len(p.lines(func(l map[string]any) bool { return l["level"] == "DEBUG" && l["msg"] == "settings read" }))
		}

		tag := change(0, `"0"`, `{"erp_timeout": "7s"}`)
		inForce("erp_timeout", "7s")
		status, _ := changeSettingsAt(t, processes[1].base, `"0"`, `{"erp_timeout": "8s"}`)
		require.Equal(t, http.StatusPreconditionFailed, status, "the other process knows the new version")
		for _, p := range processes {
			require.Zero(t, debugLines(p))
		}
		tag = change(1, tag, `{"debug": true}`)
		inForce("debug", "true")
		for _, p := range processes {
			require.Equal(t, 1, debugLines(p), "from the change itself on")
		}
		change(0, tag, `{"debug": null}`)
		inForce("debug", "false")
		changed = time.Now()
		must(t)(settingsCLI(t, cfg.DatabaseURL, "set", "cron_batch=7"))
		inForce("cron_batch", "7")
		for _, p := range processes {
			require.Equal(t, 1, debugLines(p))
		}
	})
}
