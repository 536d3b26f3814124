package e2e

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx/fxtest"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func init() { _ = flag.Set("rapid.checks", "30") } // each writes to Postgres; the command line wins

// runDemo runs the command as a user would and returns what it printed.
func runDemo(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := cli.Root()
	cmd.SetArgs(append([]string{"demo"}, args...))
	cmd.SetOut(&out)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	err := cmd.ExecuteContext(ctx)
	t.Log(out.String())
	return out.String(), err
}

// startForDemo is the product on an embedded broker, and the options of a run that meets all troubles.
func startForDemo(t *testing.T) (*product, demo.Options) {
	t.Helper()
	broker, err := devkafka.Start(t.TempDir(), 0)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	cfg := configured(t, kafka.Config{Brokers: broker.Addrs(), Prefix: "t."})
	cfg.LogLevel = "error"
	cfg.Settings.Breaker = false // every order is in trouble, which would be an outage
	p := start(t, cfg)
	return p, demo.Options{
		URL: p.base, Token: cfg.HTTP.Token, TokenShell: "$API_TOKEN", Self: "erpconnector",
		Seed: 11, Orders: 40, Rate: 200, Misbehave: 1, Wait: testkit.Patience, Out: t.Output(),
	}
}

// With every order in trouble, all but the rejected ones end in the ERP, once; and the same seed starts nothing anew.
func TestDemoAgainstTheProduct(t *testing.T) {
	p, options := startForDemo(t)
	first, err := demo.Run(t.Context(), options)
	require.NoError(t, err)
	require.Equal(t, 40, first.Orders)
	require.Equal(t, first.Published, first.Accepted+first.Again+first.Refused)
	for what, n := range map[string]int{
		"twice on purpose": first.Again, "refused on purpose": first.Refused, "success": first.Success, "retried": first.Retried, "failed": first.Failed,
	} {
		require.Positive(t, n, what)
	}
	require.Zero(t, first.RefusedUnasked+first.Known+first.Waiting+first.Held+first.UnderWay+first.TakenBack)
	require.Equal(t, first.Success+first.Failed, first.Armed)
	require.Equal(t, first.Success, first.ERP.Bookings)
	// A Retry-After holds all calls, and connections are idle meanwhile. A call that breaks on such a one is repeated under its attempt.
	require.GreaterOrEqual(t, first.ERP.Calls, first.Attempts)
	require.Less(t, first.ERP.Calls-first.Attempts, first.Armed/4)
	require.Zero(t, first.ERP.Doubles+first.ERP.Refused)
	require.Greater(t, first.Slowest, first.Median)

	var out bytes.Buffer
	options.Out = io.MultiWriter(&out, t.Output())
	again, err := demo.Run(t.Context(), options)
	require.NoError(t, err)
	require.Zero(t, again.Accepted+again.Differ+again.Armed+again.ERP.Calls)
	require.Equal(t, first.Accepted, again.Known)
	require.Equal(t, first.Tally, again.Tally, "where the orders stand is shown all the same")
	require.Contains(t, out.String(), "was already accepted before: seed 11 has been here")

	_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
	require.InDelta(t, first.Success, stats["bookings"], 0)
	require.InDelta(t, 0, stats["doubles"], 0)
	t.Run("the_command_finds_the_running_product", func(t *testing.T) {
		t.Setenv("HTTP_ADDR", p.cfg.HTTP.Addr)
		t.Setenv("DATA_DIR", t.TempDir())
		require.NoError(t, os.WriteFile(filepath.Join(os.Getenv("DATA_DIR"), cli.TokenFile), []byte("token"), 0o600))
		out, err := runDemo(t, "--orders", "2", "--rate", "100", "--seed", "12", "--misbehave", "0")
		require.NoError(t, err)
		require.Contains(t, out, "0 doubles")
		require.Contains(t, out, "curl -sS '"+p.base+httpapi.BasePath+"/sync-status/")
		require.Contains(t, out, os.Getenv("DATA_DIR")+"/api-token")
	})
	t.Run("a_wrong_token", func(t *testing.T) {
		t.Setenv("API_TOKEN", "wrong")
		_, err := runDemo(t, "--url", p.cfg.HTTP.Addr)
		require.ErrorContains(t, err, "does not take the token from API_TOKEN (401 Unauthorized): set API_TOKEN to the one that")
	})
	t.Run("no_token", func(t *testing.T) {
		t.Setenv("DATA_DIR", t.TempDir())
		_, err := runDemo(t, "--url", p.base)
		require.ErrorContains(t, err, "there is no token: API_TOKEN is not set, and there is no "+os.Getenv("DATA_DIR"))
	})
}

// The first retry is due in an hour: the run does not wait for it, and takes back what the ERP would do then.
func TestDemoDoesNotWaitForLateRetries(t *testing.T) {
	broker, err := devkafka.Start(t.TempDir(), 0)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	cfg := configured(t, kafka.Config{Brokers: broker.Addrs(), Prefix: "t."})
	cfg.Settings.BaseDelay, cfg.LogLevel = 30*time.Minute, "error"
	p := start(t, cfg)
	var out bytes.Buffer
	report, err := demo.Run(t.Context(), demo.Options{
		URL: p.base, Token: cfg.HTTP.Token, Seed: 11, Orders: 10, Rate: 200, Misbehave: 1, Wait: testkit.Patience, Out: io.MultiWriter(&out, t.Output()),
	})
	require.NoError(t, err)
	require.Positive(t, report.Waiting)
	require.Zero(t, report.UnderWay)
	require.Contains(t, out.String(), "RETRY_BASE_DELAY=1s")
	_, left := p.do(http.MethodDelete, "/mockerp/faults", nil)
	require.InDelta(t, 0, left["faults"], 0)
}

func TestDemoSaysThatNothingListens(t *testing.T) {
	addr := testkit.FreeAddr(t)
	t.Setenv("API_TOKEN", "token")
	_, err := runDemo(t, "--url", addr)
	require.ErrorContains(t, err, "nothing listens at http://"+addr+": start `")
}

func TestDemoRefusesWhatItCannotDo(t *testing.T) {
	for flag, want := range map[string]string{
		"--rate=0": "--rate is 0; it must be from 0.01 to 1000", "--orders=100000": "--orders is 100000; it must be from 0 to 99999",
		"--misbehave=2": "--misbehave is 2; it must be from 0 to 1", "--duration=0": "give --orders or --duration", "--wait=2h": "--wait is 2h0m0s",
	} {
		_, err := runDemo(t, flag)
		require.ErrorContains(t, err, want)
	}
}

func TestDemoPrintsItsEvents(t *testing.T) {
	out, err := runDemo(t, "--print", "--seed", "1", "--orders", "5")
	require.NoError(t, err)
	require.Contains(t, out, `{"event_id":"demo-1-1-placed","type":"order.placed","source":"`+domain.DefaultSource+`"`)
	same, err := runDemo(t, "--print", "--seed", "1", "--orders", "5")
	require.NoError(t, err)
	require.Equal(t, out, same)
}

// The connector is the judge: it takes every event, refuses every mistake for one reason, and knows every repetition.
// Totals that do not add up are refused.
func TestTheConnectorTakesEveryDemoEvent(t *testing.T) {
	t.Parallel()
	cfg := config.Config{
		DatabaseURL: testkit.Postgres(t).URL, KafkaBrokers: []string{"127.0.0.1:1"}, HTTP: config.HTTP{Addr: testkit.FreeAddr(t), Token: "token"}, Settings: setting.Defaults(),
	}
	cfg.Settings.RefuseBadTotals = true
	running := fxtest.New(t, app.Options(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)), "ingest"))
	running.RequireStart()
	t.Cleanup(running.RequireStop)
	p := &product{t: t, cfg: cfg, base: "http://" + cfg.HTTP.Addr}
	seen := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		var lines bytes.Buffer
		require.NoError(t, demo.Print(context.Background(), demo.Options{Seed: rapid.Uint64().Draw(t, "seed"), Orders: 40, Out: &lines}))
		events := strings.Split(strings.TrimSpace(lines.String()), "\n")
		code, answer := p.publish("[" + strings.Join(events, ",") + "]")
		require.Contains(t, []int{http.StatusOK, http.StatusMultiStatus}, code, "with the demo's mistakes some are refused")
		results := answer["results"].([]any) //nolint:forcetypeassert // a test
		require.Len(t, results, len(events))
		for i, r := range results {
			result := r.(map[string]any) //nolint:forcetypeassert // a test
			want := "accepted"
			switch mistake := strings.Contains(events[i], `-mistake"`); {
			case mistake:
				want = "refused"
				require.Len(t, result["errors"], 1, "one mistake at a time is easy to read")
			case seen[events[i]]:
				want = "duplicate"
			}
			seen[events[i]] = true
			require.Equal(t, want, result["result"], "%s: %v", events[i], result)
			require.Nil(t, result["warnings"])
			require.Nil(t, result["differs"])
		}
	})
}
