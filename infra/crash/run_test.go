package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/checker"
	"github.com/erpconnector/erpconnector/infra/crash/collect"
	"github.com/erpconnector/erpconnector/infra/crash/erp"
	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/mutants"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/infra/crash/pager"
	"github.com/erpconnector/erpconnector/infra/crash/stage"
	"github.com/erpconnector/erpconnector/infra/crash/workload"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// options say what a run does.
type options struct {
	seed    uint64
	kills   int
	broker  string          // apache or embedded
	rate    float64         // orders per second
	binary  string          // empty: built from this repository
	profile nemesis.Profile // what is disturbed, and how often
	quiet   time.Duration
	outage  time.Duration // of every third outage of the ERP; 0: as short as the others
	forgets bool          // the ERP knows no keys, and the product asks it about orders in doubt
}

// The settings of the product in a run: short, so that every order ends within it.
const (
	partitions  = 6
	prefix      = "crash."
	apiKey      = "key"
	secret      = "secret"
	token       = "token"
	erpTimeout  = 2 * time.Second
	maxAttempts = 6
	baseDelay   = 200 * time.Millisecond
	maxDelay    = 3 * time.Second
	giveUpAfter = 20 * time.Second // an order that meets an outage, or two

	// A sixth of all calls get no answer at any time, so only a larger share of failures is an outage. Otherwise the breaker would be open
	// for most of the run, and nothing would be under way when something is killed.
	breakerRate = 0.8
)

// starveShare is how often a partition is starved on a cluster, per kill and at least once, unless the profile says
// otherwise.
func starveShare(kills int) float64 { return max(0.02, 1.1/float64(max(kills, 1))) }

// processes of each service.
var processes = map[string]int{"ingest": 2, "relay": 2, "syncer": 3, "delayer": 2, "projector": 2, "api": 2, "scheduler": 2, "alerter": 2}

// outcome is the result of a run.
type outcome struct {
	history    *history.History
	report     checker.Report
	violations []string // what the harness itself saw and must not be
	notes      []string // what it saw and a person should know
	folder     string   // logs; and what else the caller keeps there
	keep       *bool    // the folder stays when the test ends
}

// harness is one run.
type harness struct {
	t        *testing.T
	o        options
	plan     nemesis.Plan
	folder   string
	env      []string // of the product's processes
	broker   stage.Broker
	cluster  *stage.Cluster // the broker, if there are several
	postgres *stage.Postgres
	erp      *erp.ERP
	pager    *pager.Pager
	shops    *workload.Shops
	fleet    *stage.Fleet
	watch    *stage.Watch
	history  *history.History

	undisturbed sync.RWMutex // held for writing while no other disturbance may explain what the checker sees
	mu          sync.Mutex   // guards what follows
	servers     []history.Disturbance
	outcome     outcome
}

// run plays a plan on the product and judges what is left. It fails the test only when the plan cannot be played.
func run(t *testing.T, o options) outcome {
	t.Helper()
	if !stage.Supported {
		testkit.NotRun(t, "the crash harness", "it needs Unix, as it halts processes with SIGSTOP and ends them with signals")
	}
	if o.broker == cluster && o.profile.Starve == 0 {
		o.profile.Starve = starveShare(o.kills)
	}
	p := &harness{t: t, o: o, plan: nemesis.Make(o.seed, o.kills, o.profile, processes)}
	p.prepare()
	t.Logf("%s on %s, logs in %s\n%s", filepath.Base(p.o.binary), p.history.Broker, p.folder, p.plan)
	p.play()
	p.logPhase("quiet")
	p.collect()
	p.logPhase("collected")
	p.judge()
	return p.outcome
}

// logPhase logs which phase of the run begins.
func (p *harness) logPhase(name string) {
	p.t.Logf("%6s %s", time.Since(p.history.Began).Round(100*time.Millisecond), name)
}

// prepare starts everything and waits until it is ready.
func (p *harness) prepare() {
	t := p.t
	var err error
	p.folder, err = os.MkdirTemp(folders, "erpconnector-crash-")
	require.NoError(t, err)
	testkit.SweepIfStopped(p.folder)
	p.outcome.keep = new(bool)
	t.Cleanup(func() { // after those of what is started now: a broker that still runs would write into it again
		if !*p.outcome.keep && !t.Failed() {
			require.NoError(t, os.RemoveAll(p.folder))
		}
	})
	require.NoError(t, os.Chmod(p.folder, 0o711)) // the database's user walks through
	p.outcome.folder = p.folder
	p.history = &history.History{
		Seed: p.o.seed, Partitions: partitions, ThinPartition: -1, Began: time.Now().UTC(),
		Policy: history.Policy{MaxAttempts: maxAttempts, BaseDelay: baseDelay, MaxDelay: maxDelay, GiveUpAfter: giveUpAfter},
	}
	if p.o.binary == "" {
		p.o.binary = build(t, p.folder)
		p.logPhase("built")
	}
	p.startBroker()
	p.logPhase("the broker runs")
	p.postgres, err = stage.StartPostgres(t.Context(), filepath.Join(p.folder, "postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { p.postgres.Stop() })
	p.logPhase("Postgres runs")
	addr, err := stage.FreeAddr()
	require.NoError(t, err)
	p.env = p.environment(addr)
	p.command("migrate")
	p.command("topics", "ensure")
	if p.cluster != nil {
		p.history.ThinPartition = stage.ThinPartition
		require.NoError(t, p.cluster.Thin(t.Context(), prefix))
	}
	p.logPhase("schema and topics are there")
	if p.o.profile.FailsOver() {
		require.NoError(t, p.postgres.StartStandby(t.Context()))
		p.logPhase("a standby follows")
	}
	p.startWorld(addr)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.fleet.AwaitReady(ctx))
	p.logPhase("the product is ready")
	p.pager = pager.Start(p.plan)
	t.Cleanup(p.pager.Close)
	require.NoError(t, p.shops.AddDestination(ctx, p.pager.URL, pager.Secret))
	p.watch, err = stage.StartWatch(ctx, p.broker.Addrs(), prefix)
	require.NoError(t, err)
	t.Cleanup(p.watch.Close)
}

// command runs a command of the product.
func (p *harness) command(args ...string) {
	cmd := exec.CommandContext(p.t.Context(), p.o.binary, args...)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	require.NoError(p.t, err, "%v: %s", args, out)
}

// startWorld starts the ERP, the shops and the fleet.
func (p *harness) startWorld(erpAddr string) {
	t := p.t
	logs := filepath.Join(p.folder, "logs")
	require.NoError(t, os.Mkdir(logs, 0o755))
	var err error
	p.fleet, err = stage.NewFleet(stage.FleetConfig{Binary: p.o.binary, Env: p.env, Processes: processes, Logs: logs})
	require.NoError(t, err)
	p.shops, err = workload.Open(workload.Config{
		Plan: p.plan, DatabaseURL: p.databaseURL() + "&target_session_attrs=read-write", Ingest: p.fleet.Bases("ingest"), API: p.fleet.Bases("api"),
		Token: token, Secret: secret, Rate: p.o.rate,
		Booked: func(source, order string) *erp.CallbackRequest { return p.erp.Booked(source, order) },
	})
	require.NoError(t, err)
	t.Cleanup(p.shops.Close)
	p.erp, err = erp.Start(erp.Config{
		Addr: erpAddr, APIKey: apiKey, Secret: secret, HangTimeout: erpTimeout + 300*time.Millisecond, ForgetsKeys: p.o.forgets,
		HasHealth: p.o.seed%2 == 0, // otherwise the breaker probes by an order
		Plan:      p.plan.Call, Changed: p.shops.Changed, Callback: p.shops.Callback,
	})
	require.NoError(t, err)
	t.Cleanup(p.erp.Close)
	p.fleet.Start()
	t.Cleanup(func() { p.fleet.Close() })
}

// databaseURL returns the address for the product and the shops. With failovers it names both servers.
func (p *harness) databaseURL() string {
	if p.o.profile.FailsOver() {
		return p.postgres.HostsURL()
	}
	return p.postgres.URL()
}

// environment returns the product's environment.
func (p *harness) environment(erpAddr string) []string {
	env := []string{
		"DATABASE_URL=" + p.databaseURL(), "KAFKA_BROKERS=" + strings.Join(p.broker.Addrs(), ","), "KAFKA_TOPIC_PREFIX=" + prefix,
		fmt.Sprintf("KAFKA_PARTITIONS=%d", partitions), "API_TOKEN=" + token, "ERP_API_KEY=" + apiKey, "ERP_HMAC_SECRET=" + secret,
		"ERP_BASE_URL=http://" + erpAddr + "/erp", "ERP_TIMEOUT=" + erpTimeout.String(), "ERP_MAX_IN_FLIGHT=16",
		fmt.Sprintf("RETRY_MAX_ATTEMPTS=%d", maxAttempts), "RETRY_BASE_DELAY=" + baseDelay.String(), "RETRY_MAX_DELAY=" + maxDelay.String(), "RETRY_GIVE_UP_AFTER=" + giveUpAfter.String(),
		fmt.Sprintf("ERP_BREAKER_FAILURE_RATE=%v", breakerRate), fmt.Sprintf("ERP_BREAKER_EXCEPTIONS=500:%[1]s,503:%[1]s", erp.PlannedCode),
		"LOG_LEVEL=info", "CRON_SCHEDULE=* * * * *", "CRON_BATCH=10000", "ALERT_INTERVAL=10s",
	}
	if p.o.forgets {
		env = append(env, "ERP_LOOKUP="+erp.LookupPath)
	}
	return env
}

// build builds the product's binary.
func build(t *testing.T, folder string) string {
	t.Helper()
	source := filepath.Join(folder, "source")
	require.NoError(t, os.Mkdir(source, 0o700))
	binary, err := mutants.Mutant{}.Build(t.Context(), filepath.Join("..", ".."), source)
	require.NoError(t, err)
	return binary
}

// startBroker starts the broker of the run.
func (p *harness) startBroker() {
	t := p.t
	if p.o.broker == cluster {
		var brokers []stage.Broker
		for _, b := range testkit.OwnCluster(t) {
			brokers = append(brokers, b)
		}
		p.cluster = stage.NewCluster(brokers)
		p.broker, p.history.Broker = p.cluster, "three brokers of Apache Kafka "+testkit.ApacheVersion
		return
	}
	if p.o.broker == apache {
		p.broker, p.history.Broker = testkit.OwnApache(t), "Apache Kafka "+testkit.ApacheVersion
		return
	}
	log, err := os.Create(filepath.Join(p.folder, "broker.log"))
	require.NoError(t, err)
	b, err := stage.StartEmbedded(filepath.Join(p.folder, "broker"), log)
	require.NoError(t, err)
	t.Cleanup(b.Kill)
	p.broker, p.history.Broker = b, "the embedded broker"
}

// addDisturbance records a disturbance of a server.
func (p *harness) addDisturbance(d history.Disturbance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, d)
}

// violate records a violation that the harness itself saw.
func (p *harness) violate(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcome.violations = append(p.outcome.violations, fmt.Sprintf(format, args...))
}

// collect ends the product and fills in the history.
func (p *harness) collect() {
	for _, name := range p.fleet.Close() {
		p.violate("%s did not end by SIGTERM in time", name)
	}
	p.erp.Close()
	h := p.history
	h.Publications, h.Requests, h.Calls, h.Notices = p.shops.Publications(), p.shops.Requests(), p.erp.Calls(), p.pager.Notices()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Minute)
	defer cancel()
	hidden, err := stage.Hanging(ctx, p.broker.Addrs(), prefix)
	require.NoError(p.t, err)
	if len(hidden) > 0 {
		p.violate("the broker itself has lost the ends of transactions, see stage.Hanging; what else is found may follow from that. Hidden are %s",
			strings.Join(hidden, ", "))
	}
	require.NoError(p.t, collect.Collect(ctx, p.broker.Addrs(), prefix, p.postgres.URL(), h))
	h.Sightings = p.watch.Sightings()
	h.Disturbances = append(p.fleet.Disturbances(), p.servers...)
	h.Exits = p.exits()
	h.Alarms, err = stage.Alarms(filepath.Join(p.folder, "logs"))
	require.NoError(p.t, err)
	h.Ended = time.Now().UTC()
}
