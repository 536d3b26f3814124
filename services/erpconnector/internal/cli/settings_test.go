package cli

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestParseSettings(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"debug=true":                          `{"debug":true}`,
		"erp_timeout=10":                      `{"erp_timeout":"10s"}`,
		"erp_timeout=1m30s cron_batch=0":      `{"cron_batch":0,"erp_timeout":"1m30s"}`,
		"erp_base_url=https://erp/api?a=b==c": "",
		"erp_base_url=https://erp/api":        `{"erp_base_url":"https://erp/api"}`,
	} {
		values, err := parseSettings(strings.Fields(args))
		if want == "" {
			require.Error(t, err, args)
			continue
		}
		require.NoError(t, err, args)
		encoded, err := json.Marshal(values)
		require.NoError(t, err)
		require.JSONEq(t, want, string(encoded), args)
	}
	_, err := parseSettings([]string{"debug", "=true", "speed=9", "cron_batch=many", "debug=maybe", "retry_max_attempts=2", "retry_max_attempts=3", ""})
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 7, "all that is wrong, at once")
	for i, want := range []string{
		`"debug" is not NAME=VALUE`, " is no setting: ", "speed is no setting: ", `cron_batch is "many"; it must be`, `debug is "maybe"; it must be`,
		"retry_max_attempts stands there twice; give it once", `"" is not NAME=VALUE`,
	} {
		require.Contains(t, lines[i], want)
	}
}

// A setting is changed, seen with who changed it, returned to the environment's value, and all of it stands in the history.
func testSettingsChangeAndReturn(t *testing.T, _ testkit.Database, env variables) {
	env["CRON_BATCH"] = "7"
	require.Equal(t, "7\n", does(t, env, "settings", "get", "cron_batch", "--value"))
	require.Equal(t, "debug is true\ncron_batch is 9\nin force in every process within a second\n",
		does(t, env, "settings", "set", "debug=true", "cron_batch=9", "--reason", "a test"))
	require.Regexp(t, `(?m)^cron_batch +9 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d by `+osUser()+`; CRON_BATCH says 7$`, does(t, env, "settings"))
	got := does(t, env, "settings", "get", "cron_batch")
	require.Contains(t, got, "setting   cron_batch\nvalue     9\ndefault   7 (CRON_BATCH)\ntakes     ")
	require.Regexp(t, `(?m)^changed   \S+Z by `+osUser()+`$`, got)
	require.NotContains(t, does(t, env, "settings", "get", "retry_max_attempts"), "changed")

	require.Equal(t, "debug is false (DEBUG_MODE)\ncron_batch is 7 (CRON_BATCH)\nin force in every process within a second\n",
		does(t, env, "settings", "unset", "debug", "cron_batch"))
	require.Contains(t, does(t, env, "settings", "unset", "debug", "debug"), "in force", "nothing is left to return")
	require.ErrorContains(t, invoke(t, env, "settings", "unset", "speed").err, "speed is no setting")

	history := does(t, env, "settings", "history")
	require.Equal(t, 5, strings.Count(history, "\n"), history)
	require.Regexp(t, `(?m)^1 +\S+ \S+ +`+osUser()+` +cron_batch +\(environment\) +9 +a test$`, history)
	first := does(t, env, "settings", "history", "cron_batch", "--limit", "1")
	next, ok := strings.CutPrefix(strings.TrimSpace(first[strings.LastIndex(strings.TrimSpace(first), "\n")+1:]), "there is more: erpconnector ")
	require.True(t, ok, first)
	second := does(t, env, strings.Fields(next)...)
	require.Regexp(t, `(?m)^1 .* cron_batch `, second)
	require.NotContains(t, second, "debug", "the second page is of the same setting")
	require.NotContains(t, second, "more")
	require.Equal(t, "nobody has changed it\n", does(t, env, "settings", "history", "retry_max_attempts"))
}

// A row that a later release, or a hand, has left is shown for what it is: not in force.
func testASettingThatIsNotInForce(t *testing.T, database testkit.Database, env variables) {
	_, err := database.Pool.Exec(t.Context(), `INSERT INTO setting (name, value, version, changed_by, changed_at) VALUES ('cron_batch', '"many"', 1, 'a hand', now())`)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^cron_batch +\d+ +NOT IN FORCE: cron_batch .*$`, does(t, env, "settings"))
	require.Contains(t, does(t, env, "settings", "get", "cron_batch"), "\nNOT IN FORCE: cron_batch ")
}

func TestHistoryIsPrinted(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	past := []client.SettingChange{
		{Version: 2, ChangedAt: at, ChangedBy: "me", Name: "cron_batch", Before: 9, Reason: new("done")},
		{Version: 1, ChangedAt: at, ChangedBy: "an operator", Name: "cron_batch", After: 9},
	}
	require.Equal(t, "VERSION  AT                   BY           SETTING     BEFORE         AFTER          REASON\n"+
		"2        2024-01-15 10:30:00  me           cron_batch  9              (environment)  done\n"+
		"1        2024-01-15 10:30:00  an operator  cron_batch  (environment)  9\n", rows(t, historyListing, "table", past...))
	require.Equal(t, "version,name,before,after,changed_by,changed_at,reason\n2,cron_batch,9,,me,2024-01-15T10:30:00Z,done\n1,cron_batch,,9,an operator,2024-01-15T10:30:00Z,\n",
		rows(t, historyListing, "csv", past...))
	requireTellsOfAFullDisk(t, func(w io.Writer) error { return printSetting(w, client.SettingEntry{}) })
	requireTellsOfAFullDisk(t, func(w io.Writer) error { return printChanged(w, client.Settings{}, nil) })
}

// An empty value is shown as something, or its column would seem to be another's.
func TestShown(t *testing.T) {
	t.Parallel()
	require.Equal(t, "-", shown(""))
	require.Equal(t, " ", shown(" "))
	require.Equal(t, `a\nb`, shown("a\nb"))
	require.NotEmpty(t, osUser())
}

// What is shown of a setting can be given back, whichever it is; and a value that is none is told with what it takes.
func TestEverySettingTakesWhatItShows(t *testing.T) {
	t.Parallel()
	for _, f := range setting.Fields() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			shown := f.Text(setting.Defaults())
			values, err := parseSettings([]string{f.Name + "=" + shown})
			if shown != "" { // a URL that nobody has given yet
				require.NoError(t, err)
				require.JSONEq(t, string(f.JSON(setting.Defaults())), string(values[f.Name]))
			}
			value := json.RawMessage(f.JSON(setting.Defaults()))
			e := client.SettingEntry{
				Name: f.Name, Value: value, Default: value, Allowed: f.Allowed, Meaning: f.Meaning, Variable: f.Variable,
				ChangedAt: new(time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)), ChangedBy: new("me"),
			}
			require.Equal(t, f.Text(setting.Defaults()), settingText(f.Name, value))
			var out strings.Builder
			require.NoError(t, printSetting(&out, e))
			for _, want := range []string{"setting   " + f.Name + "\n", "takes     " + f.Allowed + "\n", "(" + f.Variable + ")\n", "changed   2024-01-15T10:30:00Z by me\n", "\n" + f.Meaning + "\n"} {
				require.Contains(t, out.String(), want)
			}
			require.NotEmpty(t, f.Allowed)
			require.NotEmpty(t, f.Meaning)
			require.Regexp(t, `(?m)^`+f.Name+` +\S.* 2024-01-15 10:30:00 by me; `+f.Variable+` says .+$`, rows(t, settingListing, "table", e))
			out.Reset()
			require.NoError(t, printChanged(&out, client.Settings{Settings: []client.SettingEntry{e}}, map[string]json.RawMessage{f.Name: json.RawMessage("null")}))
			require.Contains(t, out.String(), f.Name+" is ")
			require.Contains(t, out.String(), " ("+f.Variable+")\nin force in every process within a second\n")
		})
	}
}
