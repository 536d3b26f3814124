package crash

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/infra/crash/stage"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The brokers.
const (
	apache   = "apache"
	cluster  = "cluster" // three brokers of it
	embedded = "embedded"
)

var (
	killsFlag     = flag.Int("crash.kills", 3, "how many times something is killed with kill -9")
	failoversFlag = flag.Int("crash.failovers", 3, "how many times something is killed in TestFailovers; a third of that are failovers")
	seedFlag      = flag.Uint64("crash.seed", 0, "the seed of the plan; 0: a new one, which prints")
	brokerFlag    = flag.String("crash.broker", "", "apache, cluster (three brokers of it) or embedded; empty: Apache Kafka where java and mvn are there; TestCrash of ten kills or more takes a cluster")
	rateFlag      = flag.Float64("crash.rate", 20, "orders per second")
	keepFlag      = flag.Bool("crash.keep", false, "keep history and logs of a run without a violation too")
	binaryFlag    = flag.String("crash.binary", "", "the product's binary; empty: built from this repository")
	forgetsFlag   = flag.Bool("crash.forgets", false, "the ERP knows no idempotency keys, and the product asks it about orders in doubt (ERP_LOOKUP)")
	outageFlag    = flag.Duration("crash.outage", 0, "how long every third outage of the ERP is, like 3m; 0: seconds, as the others")
	profileFlag   = flag.String("crash.profile", "", "what is disturbed: syncer=3,broker=1,term=0,stop=0,starve=0,together=0; empty: everything")
)

// folders is where the runs' folders are made: they stay after a violation, other temporary files go with the process.
var folders string

func TestMain(m *testing.M) {
	stage.RunEmbeddedIfAsked()
	folders = os.TempDir()
	if err := testkit.SweepTempDir(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestCrash kills processes, the broker and Postgres by a plan, while shops publish by all doors and the ERP fails in every
// way. Then it checks the promises by what was requested, what the ERP received, and what topics and tables contain.
//
//	go test ./infra/crash -run TestCrash -v -crash.kills 100 -crash.seed 7
func TestCrash(t *testing.T) {
	profile, err := nemesis.ParseProfile(*profileFlag)
	if err != nil {
		t.Fatal("-crash.profile: ", err)
	}
	o := options{
		seed: *seedFlag, kills: *killsFlag, broker: *brokerFlag, rate: *rateFlag, binary: *binaryFlag, profile: profile, quiet: 2 * time.Minute,
		forgets: *forgetsFlag, outage: *outageFlag,
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	if o.broker == "" {
		o.broker = broker()
		if o.broker == apache && o.kills >= manyKills {
			o.broker = cluster
		}
	}
	began := time.Now()
	got := run(t, o)
	keep(t, got)
	line := fmt.Sprintf("crash: %s, %d kills, seed %d, %s: %s", got.history.Broker, o.kills, o.seed, time.Since(began).Round(time.Second), got.summary())
	if err := testkit.Report(line); err != nil {
		t.Error(err)
	}
}

// manyKills are worth the start of three brokers.
const manyKills = 10

// broker is one Apache Kafka where java and mvn are there.
func broker() string {
	if testkit.HasApache() {
		return apache
	}
	return embedded
}

// keep logs what was found, and keeps the folder when something is wrong.
func keep(t *testing.T, o outcome) {
	t.Helper()
	for _, line := range o.notes {
		t.Log(line)
	}
	t.Logf("%s", o.report.String())
	wrong := len(o.violations) > 0 || len(o.report.Violations) > 0
	for _, line := range o.violations {
		t.Error(line)
	}
	if len(o.report.Violations) > 0 {
		t.Errorf("%d violations; seed %d", len(o.report.Violations), o.history.Seed)
	}
	*o.keep = wrong || t.Failed() || *keepFlag
	if !*o.keep {
		return
	}
	if err := o.history.Save(filepath.Join(o.folder, "history.json")); err != nil {
		t.Error(err)
	}
	t.Logf("history and logs are in %s", o.folder)
}

// summary returns a run in one line.
func (o outcome) summary() string {
	h, booked, ended := o.history, 0, 0
	for _, c := range h.Calls {
		if c.Booked {
			booked++
		}
	}
	for _, e := range h.Exits {
		if e.Requested == "" && e.Ready {
			ended++
		}
	}
	return fmt.Sprintf("%d events, %d requests, %d ERP calls, %d bookings, %d records, %d disturbances, %d ready processes ended by themselves, %d violations",
		len(h.Publications), len(h.Requests), len(h.Calls), booked, len(h.Records), len(h.Disturbances), ended, len(o.violations)+len(o.report.Violations))
}
