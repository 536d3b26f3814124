package stage

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/run"
)

// FleetConfig says which program a fleet runs, and how.
type FleetConfig struct {
	Binary    string
	Env       []string
	Processes map[string]int // of each service
	Logs      string         // folder of the processes' logs
}

// Fleet is the product: several processes of each service. Each is started again some time after it ended.
type Fleet struct {
	cfg         FleetConfig
	members     []*member
	stop        context.CancelFunc
	supervising sync.WaitGroup

	mu           sync.Mutex // guards what follows
	disturbances []*history.Disturbance
	exits        []history.Exit
}

// stopTimeout is longer than the product's own deadline of 15 s, for a busy machine.
const stopTimeout = 25 * time.Second

// NewFleet gives each process its address and its log. It starts nothing.
func NewFleet(cfg FleetConfig) (*Fleet, error) {
	f := &Fleet{cfg: cfg}
	for _, service := range slices.Sorted(maps.Keys(cfg.Processes)) {
		for i := range cfg.Processes[service] {
			name := fmt.Sprintf("%s-%d", service, i)
			addr, err := FreeAddr()
			if err != nil {
				return nil, err
			}
			log, err := os.OpenFile(filepath.Join(cfg.Logs, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				return nil, err
			}
			f.members = append(f.members, &member{fleet: f, name: name, service: service, addr: addr, log: log})
		}
	}
	return f, nil
}

// Start starts all processes, and each again after its end, until Close.
func (f *Fleet) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	for _, m := range f.members {
		f.supervising.Go(func() { m.supervise(ctx) })
	}
}

// Bases returns the base URLs of a service's processes.
func (f *Fleet) Bases(service string) (urls []string) {
	for _, m := range f.members {
		if m.service == service {
			urls = append(urls, "http://"+m.addr+"/rest/V1/erpconnector")
		}
	}
	return urls
}

// AwaitReady waits until every process is ready. Its error names those that are not when ctx ends.
func (f *Fleet) AwaitReady(ctx context.Context) error {
	for {
		var left []string
		for _, m := range f.members {
			m.mu.Lock()
			if !m.ready || m.halted {
				left = append(left, m.name)
			}
			m.mu.Unlock()
		}
		if len(left) == 0 {
			return nil
		}
		if !run.Sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("not ready: %v; their logs are in %s", left, f.cfg.Logs)
		}
	}
}

// AwaitUp waits until the process runs and nothing is being done to it, or until ctx ends.
func (f *Fleet) AwaitUp(ctx context.Context, name string) {
	m := f.member(name)
	for m.running() == nil && run.Sleep(ctx, 20*time.Millisecond) {
	}
}

// Kill ends a process by SIGKILL. It is started again after the downtime.
func (f *Fleet) Kill(name string, away time.Duration) { f.member(name).disturb(nemesis.Kill, away) }

// Term ends a process by SIGTERM. It kills a process that does not end in time, and returns true then.
func (f *Fleet) Term(ctx context.Context, name string, away time.Duration) (hung bool) {
	p, _ := f.member(name).disturb(nemesis.Term, away)
	if p == nil {
		return false
	}
	return !awaitEnd(ctx, p)
}

// clockRestoreDelay is how long a process continues with the clock that was set back.
const clockRestoreDelay = 5 * time.Second

// Halt stops a process by SIGSTOP for that long. Its clock may be set back in that time; it is set right some seconds after
// the process continues.
func (f *Fleet) Halt(ctx context.Context, name string, away, back time.Duration) error {
	m := f.member(name)
	p, d := m.disturb(nemesis.Stop, away)
	if p == nil {
		return nil
	}
	if back > 0 {
		if err := m.setClockBack(d, back); err != nil {
			return err
		}
	}
	run.Sleep(ctx, away)
	m.resume(p, d)
	if back == 0 {
		return nil
	}
	run.Sleep(ctx, clockRestoreDelay)
	return m.restoreClock(d)
}

// awaitEnd waits for the end of a process that got SIGTERM. It kills one that takes too long, and returns false. SIGABRT
// comes first, as the runtime then logs what every goroutine waits for.
func awaitEnd(ctx context.Context, p *process) bool {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	select {
	case <-p.done:
		return true
	case <-ctx.Done():
		p.signal(syscall.SIGABRT) // the runtime writes what every goroutine waits for
		select {
		case <-p.done:
		case <-time.After(time.Second):
			p.signal(syscall.SIGKILL)
		}
		return false
	}
}

// Close ends every process by SIGTERM and starts none again. It returns the names of those that had to be killed.
func (f *Fleet) Close() (hung []string) {
	f.stop()
	var mu sync.Mutex
	var closing sync.WaitGroup
	for _, m := range f.members {
		closing.Go(func() {
			m.mu.Lock()
			p := m.process
			if p != nil && m.requested == "" {
				m.requested = nemesis.Term
				p.signal(syscall.SIGTERM)
			}
			m.mu.Unlock()
			if p != nil && !awaitEnd(context.Background(), p) {
				mu.Lock()
				hung = append(hung, m.name)
				mu.Unlock()
			}
		})
	}
	closing.Wait()
	f.supervising.Wait()
	for _, m := range f.members {
		_ = m.log.Close()
	}
	return hung
}

// Disturbances returns those so far.
func (f *Fleet) Disturbances() (out []history.Disturbance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.disturbances {
		out = append(out, *d)
	}
	return out
}

// Exits returns the ends of processes so far.
func (f *Fleet) Exits() []history.Exit {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.exits)
}

// member returns the member with this name.
func (f *Fleet) member(name string) *member {
	return f.members[slices.IndexFunc(f.members, func(m *member) bool { return m.name == name })]
}

// survivors counts the other processes of the service that are ready. The checker bounds the take-over only when there are
// some.
func (f *Fleet) survivors(of *member) (n int) {
	for _, m := range f.members {
		if m != of && m.service == of.service {
			m.mu.Lock()
			if m.ready && !m.halted && m.requested == "" {
				n++
			}
			m.mu.Unlock()
		}
	}
	return n
}

func (f *Fleet) addDisturbance(d *history.Disturbance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disturbances = append(f.disturbances, d)
}

func (f *Fleet) addExit(e history.Exit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exits = append(f.exits, e)
}
