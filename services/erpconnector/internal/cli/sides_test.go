package cli

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// onStores is the environment of the same installation for who has its stores.
func onStores(database testkit.Database) variables {
	return variables{"DATABASE_URL": database.URL, "LOG_LEVEL": "error", "KAFKA_BROKERS": "127.0.0.1:1"}
}

// A command that lists says the same, byte for byte, whether it asks a connector or works on the stores.
func TestBothSidesSayTheSame(t *testing.T) {
	t.Parallel()
	env, database := served(t)
	stores := onStores(database)
	const kept = `{"event_id": "e-old",   "type": "invoice.paid"}`
	setAside(t, database.Pool, "outlet", "refused", kept)
	addLetter(t, database.Pool, 3, "outlet/7")
	putSyncs(t, database, 2)
	does(t, env, "token", "create", "shop", "--may", "publish", "--source", "outlet")
	does(t, env, "user", "create", "jane", "--may", "view_status")
	does(t, env, "settings", "set", "cron_batch=9", "--reason", "a test")
	does(t, env, "alert", "add", "team", "--email", "a@example.com")
	does(t, env, "erp", "open", "--reason", "a test")
	for _, args := range []string{
		"token list --all", "user list", "alert list", "alert history", "quarantine list", "quarantine show 1", "quarantine show 1 -o json", "quarantine show 1 --payload", "deadletter list", "settings history",
		"settings get cron_batch --value", "erp status", "bulk list", "bulk resync --status failed --dry-run", "quarantine send 1 --dry-run",
		"quarantine discard --all --dry-run", "deadletter discard --order 7 --source outlet --dry-run",
	} {
		want := does(t, env, strings.Fields(args)...)
		require.NotEmpty(t, want, args)
		require.Equal(t, want, does(t, stores, strings.Fields(args)...), args)
		if strings.HasSuffix(strings.Fields(args)[1], "list") {
			for _, output := range []string{"json", "ndjson", "csv"} {
				form := append(strings.Fields(args), "-o", output)
				require.Equal(t, does(t, env, form...), does(t, stores, form...), form)
			}
		}
	}
	require.Equal(t, kept, does(t, env, "quarantine", "show", "1", "--payload"), "with the spaces between its words") //nolint:testifylint // JSON, and byte for byte
	require.True(t, json.Valid([]byte(does(t, env, "settings", "-o", "json"))))
}

// What is changed over HTTP is changed, by the token's name, and what cannot be is told as on the stores.
func TestOperatorsWorkOverHTTP(t *testing.T) {
	t.Parallel()
	env, database := served(t)
	stores := onStores(database)
	require.Contains(t, does(t, env, "settings", "set", "cron_batch=9"), "cron_batch is 9\n")
	require.Regexp(t, `(?m)^cron_batch +9 .* by api; `, does(t, stores, "settings"))
	require.ErrorContains(t, invoke(t, env, "settings", "set", "retry_max_delay=1s").err, "retry_max_delay is 1s; it must be 0 (no cap)")
	secret := strings.TrimSpace(does(t, env, "token", "create", "support", "--may", "view_status"))
	require.Contains(t, does(t, env.with(variables{"API_TOKEN": secret}), "quarantine", "list"), "nothing is in the quarantine")
	require.ErrorContains(t, invoke(t, env.with(variables{"API_TOKEN": secret}), "token", "list").err, `the token "support" does not hold tokens: `+"`erpconnector token create NAME --may …` makes one that does")
	require.Equal(t, "token 1, \"support\", is revoked\n", does(t, env, "token", "revoke", "1"))
	require.ErrorContains(t, invoke(t, env, "token", "revoke", "9").err, "token 9: there is no such token: `erpconnector token list --all` lists them")
	id := itoa(setAside(t, database.Pool, "default", "refused", placedEvent("e1", "100")))
	require.Equal(t, id+"  accepted: order 100 is not_synced\n", does(t, env, "quarantine", "send", id))
	id = itoa(setAside(t, database.Pool, "default", "refused", "{}"))
	require.Equal(t, id+"  discarded\n", does(t, env, "quarantine", "discard", "--all", "--reason", "a test"))
	addLetter(t, database.Pool, 5, "7")
	require.Equal(t, "5  discarded\n", does(t, env, "deadletter", "discard", "5", "--reason", "a test"))
	require.ErrorContains(t, invoke(t, env, "deadletter", "show", "9").err, "there is no such dead letter: `erpconnector deadletter list` lists them")
	require.ErrorContains(t, invoke(t, env.with(variables{"DATABASE_URL": "postgres://u@127.0.0.1:1/x"}), "token", "list", "--url", env["ERPCONNECTOR_URL"], "--context", "x").err, "name two connectors")
	require.Contains(t, does(t, env.with(variables{"DATABASE_URL": "postgres://u@127.0.0.1:1/x"}), "token", "list", "--all", "--url", env["ERPCONNECTOR_URL"]), "support", "a flag wins")
	require.ErrorContains(t, invoke(t, env, "token", "create", "--first", "--url", "x").err, "--first goes with DATABASE_URL")
}

// A bulk job is previewed, started, looked at and read over HTTP, and `resync --filter` is the same in other words.
func TestManyOrdersOverHTTP(t *testing.T) {
	t.Parallel()
	env, database := served(t)
	failedOrders(t, database, 12)
	scheduled(t, database)
	p := invoke(t, env, "resync", "--filter", "status=failed", "--filter", "attempts_from=1", "--dry-run")
	require.NoError(t, p.err)
	require.Contains(t, p.out, "12 orders, 238.80 EUR\n")
	require.Equal(t, "nothing was done: --dry-run\n", p.stderr)
	require.Contains(t, does(t, env, "resync", "7", "--dry-run"), "1 order, 19.90 EUR\n")
	require.Equal(t, "there are no such bulk jobs\n", does(t, env, "bulk", "list"))
	require.Contains(t, does(t, env, "bulk", "settle", "--id", "1,2", "--reason", "booked by hand", "--yes"), "done: 2 of 2 done (2 succeeded, 0 failed, 0 refused)")
	require.Equal(t, "1  1  default  1  succeeded  failed  no such sku A1\n", strings.SplitAfter(does(t, env, "bulk", "results", "1"), "\n")[0])
	require.Contains(t, does(t, env, "bulk", "results", "1", "-o", "csv"), "cursor,sync_id,source,order_increment_id,result,status,code,generation,last_error\n1,1,default,1,succeeded,")
	require.Contains(t, does(t, env, "resync", "--filter", "order=9", "--yes", "--background", "--canary", "0"), "bulk job 2 is started")
	require.ErrorContains(t, invoke(t, env, "bulk", "show", "9").err, "bulk job 9: there is no such bulk job: `erpconnector bulk list` lists them")
}

// The manual has a page for each command, in a folder and in a tar.
func TestTheManual(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	require.Contains(t, does(t, nil, "man", dir), "the manual is in "+dir)
	for name := range commands() {
		page := strings.ReplaceAll(strings.TrimSpace("erpconnector "+name), " ", "-") + ".1"
		require.FileExists(t, filepath.Join(dir, page))
	}
	text, err := os.ReadFile(filepath.Join(dir, "erpconnector-quarantine-send.1"))
	require.NoError(t, err)
	require.Contains(t, string(text), "quarantine send 7 8")
	require.ErrorContains(t, invoke(t, nil, "man", filepath.Join(dir, "erpconnector.1", "below")).err, "making the folder of the manual: ")

	found := 0
	pages := tar.NewReader(strings.NewReader(does(t, nil, "man", "-")))
	for {
		h, err := pages.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		page, err := io.ReadAll(pages)
		require.NoError(t, err)
		kept, err := os.ReadFile(filepath.Join(dir, h.Name))
		require.NoError(t, err)
		require.Equal(t, string(kept), string(page))
		found++
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, found)
}

// A shell is told the words that a flag or an argument takes.
func TestCompletion(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "contexts.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"contexts": {"prod": {}, "test": {}}}`), 0o600))
	for args, want := range map[string]string{
		"list --status ":               "pending\nqueued\nin_progress\nsuccess\nfailed\n:4\n",
		"list --status failed,":        "failed,pending\nfailed,queued\nfailed,in_progress\nfailed,success\nfailed,failed\n:4\n",
		"list -o ":                     "table\njson\nndjson\ncsv\n:4\n",
		"status 1 -o ":                 "text\njson\n:4\n",
		"list --context ":              "prod\ntest\n:4\n",
		"context use ":                 "prod\ntest\n:4\n",
		"quarantine list --state ":     "open\ndiscarded\nall\n:4\n",
		"bulk list --state run":        "selecting\nrunning\npaused\nstopped\ndone\n:4\n",
		"run a":                        "alerter\napi\ndelayer\n",
		"settings get cron_b":          "cron_batch\n",
		"settings set cron_b":          "cron_batch=\n:6\n",
		"completion ":                  "bash\nfish\npowershell\nzsh\n",
		"resync --filter ":             "status=\n",
		"token create x --may publish": "publish\n",
	} {
		got := does(t, variables{"ERPCONNECTOR_CONFIG": file}, append([]string{"__complete"}, strings.Split(args, " ")...)...)
		require.Contains(t, got, want, args)
	}
}

// A shell is told the orders that changed last; without a connector it gets none, and no error.
func TestCompletionOfOrders(t *testing.T) {
	t.Parallel()
	env, database := served(t)
	putSyncs(t, database, 3)
	const found = "O3\tfailed\nO2\tqueued\nO1\tqueued\n:4\n"
	for _, command := range []string{"status", "watch", "resync", "cancel"} {
		got := does(t, env, "__complete", command, "--source", "outlet", "O")
		require.ElementsMatch(t, strings.Fields(found), strings.Fields(got), command)
		require.Equal(t, ":4\n", does(t, env, "__complete", command, "O"), "of the shop default")
		require.Equal(t, ":4\n", does(t, env, "__complete", command, "--url", "127.0.0.1:1", ""))
	}
	require.Contains(t, does(t, nil, "completion", "bash"), "__start_erpconnector")
}

// A port that is taken gives way unless it was asked for.
func TestTheUsualAddressIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	for asked, want := range map[string]string{"": "", l.Addr().String(): "the address " + l.Addr().String() + " is taken by another program: stop that, or name another one with HTTP_ADDR"} {
		var said strings.Builder
		cfg := configAt(l.Addr().String())
		err := chooseAddress(WithEnvironment(t.Context(), variables{"HTTP_ADDR": asked}.lookup), &said, &cfg)
		if want != "" {
			require.EqualError(t, err, want)
			require.Empty(t, said.String())
			continue
		}
		require.NoError(t, err)
		require.NotEqual(t, l.Addr().String(), cfg.HTTP.Addr)
		require.Equal(t, l.Addr().String()+" is taken, so the connector listens at "+cfg.HTTP.Addr+"; commands find it by --url http://"+cfg.HTTP.Addr+", or ERPCONNECTOR_URL\n", said.String())
	}
}

func TestColours(t *testing.T) {
	t.Parallel()
	require.False(t, coloured(WithEnvironment(t.Context(), variables{}.lookup), &strings.Builder{}), "no terminal")
	require.Equal(t, "\x1b[31mFAIL\x1b[0m  relay  x\n               → do\n\x1b[32mok\x1b[0m    kafka  y\n", colourLevels("FAIL  relay  x\n               → do\nok    kafka  y\n"))
	require.Equal(t, "\x1b[1mID  NAME\x1b[0m\n1   a\n", boldHeading("ID  NAME\n1   a\n"))
	require.Equal(t, "nothing", boldHeading("nothing"))
}
