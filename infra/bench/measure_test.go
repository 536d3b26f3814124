//go:build speed

package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/devpg"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var (
	runsFlag  = flag.Int("measure.runs", 3, "how often everything is measured; the page has the medians")
	rowsFlag  = flag.String("measure.rows", "100000", "rows that the relay moves; several numbers: each, with commas between")
	onlyFlag  = flag.String("measure.only", "orders,relay,latency,accept", "what is measured")
	dirFlag   = flag.String("measure.dir", "/var/tmp", "where Postgres has its data: on a disk, as in production")
	onFlag    = flag.String("measure.on", "embedded broker,Apache Kafka", "the brokers")
	writeFlag = flag.Bool("measure.write", false, "write docs/benchmarks.md; cases that are not measured now stay there")
	checkFlag = flag.Bool("measure.check", false, "fail when a ratio is more than 15 % worse than the page says")
)

// measured are the parts that -measure.only names.
var measured = []struct {
	name    string
	measure func(*testing.T, *rig) []Figure
}{{"orders", orders}, {"relay", relay}, {"latency", latency}, {"accept", accept}}

// TestMeasure measures everything some times. It is built with the tag speed only.
func TestMeasure(t *testing.T) {
	only, on := chosen(t, *onlyFlag, partNames()), chosen(t, *onFlag, []string{embedded, apache})
	if *writeFlag {
		require.Len(t, on, 2, "the page has both brokers")
	}
	binary := testkit.Program(t, "github.com/erpconnector/erpconnector/services/erpconnector")
	var runs [][]Figure
	var versions []string
	for i := range *runsFlag {
		t.Run(fmt.Sprint("run ", i+1), func(t *testing.T) {
			r := &rig{binary: binary, brokers: on}
			var figures []Figure
			for _, part := range measured {
				if slices.Contains(only, part.name) {
					t.Run(part.name, func(t *testing.T) { figures = append(figures, part.measure(t, r)...) })
				}
			}
			runs, versions = append(runs, figures), r.versions(t)
		})
	}
	if t.Failed() {
		return
	}
	figures := Medians(runs)
	report := Report{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		Versions: versions, Runs: len(runs), Figures: figures,
	}
	for i, f := range report.Figures {
		report.Figures[i].Ours, report.Figures[i].Base = round(f.Ours), round(f.Base)
	}
	t.Log(report.Page())
	encoded, err := os.ReadFile(reportFile)
	require.NoError(t, err)
	before, err := Decode(encoded)
	require.NoError(t, err)
	if *checkFlag {
		compared := Compare(before.Figures, figures)
		t.Log(compared.Text())
		require.Empty(t, compared.Worse, "more than 15 % worse than docs/benchmarks.md")
		require.NotZero(t, compared.Compared, "nothing that was measured is on the page")
	}
	if *writeFlag {
		written := report.Over(before)
		encoded, err := written.Encode()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(reportFile, encoded, 0o600))
		require.NoError(t, os.WriteFile(pageFile, []byte(written.Page()), 0o600))
	}
}

func partNames() (names []string) {
	for _, part := range measured {
		names = append(names, part.name)
	}
	return names
}

// chosen are the names in a flag's value. One that is not known fails the test: it would measure nothing, and look well.
func chosen(t *testing.T, value string, known []string) []string {
	t.Helper()
	names := strings.Split(value, ",")
	require.Subset(t, known, names)
	return names
}

// rig is what a run's measurements share.
type rig struct {
	binary  string
	brokers []string
	server  string // Postgres's version
}

func (r *rig) versions(t *testing.T) []string {
	t.Helper()
	versions := []string{"Go " + strings.TrimPrefix(runtime.Version(), "go"), "Postgres " + r.server}
	if slices.Contains(r.brokers, apache) {
		versions = append(versions, "Apache Kafka "+testkit.ApacheVersion)
	}
	return versions
}

// database starts a server with fsync on, and a migrated database.
func (r *rig) database(t *testing.T) (url string, pool *pgxpool.Pool) {
	t.Helper()
	dir, err := os.MkdirTemp(*dirFlag, "erpconnector-bench-") //nolint:usetesting // that one may be in memory, where fsync costs nothing
	require.NoError(t, err)
	testkit.SweepIfStopped(dir)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711)) //nolint:gosec // the database's user walks through
	server, err := devpg.Start(t.Context(), devpg.Config{Dir: filepath.Join(dir, "postgres"), Durable: true})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	r.prepare(t, []string{"DATABASE_URL=" + server.URL()}, "migrate")
	pool = testkit.PoolOf(t, server.URL())
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT split_part(current_setting('server_version'), ' ', 1)`).Scan(&r.server))
	return server.URL(), pool
}

// program is a running process.
type program struct{ cmd *exec.Cmd }

// start starts a program, which ends with the test, and shows what it said when the test fails.
func start(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), append(env, "LOG_LEVEL=warn")...)
	cmd.Stderr = t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = testkit.Patience
	require.NoError(t, cmd.Start())
	p := &program{cmd: cmd}
	t.Cleanup(func() { p.stop() })
	return p
}

// stop ends it as Ctrl-C does, and waits.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// product is the environment of the product's processes, but for what they serve.
func product(database string, brokers kafka.Config) []string {
	env := []string{"DATABASE_URL=" + database, "API_TOKEN=" + token, "ERP_API_KEY=key", "ERP_HMAC_SECRET=0123456789abcdef0123456789abcdef"}
	if len(brokers.Brokers) > 0 {
		env = append(env, "KAFKA_BROKERS="+strings.Join(brokers.Brokers, ","), "KAFKA_TOPIC_PREFIX="+brokers.Prefix)
	}
	return env
}

const token = "0123456789abcdef"

// prepare runs a command of the product.
func (r *rig) prepare(t *testing.T, env []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), r.binary, args...) //nolint:gosec // our own
	cmd.Env = append(os.Environ(), env...)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
}

// broker starts one of the brokers.
func broker(t *testing.T, name string) kafka.Config {
	t.Helper()
	if name == apache {
		return kafka.Config{Brokers: testkit.OwnApache(t).Addrs()}
	}
	return testkit.EmbeddedBroker(t)
}

const (
	embedded = "embedded broker"
	apache   = "Apache Kafka"
)

// onEach measures on each broker that -measure.on names.
func (r *rig) onEach(t *testing.T, measure func(t *testing.T, on string) []Figure) (figures []Figure) {
	t.Helper()
	for _, on := range r.brokers {
		t.Run(on, func(t *testing.T) { figures = append(figures, measure(t, on)...) })
	}
	return figures
}
