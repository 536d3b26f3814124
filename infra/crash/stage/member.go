package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/clock"
	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/run"
)

// member is one place in the fleet: a process of a service, and after its end the next one.
type member struct {
	fleet         *Fleet
	name, service string // syncer-1, syncer
	addr          string
	log           *os.File

	mu        sync.Mutex // guards what follows
	process   *process   // nil: none runs
	ready     bool
	halted    bool // by SIGSTOP
	requested nemesis.Action
	downtime  time.Duration        // until the next start
	last      *history.Disturbance // waits for its Restarted and Ready; nil: none does
}

// restartAfter is the downtime of a process that ended by itself.
const restartAfter = time.Second

// supervise starts the process again and again until ctx ends.
func (m *member) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		p, err := m.start()
		if err != nil {
			m.fleet.addExit(history.Exit{Target: m.name, Service: m.service, At: time.Now().UTC(), Code: -1, Reason: err.Error()})
		} else {
			watching, stop := context.WithCancel(ctx)
			go m.awaitReady(watching, p)
			<-p.done
			stop()
			m.ended(p)
		}
		m.mu.Lock()
		away := m.downtime
		m.downtime = restartAfter
		m.mu.Unlock()
		run.Sleep(ctx, away)
	}
}

// start starts the process with a clock of its own, which shows the right time at first.
func (m *member) start() (*process, error) {
	if err := clock.Create(m.clock()); err != nil {
		return nil, err
	}
	env := slices.Concat(m.fleet.cfg.Env, []string{"HTTP_ADDR=" + m.addr, clock.Variable + "=" + m.clock()})
	p, err := launch(m.log, env, m.fleet.cfg.Binary, "run", m.service)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", m.name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process, m.ready, m.halted, m.requested = p, false, false, ""
	if m.last != nil {
		m.last.Restarted = time.Now().UTC()
	}
	_, _ = fmt.Fprintf(m.log, "--- %s started as process %d at %s\n", m.name, p.cmd.Process.Pid, time.Now().UTC().Format(time.RFC3339Nano))
	return p, nil
}

// awaitReady records when the process is ready.
func (m *member) awaitReady(ctx context.Context, p *process) {
	for !healthy(ctx, m.addr) {
		if !run.Sleep(ctx, 50*time.Millisecond) {
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != p {
		return
	}
	m.ready = true
	if m.last != nil {
		m.last.Ready, m.last = time.Now().UTC(), nil
	}
}

// ended records how the process ended.
func (m *member) ended(p *process) {
	code, signal := p.exit()
	m.mu.Lock()
	e := history.Exit{
		Target: m.name, Service: m.service, At: time.Now().UTC(), Code: code, Signal: signal, Requested: string(m.requested), Ready: m.ready,
	}
	m.process, m.ready = nil, false
	_, _ = fmt.Fprintf(m.log, "--- %s ended at %s: code %d %s, requested %q\n", m.name, e.At.Format(time.RFC3339Nano), code, signal, m.requested)
	m.mu.Unlock()
	m.fleet.addExit(e)
}

// running returns the process if one runs that was not requested to end.
func (m *member) running() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.halted || m.requested != "" {
		return nil
	}
	return m.process
}

// disturb sends the signal of the action and records the disturbance. It returns nil when no process runs.
func (m *member) disturb(what nemesis.Action, away time.Duration) (*process, *history.Disturbance) {
	others := m.fleet.survivors(m)
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.process
	if p == nil || m.requested != "" {
		return nil, nil
	}
	d := &history.Disturbance{Kind: string(what), Target: m.name, Service: m.service, At: time.Now().UTC(), Survivors: others}
	switch what {
	case nemesis.Kill:
		m.requested, m.downtime, m.last = what, away, d
		p.signal(syscall.SIGKILL)
	case nemesis.Term:
		m.requested, m.downtime, m.last = what, away, d
		p.signal(syscall.SIGTERM)
	case nemesis.Stop:
		m.halted = true
		p.halt()
	case nemesis.Starve: // of brokers
	}
	m.fleet.addDisturbance(d)
	return p, d
}

// clock returns the file of the process's clock.
func (m *member) clock() string { return filepath.Join(m.fleet.cfg.Logs, m.name+".clock") }

// setClockBack sets the clock of the process back.
func (m *member) setClockBack(d *history.Disturbance, by time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.ClockStep = by
	return clock.Set(m.clock(), -by)
}

// restoreClock ends what setClockBack began. The next process may run by then; its clock is right from the start.
func (m *member) restoreClock(d *history.Disturbance) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.ClockRestored = time.Now().UTC()
	return clock.Set(m.clock(), 0)
}

// resume continues a stopped process.
func (m *member) resume(p *process, d *history.Disturbance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.goOn()
	d.Restarted, d.Ready = time.Now().UTC(), time.Now().UTC()
	if m.process == p {
		m.halted = false
	}
}
