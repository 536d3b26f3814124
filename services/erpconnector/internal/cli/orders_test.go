package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// served runs ingest and api: orders are accepted and shown, and none is sent.
func served(t *testing.T) (env variables, database testkit.Database) {
	t.Helper()
	database = testkit.Postgres(t)
	cfg := config.Config{DatabaseURL: database.URL, KafkaBrokers: []string{"localhost:1"}, Settings: setting.Defaults()}
	cfg.HTTP = config.HTTP{Addr: testkit.FreeAddr(t), Token: "secret"}
	cfg.LogLevel = "error"
	ctx, stop := context.WithCancel(t.Context())
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- app.Run(ctx, cfg, []string{"api", "ingest"}, func() { close(started) }) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	select {
	case <-started:
	case err := <-ended:
		require.NoError(t, err)
		require.Fail(t, "it ended by itself")
	}
	return variables{"ERPCONNECTOR_URL": cfg.HTTP.Addr, "API_TOKEN": "secret", "ERPCONNECTOR_CONFIG": filepath.Join(t.TempDir(), "contexts.json")}, database
}

const someInvoice = `{"event_id": "e-1", "type": "invoice.created", "invoice": {"increment_id": "000000045"}, "order": {"order_increment_id": "000000123", "currency": "EUR",
	"items": [{"sku": "A", "name": "A", "qty": 1, "price": 1, "row_total": 1}],
	"totals": {"subtotal": 1, "tax": 0, "shipping": 0, "discount": 0, "grand_total": 1}}}`

func publish(t *testing.T, env variables, event string) {
	t.Helper()
	c, err := client.New("http://"+env["ERPCONNECTOR_URL"], "secret")
	require.NoError(t, err)
	_, err = c.Publish(t.Context(), json.RawMessage(event))
	require.NoError(t, err)
}

// putSyncs puts so many rows as the projector does; the last one has an error.
func putSyncs(t *testing.T, database testkit.Database, n int) {
	t.Helper()
	_, err := database.Pool.Exec(t.Context(), `
		INSERT INTO vendor_erp_sync (sync_id, source, order_increment_id, idempotency_key, status, attempts, max_attempts,
			generation, attempt_version, attempt_version_at, version, version_at, created_at, updated_at)
		SELECT 100 + i, 'outlet', 'O' || i, 'k', 'queued', 0, 5, 1, 1, '2024-01-15', 1, '2024-01-15', '2024-01-15', '2024-01-15' FROM generate_series(1, $1) AS i`, n)
	require.NoError(t, err)
	_, err = database.Pool.Exec(t.Context(), `UPDATE vendor_erp_sync SET status = 'failed', attempts = 2, last_error = $2 WHERE sync_id = 100 + $1`, n, "=no\x1b[2J sku")
	require.NoError(t, err)
}

func TestListPrintsEachForm(t *testing.T) {
	t.Parallel()
	env, database := served(t)
	putSyncs(t, database, 3)
	require.Equal(t, "SYNC ID  SOURCE  ORDER INCREMENT ID  STATUS  ATTEMPTS  MAX ATTEMPTS  NEXT ATTEMPT AT  ERP REFERENCE  UPDATED AT           LAST ERROR\n"+
		"103      outlet  O3                  failed  2         5                                             2024-01-15 00:00:00  =no\\x1b[2J sku\n",
		does(t, env, "list", "--status", "failed"))
	require.Equal(t, "sync_id,source,order_increment_id,status,attempts,max_attempts,next_attempt_at,erp_reference,updated_at,last_error\n"+
		"103,outlet,O3,failed,2,5,,,2024-01-15 00:00:00,'=no\x1b[2J sku\n",
		does(t, env, "list", "--status", "failed", "-o", "csv"))
	var all []map[string]any
	require.NoError(t, json.Unmarshal([]byte(does(t, env, "list", "-o", "json")), &all))
	require.Len(t, all, 3)
	require.Contains(t, all[0], "erp_reference", "as the API answers it, null and all")
	require.Equal(t, "[]\n", does(t, env, "list", "--order", "none", "-o", "json"))
	require.Empty(t, does(t, env, "list", "--order", "none", "-o", "ndjson"))
}

func TestListTurnsPages(t *testing.T) {
	t.Parallel()
	env, database := served(t)
	putSyncs(t, database, listedPage+20)
	p := invoke(t, env, "list", "-o", "ndjson", "--limit", "1000", "--source", "outlet")
	require.NoError(t, p.err)
	require.Empty(t, p.stderr)
	seen := map[string]bool{}
	for line := range strings.Lines(p.out) {
		var row struct {
			Order string `json:"order_increment_id"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		seen[row.Order] = true
	}
	require.Len(t, seen, listedPage+20)
	p = invoke(t, env, "list", "-o", "ndjson", "--limit", "510")
	require.NoError(t, p.err)
	require.Equal(t, 510, strings.Count(p.out, "\n"))
	next, ok := strings.CutPrefix(strings.TrimSpace(p.stderr), "there may be more: erpconnector ")
	require.True(t, ok, p.stderr)
	require.Equal(t, 10, strings.Count(does(t, env, strings.Fields(next)...), "\n"), "the rest")
}

func TestFailuresPrintsKindsOfErrors(t *testing.T) {
	t.Parallel()
	env, database := served(t)
	_, err := database.Pool.Exec(t.Context(), `
		INSERT INTO vendor_erp_sync_error_group VALUES
			(7, 422, 'erp_rejected', 'no such sku #', '2024-01-15', '2024-01-16', 'ORD-17', 'items[#].sku'), (8, 503, 'erp_unavailable', 'busy', '2024-01-15', '2024-01-16', '', '');
		INSERT INTO vendor_erp_sync_count VALUES ('default', 'failed', 7, 12), ('default', 'queued', 8, 2);
		UPDATE vendor_erp_sync_counted SET offsets = 0`)
	require.NoError(t, err)
	require.Equal(t, "ERROR GROUP  SYNCS  HTTP STATUS  ERROR CODE       ERP CODE  FIELD         FIRST SEEN           LAST SEEN            ERROR\n"+
		"7            12     422          erp_rejected     ORD-17    items[#].sku  2024-01-15 00:00:00  2024-01-16 00:00:00  no such sku #\n"+
		"8            2      503          erp_unavailable                          2024-01-15 00:00:00  2024-01-16 00:00:00  busy\n", does(t, env, "failures"))
	require.Contains(t, does(t, env, "failures", "-o", "ndjson", "--status", "failed"), `"erp_code":"ORD-17"`)
	require.Contains(t, does(t, env, "failures", "-o", "ndjson", "--status", "queued"), `"erp_code":null`)
	require.Equal(t, "error_group,syncs,http_status,error_code,erp_code,field,first_seen,last_seen,error\n7,12,422,erp_rejected,ORD-17,items[#].sku,2024-01-15 00:00:00,2024-01-16 00:00:00,no such sku #\n",
		does(t, env, "failures", "-o", "csv", "--status", "failed"))
}

func TestCommandsAboutAnOrder(t *testing.T) {
	t.Parallel()
	env, _ := served(t)
	p := invoke(t, env, "status", "000000123")
	require.ErrorContains(t, p.err, "nobody has published the order")
	require.Equal(t, 1, p.code())
	publish(t, env, someInvoice)
	require.Regexp(t, `^order 000000123 of default: is on its way, 0 of 5 attempts made\n  changed: 20.* UTC\n$`, does(t, env, "status", "000000123"))
	require.Contains(t, does(t, env, "status", "000000123", "-o", "json"), `"status":"queued"`)
	require.Regexp(t, `^Order sync is under way: order 000000123 of default is queued after 0 attempts\n$`, does(t, env, "sync", "000000123", "--wait", "0s"))
	require.ErrorContains(t, invoke(t, env, "cancel", "000000123", "--reason", "a test", "--wait", "0s").err, "is on its way to the ERP: wait for its end, or settle it")
	require.Contains(t, does(t, env, "settle", "000000123", "--reason", "by hand", "--reference", "INV-7", "--wait", "0s", "-o", "json"), `"order_increment_id":"000000123"`)
	require.ErrorContains(t, invoke(t, env, "sync", "000000124").err, "order 000000124 of the shop default is not known")
}

func TestWhatAnOrderDoesIsASentence(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]client.SyncStatus{
		"in the ERP, after 1 of 5 attempts":                      {Status: client.Status(domain.Success), Attempts: 1, MaxAttempts: 5},
		"failed, after 5 of 5 attempts":                          {Status: client.Status(domain.Failed), Attempts: 5, MaxAttempts: 5},
		"is being sent, 0 of 5 attempts made":                    {Status: client.Status(domain.InProgress), MaxAttempts: 5},
		"waits for attempt 3 of 5 at 2024-01-15 10:31:02 UTC":    {Status: client.Status(domain.Queued), Attempts: 2, MaxAttempts: 5, NextAttemptAt: new("2024-01-15 10:31:02")},
		"is on its way, 0 of 5 attempts made":                    {Status: client.Status(domain.Queued), MaxAttempts: 5},
		"is held until the connector or its cron lets it go out": {Status: client.Status(domain.Pending)},
	} {
		require.Equal(t, want, stands(s))
	}
	now, ended, failed := watched(&client.SyncStatusResponse{JSON200: &client.SyncStatus{Status: client.Status(domain.Failed), LastError: new("no\x1b")}})
	require.Equal(t, `failed, after 0 of 0 attempts (error: no\x1b)`, now)
	require.True(t, ended)
	require.True(t, failed)
	now, ended, _ = watched(&client.SyncStatusResponse{JSON404: &client.NoSync{Detail: "not known"}})
	require.Equal(t, "not known", now)
	require.False(t, ended)
}

func TestWatchEndsWithTheOrder(t *testing.T) {
	t.Parallel()
	env, _ := served(t)
	publish(t, env, someInvoice)
	require.NotEmpty(t, does(t, env, "settle", "000000123", "--reason", "by hand", "--wait", "0s"))
	require.Regexp(t, `^\d\d:\d\d:\d\d  in the ERP, `, does(t, env, "watch", "000000123"))
}

func TestAConnectorThatDoesNotTakeUs(t *testing.T) {
	t.Parallel()
	env, _ := served(t)
	at := "http://" + env["ERPCONNECTOR_URL"]
	env["API_TOKEN"] = "another"
	require.EqualError(t, invoke(t, env, "list").err, at+" refuses the token (API_TOKEN): set API_TOKEN, or `erpconnector context set` with another one")
	env["API_TOKEN"] = "secret"
	require.EqualError(t, invoke(t, env, "list", "--status", "shut").err,
		`--status has "shut"; give one or more of pending, queued, in_progress, success, failed, with commas between them`)
	require.EqualError(t, invoke(t, env, "list", "--url", "127.0.0.1:1").err, "nothing listens at http://127.0.0.1:1: start it, or name another one with --url or --context")
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for _, args := range []string{
		"list", "status 1", "watch 1", "resync 1", "tail", "bulk results 1", "quarantine show 1", "quarantine show 1 --payload", "deadletter show 1 --value",
	} {
		p := invoke(t, env, append(strings.Fields(args), "--url", other.URL)...)
		require.ErrorContains(t, p.err, "what answers at "+other.URL+" is no connector, or an older one (HTTP 404 Not Found)", args)
		require.Empty(t, p.out, args)
	}
	require.ErrorContains(t, invoke(t, env, "list", "--url", "nobody.invalid").err, `the name "nobody.invalid" of http://nobody.invalid is not known`)
	require.EqualError(t, invoke(t, env, "list", "--url", "a", "--context", "b").err, "--url and --context name two connectors: leave one of them out")
}

func TestContexts(t *testing.T) {
	t.Parallel()
	env, _ := served(t)
	at := env["ERPCONNECTOR_URL"]
	delete(env, "ERPCONNECTOR_URL")
	delete(env, "API_TOKEN")
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("secret\n"), 0o600))
	require.ErrorContains(t, invoke(t, env, "context", "use", "prod").err, `there is no context "prod"`)
	require.ErrorContains(t, invoke(t, env, "context", "set", "prod", "--url", at).err, "--token-file is required")
	require.ErrorContains(t, invoke(t, env, "context", "set", "prod", "--url", at, "--token-file", token+".none").err, "--token-file: ")
	require.ErrorContains(t, invoke(t, env, "context", "set", "prod", "--token-file", token).err, "--url is required")
	require.Contains(t, does(t, env, "context", "set", "prod", "--url", at, "--token-file", token), "*  prod  http://"+at)
	require.Equal(t, "[]\n", does(t, env, "list", "-o", "json"), "the first one is in use at once")
	does(t, env, "context", "set", "test", "--url", "127.0.0.1:1", "--token-file", token)
	require.Equal(t, "[]\n", does(t, env, "list", "-o", "json"))
	require.ErrorContains(t, invoke(t, env, "list", "--context", "test").err, "127.0.0.1:1")
	require.ErrorContains(t, invoke(t, env, "list", "--context", "tset").err, "did you mean test?")
	does(t, env, "context", "use", "test")
	require.ErrorContains(t, invoke(t, env, "list").err, "127.0.0.1:1")
	require.NotContains(t, does(t, env, "context", "remove", "test"), "*")
	require.Contains(t, does(t, env, "context", "list"), "prod")
	info, err := os.Stat(env["ERPCONNECTOR_CONFIG"])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, os.WriteFile(env["ERPCONNECTOR_CONFIG"], []byte("{"), 0o600))
	require.ErrorContains(t, invoke(t, env, "list").err, "mend it, or delete it")
}
