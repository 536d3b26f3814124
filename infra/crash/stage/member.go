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
	"github.com/erpconnector/erpconnector/infra/crash/plan"
	"github.com/erpconnector/erpconnector/shared/run"
)

// member is one place in the fleet: a process of a service, and the one that follows it.
type member struct {
	fleet         *Fleet
	name, service string // syncer-1, syncer
	addr          string
	log           *os.File

	mu      sync.Mutex // guards what follows
	process *process   // nil: none runs
	ready   bool
	halted  bool // by SIGSTOP
	told    plan.What
	away    time.Duration        // of the next start
	last    *history.Disturbance // what Back and Ready are still told of; nil: nothing
}

// restartAfter is how soon a process that ended by itself is started again.
const restartAfter = time.Second

// supervise starts the process again and again, until ctx ends.
func (m *member) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		p, err := m.start()
		if err != nil {
			m.fleet.exit(history.Exit{Target: m.name, Service: m.service, At: time.Now().UTC(), Code: -1, Reason: err.Error()})
		} else {
			watching, stop := context.WithCancel(ctx)
			go m.awaitReady(watching, p)
			<-p.done
			stop()
			m.ended(p)
		}
		m.mu.Lock()
		away := m.away
		m.away = restartAfter
		m.mu.Unlock()
		run.Sleep(ctx, away)
	}
}

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
	m.process, m.ready, m.halted, m.told = p, false, false, ""
	if m.last != nil {
		m.last.Back = time.Now().UTC()
	}
	_, _ = fmt.Fprintf(m.log, "--- %s started as process %d at %s\n", m.name, p.cmd.Process.Pid, time.Now().UTC().Format(time.RFC3339Nano))
	return p, nil
}

// awaitReady notes when the process is ready.
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

// ended notes how the process ended.
func (m *member) ended(p *process) {
	code, signal := p.end()
	m.mu.Lock()
	e := history.Exit{
		Target: m.name, Service: m.service, At: time.Now().UTC(), Code: code, Signal: signal, Told: string(m.told), Ready: m.ready,
	}
	m.process, m.ready = nil, false
	_, _ = fmt.Fprintf(m.log, "--- %s ended at %s: code %d %s, told to %q\n", m.name, e.At.Format(time.RFC3339Nano), code, signal, m.told)
	m.mu.Unlock()
	m.fleet.exit(e)
}

// up is the process, when one runs that nobody told to end.
func (m *member) up() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.halted || m.told != "" {
		return nil
	}
	return m.process
}

// tell does something to the running process, and notes it. It returns nil when none runs.
func (m *member) tell(what plan.What, away time.Duration) (*process, *history.Disturbance) {
	others := m.fleet.others(m)
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.process
	if p == nil || m.told != "" {
		return nil, nil
	}
	d := &history.Disturbance{What: string(what), Target: m.name, Service: m.service, At: time.Now().UTC(), Others: others}
	switch what {
	case plan.Kill:
		m.told, m.away, m.last = what, away, d
		p.signal(syscall.SIGKILL)
	case plan.Term:
		m.told, m.away, m.last = what, away, d
		p.signal(syscall.SIGTERM)
	case plan.Stop:
		m.halted = true
		p.halt()
	case plan.Starve: // of brokers
	}
	m.fleet.note(d)
	return p, d
}

// clock is the file of the process's clock.
func (m *member) clock() string { return filepath.Join(m.fleet.cfg.Logs, m.name+".clock") }

func (m *member) putBack(d *history.Disturbance, by time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.Set = by
	return clock.Set(m.clock(), -by)
}

// setRight ends what putBack began. The next process may run by then, whose clock is right from the start.
func (m *member) setRight(d *history.Disturbance) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.Right = time.Now().UTC()
	return clock.Set(m.clock(), 0)
}

// resume lets a halted process go on.
func (m *member) resume(p *process, d *history.Disturbance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.goOn()
	d.Back, d.Ready = time.Now().UTC(), time.Now().UTC()
	if m.process == p {
		m.halted = false
	}
}
