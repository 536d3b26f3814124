package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// asProgram makes the tests' binary the program.
const asProgram = "ERPCONNECTOR_TEST_AS_PROGRAM"

// itself is the program with nothing in its environment but what is given.
func itself(t *testing.T, environment map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...) //nolint:gosec // ourselves
	cmd.Env = []string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// failsToStart runs a command that cannot start, and gives what it says: one line, no panic, exit code 1.
func failsToStart(t *testing.T, environment map[string]string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := itself(t, environment, args...)
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode(), stderr.String())
	said, ok := strings.CutPrefix(strings.TrimSpace(stderr.String()), "erpconnector: ")
	require.True(t, ok, stderr.String())
	for _, noise := range []string{"panic", "goroutine", "fx.", "could not build arguments", ".go:", "secret"} {
		require.NotContains(t, said, noise)
	}
	return said
}

// taken is an address that somebody else listens on.
func taken(t *testing.T) (addr, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return l.Addr().String(), port
}

// `up --kafka-port` on a busy port panicked, and what else could not be was told by whatever library met it first.
func TestUpThatCannotStart(t *testing.T) {
	t.Parallel()
	busy, busyPort := taken(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	otherVersion := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(otherVersion, "postgres", "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(otherVersion, "postgres", "data", "PG_VERSION"), []byte("9.6\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(otherVersion, "postgres", "data", "postgresql.conf"), nil, 0o600))
	for _, dir := range []string{filepath.Dir(otherVersion), otherVersion} {
		require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // the database's user walks through
	}
	for name, c := range map[string]struct {
		args        string
		environment map[string]string
		want        string
	}{
		"the_kafka_port_is_taken":      {"up --ephemeral --kafka-port " + busyPort, nil, "port " + busyPort + " is taken by another program: stop that, or choose another one with --kafka-port (0: any)"},
		"there_is_no_such_port":        {"up --ephemeral --kafka-port 99999", nil, "--kafka-port is 99999; it must be from 0 to 65535"},
		"a_negative_port":              {"up --ephemeral --kafka-port=-5", nil, "--kafka-port is -5; it must be from 0 to 65535"},
		"a_port_that_nobody_takes":     {"up --ephemeral --kafka-port 0", map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"}, "KAFKA_BROKERS names others: leave one of them out"},
		"the_http_port_is_taken":       {"up --ephemeral", map[string]string{"HTTP_ADDR": busy}, "the address " + busy + " is taken by another program: stop that, or name another one with HTTP_ADDR"},
		"an_address_that_is_none":      {"up --ephemeral", map[string]string{"HTTP_ADDR": "nonsense"}, `HTTP_ADDR is "nonsense"; it must be host:port`},
		"another_machines_address":     {"up --ephemeral", map[string]string{"HTTP_ADDR": "192.0.2.1:8080"}, "HTTP cannot be served at 192.0.2.1:8080"},
		"the_data_folder_is_a_file":    {"up", map[string]string{"DATA_DIR": file}, "not a directory; another one can be set with DATA_DIR"},
		"no_place_for_a_throw_away":    {"up --ephemeral", map[string]string{"TMPDIR": file}, "another place can be set with TMPDIR"},
		"another_postgres_made_it":     {"up --kafka-port 0", map[string]string{"DATA_DIR": otherVersion}, "starting Postgres: it ended: "},
		"a_database_that_is_not_there": {"up --ephemeral --kafka-port 0", map[string]string{"DATABASE_URL": "postgres://me:secret@127.0.0.1:1/db"}, "nothing listens at 127.0.0.1:1: start Postgres there, or name another address in DATABASE_URL"},
		"a_broker_that_is_not_there":   {"up --ephemeral", map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"}, "nothing listens at 127.0.0.1:1: start Kafka there, or name another address in KAFKA_BROKERS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			temporary, err := os.MkdirTemp("", "e") //nolint:usetesting // t.TempDir is closed to the database's user
			require.NoError(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(temporary) })
			require.NoError(t, os.Chmod(temporary, 0o755)) //nolint:gosec // see above
			environment := map[string]string{"HTTP_ADDR": freeAddr(t), "TMPDIR": temporary}
			for name, value := range c.environment {
				environment[name] = value
			}
			said := failsToStart(t, environment, strings.Fields(c.args)...)
			require.Contains(t, said, c.want)
			require.NotContains(t, said, "\n")
			left, err := os.ReadDir(temporary)
			require.NoError(t, err)
			require.Empty(t, left, "it leaves nothing behind")
			require.Empty(t, processesWith(t, temporary))
		})
	}
}

// processesWith are the command lines of processes that name a folder.
func processesWith(t *testing.T, folder string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, line := range lines {
		if content, err := os.ReadFile(line); err == nil && bytes.Contains(content, []byte(folder)) { //nolint:gosec // a test
			found = append(found, string(content))
		}
	}
	return found
}

// A port that nobody asked for gives way to a free one, and that is said; a second `up` on the same data is refused; a stop
// leaves nothing behind, also amid the start.
func TestUpTakesAnotherKafkaPort(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", cli.DefaultKafkaPort)); err == nil { // else somebody has taken it already
		t.Cleanup(func() { _ = l.Close() })
	}
	dir, err := os.MkdirTemp("", "e") //nolint:usetesting // t.TempDir is closed to the database's user
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // the database's user walks through
	addr := freeAddr(t)
	said := filepath.Join(t.TempDir(), "said")
	out, err := os.Create(said) //nolint:gosec // a test
	require.NoError(t, err)
	cmd := itself(t, map[string]string{"HTTP_ADDR": addr, "DATA_DIR": dir}, "up")
	cmd.Stdout, cmd.Stderr = out, out
	p := launch(t, cmd)
	content := func() string {
		text, err := os.ReadFile(said) //nolint:gosec // a test
		require.NoError(t, err)
		return string(text)
	}
	require.Eventually(t, func() bool { return strings.Contains(content(), "Ctrl-C stops.") }, time.Minute, 20*time.Millisecond, "%s", content())
	port := regexp.MustCompile(`port 9092 is taken, so the embedded broker listens at (127\.0\.0\.1:\d+)\n`).FindStringSubmatch(content())
	require.NotNil(t, port, content())
	require.Contains(t, content(), "Kafka     "+port[1])
	require.Contains(t, failsToStart(t, map[string]string{"HTTP_ADDR": freeAddr(t), "DATA_DIR": dir}, "up"), "another `erpconnector up` uses "+dir+": stop it")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.done
	require.Zero(t, p.cmd.ProcessState.ExitCode(), content())
	require.Empty(t, processesWith(t, dir))
}

// What cannot be reached is named with what to do, whichever command meets it.
func TestServersThatCannotBeReached(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	cfg, err := pgx.ParseConfig(database.URL)
	require.NoError(t, err)
	at := net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port))
	missing := strings.Replace(database.URL, "/"+cfg.Database, "/no_such_database", 1)
	require.NotEqual(t, database.URL, missing)
	busy, _ := taken(t)
	for name, c := range map[string]struct {
		args        string
		environment map[string]string
		want        string
	}{
		"no_database_named":       {"migrate", nil, "DATABASE_URL is not set: name the Postgres database"},
		"no_broker_named":         {"topics ensure", nil, "KAFKA_BROKERS is not set: name the brokers"},
		"a_url_that_is_none":      {"migrate", map[string]string{"DATABASE_URL": "nonsense"}, "DATABASE_URL cannot be read: write postgres://user:password@host:5432/database"},
		"nobody_listens":          {"migrate", map[string]string{"DATABASE_URL": "postgres://me:secret@127.0.0.1:1/db"}, "nothing listens at 127.0.0.1:1: start Postgres there"},
		"no_such_socket":          {"migrate", map[string]string{"DATABASE_URL": "postgres:///db?host=/nowhere"}, "nothing listens at /nowhere:5432: start Postgres there"},
		"no_such_database":        {"migrate", map[string]string{"DATABASE_URL": missing}, "Postgres at " + at + ` has no database "no_such_database": create it, or name another one in DATABASE_URL`},
		"no_such_host":            {"topics check", map[string]string{"KAFKA_BROKERS": "no-such-host.invalid:9092"}, `the name "no-such-host.invalid" of Kafka is not known: check it in KAFKA_BROKERS`},
		"a_broker_that_is_none":   {"topics check", map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"}, "nothing listens at 127.0.0.1:1: start Kafka there"},
		"settings_of_no_database": {"settings", map[string]string{"DATABASE_URL": "postgres://me:secret@127.0.0.1:1/db"}, "nothing listens at 127.0.0.1:1: start Postgres there"},
		"a_service_misspelt":      {"run syncerr", nil, `there is no service "syncerr": did you mean syncer?`},
		"a_service_twice":         {"run api api", nil, "the service api is named twice"},
		"the_http_port_is_taken":  {"run api", map[string]string{"DATABASE_URL": database.URL, "KAFKA_BROKERS": "127.0.0.1:1", "HTTP_ADDR": busy}, "the address " + busy + " is taken by another program"},
		"nobody_is_healthy":       {"health", map[string]string{"HTTP_ADDR": "127.0.0.1:1"}, "nothing listens at http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := failsToStart(t, c.environment, strings.Fields(c.args)...)
			require.Contains(t, said, c.want)
			require.NotContains(t, said, "\n")
		})
	}
}

// Whoever runs before `migrate` and `topics ensure` is told to run them.
func TestRunNeedsSchemaAndTopics(t *testing.T) {
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		database := testkit.Postgres(t)
		empty := fmt.Sprintf("empty_%d", time.Now().UnixNano())
		_, err := database.Pool.Exec(t.Context(), "CREATE DATABASE "+empty)
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = database.Pool.Exec(t.Context(), "DROP DATABASE "+empty) })
		cfg, err := pgx.ParseConfig(database.URL)
		require.NoError(t, err)
		environment := map[string]string{
			"DATABASE_URL": strings.Replace(database.URL, "/"+cfg.Database, "/"+empty, 1), "KAFKA_BROKERS": strings.Join(brokers.Brokers, ","),
			"KAFKA_TOPIC_PREFIX": "not_there_" + brokers.Prefix, "HTTP_ADDR": freeAddr(t),
		}
		said := failsToStart(t, environment, "run", "api")
		require.Contains(t, said, "the database's schema is behind this program: run `erpconnector migrate`")
		require.Contains(t, said, "sales_order_event is missing: run `erpconnector topics ensure`")
	})
}
