package crash

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/infra/crash/checker"
	"github.com/erpconnector/erpconnector/infra/crash/collect"
	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/infra/crash/stage"
	worker "github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// restartTimeout is how long a step waits for a target that an earlier step has ended.
const restartTimeout = 30 * time.Second

// disturb carries out the plan, and returns once everything was started again. It ends early when the harness itself fails.
func (p *harness) disturb() {
	ctx, giveUp := context.WithCancel(p.t.Context())
	defer giveUp()
	var processSteps, servers sync.WaitGroup
	back := map[string]chan struct{}{}
	for _, s := range p.plan.Steps {
		if !s.Together {
			servers.Wait()
		}
		if !worker.Sleep(ctx, s.Gap) {
			break
		}
		if s.Target != nemesis.Broker && s.Target != nemesis.Postgres && s.Target != nemesis.Failover {
			p.awaitUp(s.Target)
			processSteps.Go(func() { p.disturbProcess(s) })
			continue
		}
		server, disturb := s.Target, p.killServer
		if s.Target == nemesis.Failover {
			server, disturb = nemesis.Postgres, p.failOver
		}
		if back[server] != nil {
			<-back[server]
		}
		done := make(chan struct{})
		back[server] = done
		servers.Go(func() {
			defer close(done)
			if err := disturb(s); err != nil {
				p.t.Errorf("the harness itself: killing %s and starting it again: %s", s.Target, err)
				giveUp()
			}
		})
	}
	servers.Wait()
	processSteps.Wait()
}

// awaitUp waits until the process runs. A process that is not started again is a violation.
func (p *harness) awaitUp(name string) {
	ctx, cancel := context.WithTimeout(p.t.Context(), restartTimeout)
	defer cancel()
	p.fleet.AwaitUp(ctx, name)
	if ctx.Err() != nil {
		p.violate("%s was not started again within %s", name, restartTimeout)
	}
}

// disturbProcess carries out a step on a process.
func (p *harness) disturbProcess(s nemesis.Step) {
	ctx := p.t.Context()
	switch s.Action {
	case nemesis.Kill:
		p.fleet.Kill(s.Target, s.Downtime)
	case nemesis.Term:
		if p.fleet.Term(ctx, s.Target, s.Downtime) {
			p.violate("%s did not end by SIGTERM in time; its log has its goroutines", s.Target)
		}
	case nemesis.Stop:
		if err := p.fleet.Halt(ctx, s.Target, s.Downtime, s.ClockStep); err != nil {
			p.t.Errorf("the harness itself: stopping %s: %s", s.Target, err)
		}
	case nemesis.Starve: // of brokers
	}
}

// killServer kills the broker or Postgres, and starts it again.
func (p *harness) killServer(s nemesis.Step) error {
	if s.Action == nemesis.Starve {
		p.undisturbed.Lock()
		defer p.undisturbed.Unlock()
	}
	d := history.Disturbance{Kind: string(s.Action), Target: s.Target, At: time.Now().UTC()}
	restart := p.broker.Restart
	if s.Target == nemesis.Postgres {
		p.postgres.Kill()
		restart = func() error { return p.postgres.Restart(p.t.Context()) }
	} else if s.Action == nemesis.Starve {
		p.cluster.Starve()
	} else {
		d.Kind = string(stage.KillAction(p.broker))
		p.broker.Kill()
	}
	worker.Sleep(p.t.Context(), s.Downtime)
	if s.Action == nemesis.Starve {
		p.awaitOutcomes()
	}
	d.Restarted = time.Now().UTC()
	err := restart()
	d.Ready = time.Now().UTC()
	p.addDisturbance(d)
	return err
}

// lately is how long ago the latest outcome of a partition may be that goes on.
const lately = 2 * time.Second

// awaitOutcomes waits until the orders of every partition go on that takes records. Those that wait for the other partition
// never do: then it gives up, and the checker sees it.
func (p *harness) awaitOutcomes() {
	ctx, cancel := context.WithTimeout(p.t.Context(), testkit.Patience)
	defer cancel()
	for partition := int32(0); partition < partitions; {
		switch {
		case partition == p.history.ThinPartition || p.watch.SinceOutcome(partition) < lately:
			partition++
		case worker.Sleep(ctx, 100*time.Millisecond):
			partition = 0
		default:
			return
		}
	}
}

// quietPeriod is how long no record may come, while nothing is in progress in the table, before a run is over.
const quietPeriod = 5 * time.Second

// awaitQuiet waits until all orders have come to an end. It runs the cron for those that wait for it. Once no further one has ended
// within the limit the run continues, and the checker finds what has no end.
func (p *harness) awaitQuiet() {
	ctx := p.t.Context()
	least, since, began := math.MaxInt, time.Now(), time.Now()
	for {
		n := p.underWay(ctx)
		switch {
		case n == 0 && p.watch.SinceLastRecord() >= quietPeriod && time.Since(began) >= quietPeriod:
			return
		case n > 0 && n < least:
			least, since = n, time.Now()
		case time.Since(since) > p.o.quiet:
			p.violate("it is not quiet %s after the last disturbance, and none has ended for %s: %d orders and events are under way",
				time.Since(began).Round(time.Second), p.o.quiet, n)
			return
		}
		p.runCron(ctx)
		worker.Sleep(ctx, 200*time.Millisecond)
	}
}

// awaitTold waits until somebody was told of all failed orders, and no notice waits. Once it takes longer than the limit the run continues,
// and the checker finds what was not told.
func (p *harness) awaitTold() {
	ctx, cancel := context.WithTimeout(p.t.Context(), p.o.quiet)
	defer cancel()
	for p.untold(ctx) != 0 {
		if !worker.Sleep(ctx, 200*time.Millisecond) {
			p.violate("not all alerts are told %s after the last order has ended", p.o.quiet)
			return
		}
	}
}

// untold counts the notices that wait, and the groups of failed orders without an alert.
func (p *harness) untold(ctx context.Context) int {
	return p.count(ctx, `
		SELECT (SELECT count(*) FROM alert_delivery WHERE state = 'pending') + (SELECT count(*) FROM (`+collect.FailedGroups+`) g WHERE NOT EXISTS (
			SELECT FROM alert a WHERE a.kind = 'orders_failed' AND a.subject IN (g.group_id::text, 'others') AND a.resolved_at IS NULL))`)
}

// runCron releases the orders that wait for the cron.
func (p *harness) runCron(ctx context.Context) {
	if p.count(ctx, `SELECT count(*) FROM erp_sync_gate WHERE held_by = 'cron'`) > 0 {
		p.command("cron", "run")
	}
}

// underWay counts the orders without an end, and the events that were not accepted yet.
func (p *harness) underWay(ctx context.Context) int {
	return p.count(ctx, `
		SELECT (SELECT count(*) FROM vendor_erp_sync WHERE status NOT IN ('success', 'failed')) + (SELECT count(*) FROM commerce_outbox)`)
}

// count returns -1 when Postgres does not answer.
func (p *harness) count(ctx context.Context, query string) (n int) {
	conn, err := pgx.Connect(ctx, p.postgres.URL())
	if err != nil {
		return -1
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := conn.QueryRow(ctx, query).Scan(&n); err != nil {
		return -1
	}
	return n
}

// serverAftermath is for how long after its return a server's absence explains the end of a process.
const serverAftermath = 20 * time.Second

// exits returns the ends of processes, with the servers that were down.
func (p *harness) exits() []history.Exit {
	exits := p.fleet.Exits()
	for i, e := range exits {
		var down []string
		for _, d := range p.servers {
			if d.Target != "erp" && e.At.After(d.At) && e.At.Before(d.Ready.Add(serverAftermath)) {
				down = append(down, d.Target)
			}
		}
		exits[i].ServersDown = strings.Join(down, " ")
	}
	return exits
}

// judge looks at the ends of processes, and lets the checker judge everything else. A process that finds no server at its
// start ends, as it must: those are only counted.
func (p *harness) judge() {
	failedStarts := 0
	for _, e := range p.history.Exits {
		at := e.At.Format("15:04:05.000")
		switch {
		case e.Requested == "" && e.ServersDown != "" && !e.Ready:
			failedStarts++
		case e.Requested == string(nemesis.Term) && e.Ready && (e.Code != 0 || e.Signal != ""):
			p.noteOrViolate(e.ServersDown == "", "%s %s ended by SIGTERM with code %d %s (servers down: %s)", at, e.Target, e.Code, e.Signal, e.ServersDown)
		case e.Requested == "":
			p.noteOrViolate(e.Ready && e.ServersDown == "", "%s %s ended by itself with code %d %s %s (servers down: %s; it had been ready: %t)", at, e.Target, e.Code, e.Signal, e.Reason, e.ServersDown, e.Ready)
		}
	}
	p.noteOrViolate(false, "%d starts failed, as a server was down", failedStarts)
	p.outcome.history = p.history
	p.outcome.report = checker.Check(p.history)
}

// noteOrViolate records a violation, or a note for a person.
func (p *harness) noteOrViolate(violation bool, format string, args ...any) {
	if violation {
		p.violate(format, args...)
		return
	}
	p.outcome.notes = append(p.outcome.notes, fmt.Sprintf(format, args...))
}
