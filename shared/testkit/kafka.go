package testkit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// ran counts the tests on each broker, for the last line of the run.
var ran struct {
	embedded, apache atomic.Int64
	apacheError      sync.Map
}

// OnBrokers runs a test on the embedded broker and, where it can be had, on Apache Kafka. Each run has a prefix of its
// own for topics, groups and transactional ids. Main says at the end which brokers were used.
func OnBrokers(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Helper()
	OnEmbedded(t, test)
	OnApache(t, test)
}

// OnEmbeddedFirst is for a test whose outcome does not depend on the broker: the ordinary run takes the embedded one, the full
// one (Full) repeats it on Apache Kafka.
func OnEmbeddedFirst(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Helper()
	OnEmbedded(t, test)
	if Full() {
		OnApache(t, test)
	}
}

// OnApacheFirst is for a test of what only a real broker proves, like transactions, fencing and groups that lose a member: the
// ordinary run takes Apache Kafka, the full one (Full) repeats it on the embedded broker. Where there is no Apache Kafka the
// embedded one takes its place.
func OnApacheFirst(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Helper()
	if Full() || !HasApache() {
		OnEmbedded(t, test)
	}
	OnApache(t, test)
}

// OnBrokersAtOnce is OnBrokers for a test that mostly waits: both runs go on side by side.
func OnBrokersAtOnce(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Helper()
	OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		t.Parallel()
		test(t, cfg)
	})
}

// OnEmbedded runs a test on the embedded broker alone.
func OnEmbedded(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Helper()
	t.Run("embedded_broker", func(t *testing.T) { test(t, EmbeddedBroker(t)) })
}

// OnApache runs a test on Apache Kafka where it can be had; Main says when it could not.
func OnApache(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Helper()
	brokers, err := apache()
	if err != nil {
		ran.apacheError.Store("why", err)
		if !errors.Is(err, errNoApache) {
			t.Errorf("Apache Kafka: %s", err)
		}
		return
	}
	t.Run("apache_kafka", func(t *testing.T) {
		ran.apache.Add(1)
		test(t, kafka.Config{Brokers: brokers, Prefix: prefix()})
	})
}

// EmbeddedBroker is a broker of the test's own, for what does not depend on the broker.
func EmbeddedBroker(t *testing.T) kafka.Config {
	t.Helper()
	broker, err := devkafka.Start(t.TempDir(), 0)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	ran.embedded.Add(1)
	return kafka.Config{Brokers: broker.Addrs(), Prefix: prefix()}
}

func prefix() string {
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	return "t" + hex.EncodeToString(random) + "."
}

// Main runs a package's tests and reports at the end which brokers they ran on. All that they put into the folder for
// temporary files goes with the process, also after Ctrl-C, which t.TempDir outlives.
func Main(m *testing.M) {
	if err := SweepTempDir(); err != nil {
		fmt.Fprintln(os.Stderr, "making a folder for temporary files:", err)
		os.Exit(1)
	}
	if err := runSideBySide(); err != nil {
		fmt.Fprintln(os.Stderr, "letting tests run side by side:", err)
		os.Exit(1)
	}
	code := m.Run()
	line := fmt.Sprintf("brokers: embedded %d tests, Apache Kafka %s %d tests", ran.embedded.Load(), ApacheVersion, ran.apache.Load())
	if why, ok := ran.apacheError.Load("why"); ok {
		line = fmt.Sprintf("brokers: embedded %d tests, Apache Kafka not run: %v", ran.embedded.Load(), why)
	}
	if err := Report(line); err != nil {
		fmt.Fprintln(os.Stderr, "test report:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// sideBySide is how many parallel tests run at a time. They wait for servers more than they compute, so it is more than
// a small machine has processors.
const sideBySide = 8

// runSideBySide lets so many tests run at a time, unless the command line has said another number.
func runSideBySide() error {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if said {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(sideBySide))
}

// NotRun ends a test for which this machine lacks a program, and says so in the report.
func NotRun(t *testing.T, what, why string) {
	t.Helper()
	require.NoError(t, Report(fmt.Sprintf("%s not run: %s", what, why)))
	t.Skipf("%s not run: %s", what, why)
}

// Report prints a line about what was run on what; it also goes to the file that ERPCONNECTOR_TEST_REPORT names, as
// `go test` hides what tests print when all is well.
func Report(line string) error {
	fmt.Println(line)
	name := os.Getenv("ERPCONNECTOR_TEST_REPORT")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // the file the caller names
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s: %s\n", os.Args[0], line)
	return errors.Join(err, f.Close())
}
