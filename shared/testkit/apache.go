package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/freeport"
	"github.com/erpconnector/erpconnector/shared/subprocess"
)

// ApacheVersion is the Apache Kafka release that tests run on; it needs Java 17. It is the latest that keeps its
// transactions over its own death: 4.3.0 and 4.3.1 take a partition whose leader is away for a deleted one, and a
// transaction that ends then gets no marker there (KAFKA-20734).
const ApacheVersion = "4.2.0"

// ApacheOldVersion is the release of before transactions version 2, which most managed clusters still run.
const ApacheOldVersion = "3.9.1"

// apacheConfig is a broker and controller in one. The second half shortens what a production broker waits for, but
// for its session: a busy machine may hold its breath for seconds.
const apacheConfig = `process.roles=broker,controller
node.id=%[5]d
controller.quorum.voters=%[6]s
listeners=PLAINTEXT://127.0.0.1:%[1]d%[4]s,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d%[4]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
offsets.topic.replication.factor=%[7]d
offsets.topic.num.partitions=8
default.replication.factor=%[7]d
transaction.state.log.replication.factor=%[7]d
transaction.state.log.min.isr=%[8]d
transaction.state.log.num.partitions=8
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=200
add.partitions.to.txn.retry.backoff.ms=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=500
`

// errNoApache says why no Apache Kafka runs here.
var errNoApache = errors.New("no java and mvn on this machine")

// apache is the process's Apache Kafka: the one KAFKA_BROKERS names, else one started from its Maven artifacts. It dies
// with the process.
var apache = sync.OnceValues(func() ([]string, error) {
	if named := os.Getenv("KAFKA_BROKERS"); named != "" {
		return strings.Split(named, ","), nil
	}
	release, err := releaseOf(ApacheVersion)
	if err != nil {
		return nil, err
	}
	dir, err := tempDir("erpconnector-kafka-")
	if err != nil {
		return nil, err
	}
	return startApache(release, dir)
})

// HasApache reports whether this machine has what an Apache Kafka of a test's own needs.
func HasApache() bool {
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return false
		}
	}
	return true
}

func startApache(release apacheRelease, dir string) ([]string, error) {
	brokers, err := formatApache(release, dir, 1, apacheExtras{})
	if err != nil {
		return nil, err
	}
	return brokers[0].addrs, brokers[0].Restart()
}

// Apache is an Apache Kafka of a test's own, which it may kill and start again.
type Apache struct {
	release    apacheRelease
	properties string
	addrs      []string
	process    *os.Process
	ended      <-chan struct{}
}

// OwnApache starts an Apache Kafka that ends with the test, and skips the test where there is no java and mvn.
func OwnApache(t testing.TB) *Apache {
	t.Helper()
	return ownApache(t, ApacheVersion, apacheExtras{})
}

// OwnOldApache is OwnApache of ApacheOldVersion.
func OwnOldApache(t testing.TB) *Apache {
	t.Helper()
	return ownApache(t, ApacheOldVersion, apacheExtras{})
}

// OwnUpgradedApache is OwnApache as it is after an upgrade from an old release: with the transactions it had before.
func OwnUpgradedApache(t testing.TB) *Apache {
	t.Helper()
	return ownApache(t, ApacheVersion, apacheExtras{format: []string{"--feature", "transaction.version=1"}})
}

// apacheExtras is what a broker has in addition to apacheConfig.
type apacheExtras struct {
	listeners string   // each after a comma
	config    string   // lines
	format    []string // arguments to the making of its folder, by Kafka's own tool; nil: a fresh folder is copied, if there is one
}

func ownApache(t testing.TB, version string, extras apacheExtras) *Apache {
	t.Helper()
	return ownCluster(t, version, 1, extras)[0]
}

func ownCluster(t testing.TB, version string, n int, extras apacheExtras) []*Apache {
	t.Helper()
	release, err := releaseOf(version)
	if errors.Is(err, errNoApache) {
		t.Skip(err)
	}
	require.NoError(t, err)
	brokers, err := formatApache(release, t.TempDir(), n, extras)
	require.NoError(t, err)
	for _, b := range brokers {
		require.NoError(t, b.launch())
		t.Cleanup(b.Kill)
	}
	require.NoError(t, awaitBrokers(brokers[0].addrs, n))
	return brokers
}

// Addrs are the addresses of all brokers of the cluster, the same after each start.
func (b *Apache) Addrs() []string { return b.addrs }

// Start starts the broker, after a Kill with the data it had.
func (b *Apache) Start(t testing.TB) {
	t.Helper()
	require.NoError(t, b.Restart())
}

// Kill ends the broker as kill -9 does.
func (b *Apache) Kill() {
	_ = b.process.Kill()
	<-b.ended
}

// data is the broker's data folder.
func (b *Apache) data() string { return filepath.Join(filepath.Dir(b.properties), "data") }

// apacheCluster is the id of all our clusters.
const apacheCluster = "MkU3OEVBNTcwNTJENDM2Qg"

// formatApache makes the folders of a cluster.
func formatApache(release apacheRelease, dir string, n int, extras apacheExtras) (brokers []*Apache, err error) {
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	var addrs, voters []string
	for i := range n {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", ports[i]))
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[n+i]))
	}
	for i := range n {
		folder := filepath.Join(dir, fmt.Sprint(i+1))
		b := &Apache{release: release, properties: filepath.Join(folder, "server.properties"), addrs: addrs}
		config := fmt.Sprintf(apacheConfig, ports[i], ports[n+i], b.data(), extras.listeners, i+1,
			strings.Join(voters, ","), n, max(1, n-1)) + extras.config
		if err := os.Mkdir(folder, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(b.properties, []byte(config), 0o600); err != nil {
			return nil, err
		}
		if extras.format == nil && release.fresh != "" {
			err = release.format(b.data(), i+1)
		} else {
			err = b.formatByTool(extras.format...)
		}
		if err != nil {
			return nil, err
		}
		brokers = append(brokers, b)
	}
	return brokers, nil
}

// Restart is Start outside of the test's own goroutine.
func (b *Apache) Restart() error {
	if err := b.launch(); err != nil {
		return err
	}
	return awaitBrokers(b.addrs, 1)
}

func (b *Apache) launch() error {
	broker := b.java("kafka.Kafka", b.properties)
	ended, err := subprocess.Start(broker, syscall.SIGKILL)
	if err != nil {
		return err
	}
	b.process, b.ended = broker.Process, ended
	return nil
}

// awaitBrokers returns once so many brokers of the cluster are known.
func awaitBrokers(addrs []string, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		brokers, err := adm.ListBrokers(ctx)
		if err == nil && len(brokers) >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("starting Apache Kafka: no answer at %s: %w", addrs[0], errors.Join(err, ctx.Err()))
		}
	}
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		port, err := freeport.Next()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
