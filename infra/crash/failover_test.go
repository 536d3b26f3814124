package crash

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	worker "github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// failoverProfile is what TestFailovers disturbs unless -crash.profile says otherwise. One kill of three is a failover.
const failoverProfile = "failover=1,relay=1,syncer=1,term=0,stop=0"

// TestFailovers lets Postgres fail over to a standby that lags, under load and with kills of processes, each time to a new
// standby. An operator repairs, and shops publish again what they published since shortly before. Then every promise is
// checked. Two things are excused: requests of the lost time, which nobody repeats, and warnings of missing gates before the
// repair.
//
//	go test ./infra/crash -run TestFailovers -v -crash.failovers 12 -crash.seed 7 -crash.profile failover=1,relay=1,ingest=1
func TestFailovers(t *testing.T) {
	profile, err := nemesis.ParseProfile(cmp.Or(*profileFlag, failoverProfile))
	if err != nil {
		t.Fatal(err)
	}
	o := options{
		seed: *seedFlag, kills: *failoversFlag, broker: *brokerFlag, rate: *rateFlag, binary: *binaryFlag, profile: profile, quiet: 2 * time.Minute,
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	if o.broker == "" {
		o.broker = broker()
	}
	began := time.Now()
	got := run(t, o)
	keep(t, got)
	line := fmt.Sprintf("failovers: %s, %d of %d kills, seed %d, %s: %s", got.history.Broker, len(got.history.Failovers), o.kills, o.seed,
		time.Since(began).Round(time.Second), got.summary())
	if err := testkit.Report(line); err != nil {
		t.Error(err)
	}
}

// repairTimeout is how long a repair may take, with the relay's restarts.
const repairTimeout = 30 * time.Second

// failOver lets the standby lag, kills the primary and promotes the standby. Shops publish again before and after the
// repair.
func (p *harness) failOver(s nemesis.Step) error {
	ctx := p.t.Context()
	lost := history.Failover{From: time.Now().UTC()}
	if err := p.postgres.PauseReplication(ctx); err != nil {
		return err
	}
	worker.Sleep(ctx, s.Downtime)
	d := history.Disturbance{Kind: "fail-over", Target: nemesis.Postgres, At: time.Now().UTC()}
	if err := p.postgres.FailOver(ctx); err != nil {
		return err
	}
	d.Restarted = time.Now().UTC()
	republished := p.shops.Republish(ctx, lost.From.Add(-republishMargin))
	p.repair(ctx)
	republished += p.shops.Republish(ctx, lost.From.Add(-republishMargin))
	d.Ready, lost.To = time.Now().UTC(), time.Now().UTC()
	p.addDisturbance(d)
	p.mu.Lock()
	p.history.Failovers = append(p.history.Failovers, lost)
	p.mu.Unlock()
	p.logPhase(fmt.Sprintf("Postgres has failed over; shops published %d events again", republished))
	return p.postgres.StartStandby(ctx)
}

// republishMargin is how much earlier than the pause of the replication shops begin: a standby is always a little behind.
const republishMargin = 3 * time.Second

// repair is the operator's part: it repeats the command until it succeeds.
func (p *harness) repair(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	for {
		cmd := exec.CommandContext(ctx, p.o.binary, "repair", "--yes")
		cmd.Env = append(os.Environ(), p.env...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			return
		}
		if !worker.Sleep(ctx, 500*time.Millisecond) {
			p.violate("database and Kafka were not repaired within %s: %s %s", repairTimeout, err, out)
			return
		}
	}
}
