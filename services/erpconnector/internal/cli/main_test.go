package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// variables are the environment of a command; nothing of the process's own reaches it.
type variables map[string]string

func (v variables) lookup(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

// printed is what a command has left behind for its user.
type printed struct {
	out, stderr string
	err         error
}

// code is the exit code of the process.
func (p printed) code() int {
	_, code := outcome(p.err, false)
	return code
}

// invoke carries out a command line as a user types it.
func invoke(t *testing.T, env variables, args ...string) printed {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := Root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&stderr)
	err := cmd.ExecuteContext(WithEnvironment(t.Context(), env.lookup))
	return printed{out.String(), stderr.String(), err}
}

// does is invoke for a command that succeeds; it returns what was printed.
func does(t *testing.T, env variables, args ...string) string {
	t.Helper()
	p := invoke(t, env, args...)
	require.NoError(t, p.err, "%v", args)
	return p.out
}

// TestOnADatabase runs the commands that need DATABASE_URL alone. They take turns on one database, each on an empty one: to make ten
// would take a hundred times as long as what they do.
func TestOnADatabase(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	for name, test := range map[string]func(t *testing.T, database testkit.Database, env variables){
		"quarantine_list":                 testQuarantineList,
		"quarantine_show":                 testQuarantineShow,
		"quarantine_send":                 testQuarantineSend,
		"quarantine_send_corrected":       testQuarantineSendCorrected,
		"quarantine_discard":              testQuarantineDiscard,
		"deadletter_list_and_discard":     testDeadletterListAndDiscard,
		"a_dead_letter_that_is_not_there": testADeadLetterThatIsNotThere,
		"settings_change_and_return":      testSettingsChangeAndReturn,
		"a_setting_that_is_not_in_force":  testASettingThatIsNotInForce,
		"cron_run":                        testCronRun,
		"erp_status":                      testERPStatus,
		"erp_by_hand":                     testERPByHand,
		"erp_by_hand_in_an_outage":        testERPByHandInAnOutage,
		"erp_closed_inside_of_a_window":   testERPClosedInsideOfAWindow,
		"erp_closed_while_off":            testERPClosedWhileTheConnectorIsOff,
		"a_repair_that_cannot_tell":       testARepairThatCannotTell,
		"tokens":                          testTokens,
		"bulk":                            testBulk,
		"alerts":                          testAlerts,
		"an_address_from_the_input":       testAnAddressFromTheInput,
		"users":                           testUsers,
		"the_first_token":                 testFirstToken,
	} {
		t.Run(name, func(t *testing.T) {
			empty(t, database)
			test(t, database, variables{"DATABASE_URL": database.URL, "LOG_LEVEL": "error"})
		})
	}
}

// empty takes all rows out but those that the migrations wrote, and lets ids begin at 1.
func empty(t *testing.T, database testkit.Database) {
	t.Helper()
	var tables string
	require.NoError(t, database.Pool.QueryRow(t.Context(), `SELECT string_agg(quote_ident(relname), ', ') FROM pg_class
		WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace AND relname NOT IN ('goose_db_version', 'projector_recheck')`).Scan(&tables))
	_, err := database.Pool.Exec(t.Context(), "TRUNCATE "+tables+" RESTART IDENTITY; INSERT INTO erp_pace DEFAULT VALUES")
	require.NoError(t, err)
}

var errDiskFull = errors.New("no space left on device")

// fullDisk takes so many writes, and no more.
type fullDisk struct{ left int }

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.left == 0 {
		return 0, errDiskFull
	}
	f.left--
	return len(p), nil
}

// requireTellsOfAFullDisk runs what prints in several steps on disks that fill up at each of them.
func requireTellsOfAFullDisk(t *testing.T, print func(w io.Writer) error) {
	t.Helper()
	disk := &fullDisk{left: 1 << 20}
	require.NoError(t, print(disk))
	writes := 1<<20 - disk.left
	require.Positive(t, writes)
	for left := range writes {
		require.ErrorIs(t, print(&fullDisk{left: left}), errDiskFull, "after %d of %d writes", left, writes)
	}
}

// stopped is a context that Ctrl-C has ended.
func stopped(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
