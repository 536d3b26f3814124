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

	"github.com/erpconnector/erpconnector/infra/crash/check"
	"github.com/erpconnector/erpconnector/infra/crash/collect"
	"github.com/erpconnector/erpconnector/infra/crash/erp"
	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/plan"
	"github.com/erpconnector/erpconnector/infra/crash/planted"
	"github.com/erpconnector/erpconnector/infra/crash/shops"
	"github.com/erpconnector/erpconnector/infra/crash/stage"
	worker "github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// options say what a run is. The zero value of a field means what stands beside it.
type options struct {
	seed    uint64
	kills   int
	broker  string       // apache or embedded
	rate    float64      // orders per second
	binary  string       // empty: built from this repository
	profile plan.Profile // what is disturbed, and how often
	quiet   time.Duration
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
)

// starves is how often a partition is starved on a cluster, per kill and at least once, unless the profile says otherwise.
func starves(kills int) float64 { return max(0.02, 1.1/float64(max(kills, 1))) }

// processes of each service.
var processes = map[string]int{"ingest": 2, "relay": 2, "syncer": 3, "delayer": 2, "projector": 2, "api": 2, "scheduler": 2}

// outcome is what a run came to.
type outcome struct {
	history  *history.History
	report   check.Report
	violated []string // what the driver itself saw and must not be
	noted    []string // what it saw and a person should know
	folder   string   // logs; and what else the caller keeps there
}

// theatre is one run under way.
type theatre struct {
	t        *testing.T
	o        options
	plan     plan.Plan
	folder   string
	env      []string // of the product's processes
	broker   stage.Broker
	cluster  *stage.Cluster // the broker, where it is several
	postgres *stage.Postgres
	erp      *erp.ERP
	shops    *shops.Shops
	fleet    *stage.Fleet
	watch    *stage.Watch
	history  *history.History

	calm    sync.RWMutex // held for writing while nothing else may explain what is seen
	mu      sync.Mutex   // guards what follows
	servers []history.Disturbance
	outcome outcome
}

// run plays a plan on the product and says what came of it; it fails the test only when it cannot be played.
func run(t *testing.T, o options) outcome {
	t.Helper()
	if !stage.Supported {
		t.Skip("the crash harness needs Unix: it halts processes with SIGSTOP and ends them with signals")
	}
	if o.broker == cluster && o.profile.Starve == 0 {
		o.profile.Starve = starves(o.kills)
	}
	p := &theatre{t: t, o: o, plan: plan.Make(o.seed, o.kills, o.profile, processes)}
	p.prepare()
	t.Logf("%s on %s, logs in %s\n%s", filepath.Base(p.o.binary), p.history.Broker, p.folder, p.plan)
	p.play()
	p.phase("quiet")
	p.collect()
	p.phase("collected")
	p.judge()
	return p.outcome
}

// phase logs where a run has come to, and when.
func (p *theatre) phase(name string) {
	p.t.Logf("%6s %s", time.Since(p.history.Began).Round(100*time.Millisecond), name)
}

// prepare starts everything and waits until it is ready.
func (p *theatre) prepare() {
	t := p.t
	var err error
	p.folder, err = os.MkdirTemp(folders, "erpconnector-crash-")
	require.NoError(t, err)
	testkit.SweepIfStopped(p.folder)
	require.NoError(t, os.Chmod(p.folder, 0o711)) // the database's user walks through
	p.outcome.folder = p.folder
	p.history = &history.History{
		Seed: p.o.seed, Partitions: partitions, Thin: -1, Began: time.Now().UTC(),
		Policy: history.Policy{MaxAttempts: maxAttempts, BaseDelay: baseDelay, MaxDelay: maxDelay},
	}
	if p.o.binary == "" {
		p.o.binary = build(t, p.folder)
		p.phase("built")
	}
	p.startBroker()
	p.phase("the broker runs")
	p.postgres, err = stage.StartPostgres(t.Context(), filepath.Join(p.folder, "postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { p.postgres.Stop() })
	p.phase("Postgres runs")
	addr, err := stage.FreeAddr()
	require.NoError(t, err)
	p.env = p.environment(addr)
	p.command("migrate")
	p.command("topics", "ensure")
	if p.cluster != nil {
		p.history.Thin = stage.ThinPartition
		require.NoError(t, p.cluster.Thin(t.Context(), prefix))
	}
	p.phase("schema and topics are there")
	if p.o.profile.FailsOver() {
		require.NoError(t, p.postgres.Follow(t.Context()))
		p.phase("a standby follows")
	}
	p.openWorld(addr)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.fleet.AwaitReady(ctx))
	p.phase("the product is ready")
	p.watch, err = stage.StartWatch(ctx, p.broker.Addrs(), prefix)
	require.NoError(t, err)
	t.Cleanup(p.watch.Close)
}

// command runs one of the product's.
func (p *theatre) command(args ...string) {
	cmd := exec.CommandContext(p.t.Context(), p.o.binary, args...)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	require.NoError(p.t, err, "%v: %s", args, out)
}

// openWorld starts the ERP, the shops and the fleet.
func (p *theatre) openWorld(erpAddr string) {
	t := p.t
	logs := filepath.Join(p.folder, "logs")
	require.NoError(t, os.Mkdir(logs, 0o755))
	var err error
	p.fleet, err = stage.NewFleet(stage.FleetConfig{Binary: p.o.binary, Env: p.env, Processes: processes, Logs: logs})
	require.NoError(t, err)
	p.shops, err = shops.Open(shops.Config{
		Plan: p.plan, DatabaseURL: p.databaseURL() + "&target_session_attrs=read-write", Ingest: p.fleet.Bases("ingest"), API: p.fleet.Bases("api"),
		Token: token, Secret: secret, Rate: p.o.rate,
		Booked: func(source, order string) *erp.Callback { return p.erp.Booked(source, order) },
	})
	require.NoError(t, err)
	t.Cleanup(p.shops.Close)
	p.erp, err = erp.Start(erp.Config{
		Addr: erpAddr, APIKey: apiKey, Secret: secret, Patience: erpTimeout + 300*time.Millisecond,
		Plan: p.plan.Call, Changed: p.shops.Changed, Callback: p.shops.Callback,
	})
	require.NoError(t, err)
	t.Cleanup(p.erp.Close)
	p.fleet.Start()
	t.Cleanup(func() { p.fleet.Close() })
}

// databaseURL is what the product and the shops connect to.
func (p *theatre) databaseURL() string {
	if p.o.profile.FailsOver() {
		return p.postgres.Both()
	}
	return p.postgres.URL()
}

func (p *theatre) environment(erpAddr string) []string {
	return []string{
		"DATABASE_URL=" + p.databaseURL(), "KAFKA_BROKERS=" + strings.Join(p.broker.Addrs(), ","), "KAFKA_TOPIC_PREFIX=" + prefix,
		fmt.Sprintf("KAFKA_PARTITIONS=%d", partitions), "API_TOKEN=" + token, "ERP_API_KEY=" + apiKey, "ERP_HMAC_SECRET=" + secret,
		"ERP_BASE_URL=http://" + erpAddr + "/erp", "ERP_TIMEOUT=" + erpTimeout.String(), "ERP_MAX_IN_FLIGHT=16",
		fmt.Sprintf("RETRY_MAX_ATTEMPTS=%d", maxAttempts), "RETRY_BASE_DELAY=" + baseDelay.String(), "RETRY_MAX_DELAY=" + maxDelay.String(),
		"LOG_LEVEL=info", "CRON_SCHEDULE=* * * * *", "CRON_BATCH=10000",
	}
}

// build makes the product's binary.
func build(t *testing.T, folder string) string {
	t.Helper()
	source := filepath.Join(folder, "source")
	require.NoError(t, os.Mkdir(source, 0o700))
	binary, err := planted.Bug{}.Build(t.Context(), filepath.Join("..", ".."), source)
	require.NoError(t, err)
	return binary
}

func (p *theatre) startBroker() {
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

// afterwards is how long shops may go on being answered, and processes becoming ready, once nothing is disturbed any more.
const afterwards = time.Minute

// play lets the load run while the plan is carried out, and waits until all of it has come to its end.
func (p *theatre) play() {
	open, closeShops := context.WithCancel(p.t.Context())
	life, endShops := context.WithCancel(p.t.Context())
	defer endShops()
	var selling, outages sync.WaitGroup
	selling.Go(func() { p.shops.Sell(open, life) })
	outages.Go(func() { p.takeERPDown(open) })
	if !p.o.profile.FailsOver() { // what a setting was is lost with the primary
		outages.Go(func() { p.turnOffAndOn(open) })
	}
	p.disturb()
	p.phase("the plan is carried out")
	closeShops()
	outages.Wait()
	ctx, cancel := context.WithTimeout(p.t.Context(), afterwards)
	defer cancel()
	if err := p.fleet.AwaitReady(ctx); err != nil {
		p.violate("%s after the last disturbance the fleet is %s", afterwards, err)
	}
	stop := context.AfterFunc(ctx, endShops)
	defer stop()
	selling.Wait()
	p.phase("all who asked were answered")
	p.awaitQuiet()
}

// takeERPDown lets the ERP be away now and then.
func (p *theatre) takeERPDown(open context.Context) {
	for n := 0; ; n++ {
		outage := p.plan.Outage(n)
		if !worker.Sleep(open, outage.Gap) {
			return
		}
		p.calm.RLock()
		d := history.Disturbance{What: "down", Target: "erp", At: time.Now().UTC()}
		p.erp.Down()
		worker.Sleep(open, outage.For)
		if err := p.erp.Up(); err != nil {
			p.violate("%s", err)
		}
		d.Back, d.Ready = time.Now().UTC(), time.Now().UTC()
		p.calm.RUnlock()
		p.noteServer(d)
	}
}

// backOnWithin is how long an operator may ask in vain to turn a setting on again. Broker and Postgres are away for less.
const backOnWithin = 90 * time.Second

// turnOffAndOn lets an operator turn a setting off now and then, and on again.
func (p *theatre) turnOffAndOn(open context.Context) {
	for n := 0; ; n++ {
		planned := p.plan.Switch(n)
		if !worker.Sleep(open, planned.Gap) {
			return
		}
		p.calm.RLock()
		s := history.Switch{Setting: planned.Setting}
		s.Asked, s.Off = p.shops.Turn(open, planned.Setting, false)
		worker.Sleep(open, planned.For)
		ctx, cancel := context.WithTimeout(p.t.Context(), backOnWithin) // also when open ended: it may have been turned off all the same
		s.AskedOn, s.On = p.shops.Turn(ctx, planned.Setting, true)
		cancel()
		p.calm.RUnlock()
		if s.On.IsZero() {
			p.violate("%s could not be turned on again within %s", planned.Setting, backOnWithin)
		}
		if !s.Off.IsZero() {
			p.history.Switches = append(p.history.Switches, s)
		}
	}
}

func (p *theatre) noteServer(d history.Disturbance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, d)
}

func (p *theatre) violate(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcome.violated = append(p.outcome.violated, fmt.Sprintf(format, args...))
}

// collect gathers what the run has left behind; the product has ended then.
func (p *theatre) collect() {
	for _, name := range p.fleet.Close() {
		p.violate("%s did not end by SIGTERM in time", name)
	}
	p.erp.Close()
	h := p.history
	h.Publications, h.Requests, h.Calls = p.shops.Publications(), p.shops.Requests(), p.erp.Calls()
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
