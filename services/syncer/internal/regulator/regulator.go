// Package regulator says when a process may call the ERP. All processes go by one state, which shared/pace keeps: the breaker, the wait
// that the ERP asked for, the number of calls at once, the rate. Each regulator holds its process to its share.
//
// What a call shows changes the state. A regulator makes the change at once for its own process, and then writes it; so the process that
// finds out holds first, and the others when they read of it.
//
// Read on in permit.go (what a caller sees), grant.go (who may call), write.go and follow.go (the shared state), probe.go.
package regulator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Store keeps the state that all processes share; it is a pace.Store, or a test's.
type Store interface {
	Change(ctx context.Context, from pace.State, ops ...pace.Op) (after pace.State, events []domain.BreakerEvent, err error)
	Follow(ctx context.Context, f pace.Follower) error
	Leave(ctx context.Context, id string) error
}

// Params describes a Regulator.
type Params struct {
	ID       string // of the process; no other ever has it, not even after a restart
	Store    Store
	Settings setting.Reader
	Probe    func(ctx context.Context) domain.Answer // asks the ERP's health endpoint
	Log      *slog.Logger
	Now      func() time.Time
	Random   func() float64 // in [0,1)
}

// Regulator is that of one process. It is used for one Run.
type Regulator struct {
	Params

	postgres run.Outage
	wake     chan struct{} // look again at who may call
	tell     chan struct{} // tell the others
	changed  chan struct{} // there are changes to write, and nobody waits for them
	write    chan struct{} // write the changes now

	mu         sync.Mutex
	base       pace.State    // as it was read or written last
	writing    []change      // being written
	ops        []change      // made here since
	state      pace.State    // base with both
	members    []pace.Member // as they were read last, this process among them
	roster     int64         // names them
	asked      time.Time     // when the latest reading began, by the own clock
	read       time.Time     // when the reading began that gave what is known; zero: nothing is known
	written    time.Time     // when the latest change was written, by the own clock
	made       pace.Settings // of this process
	address    address       // that this process calls, and how
	quickest   time.Duration // the time of the reading that compared the clocks
	own        time.Time     // by the own clock, when the shared one showed shared
	shared     time.Time
	waiters    []*waiter     // in their order of arrival
	came       time.Time     // when the last of them came, by the own clock
	idle       bool          // it reads less often
	way        time.Duration // the longest of late from a permit to its call
	inFlight   int           // permits
	calls      domain.CallRecord
	takesTurns bool        // there are fewer calls than members
	slots      []time.Time // reserved starts by the rate, by the shared clock
	short      bool        // there are fewer slots than waiters want
	calendar   calendar
	probing    probing
}

// New prepares a Regulator; Run connects it.
func New(p Params) *Regulator {
	return &Regulator{
		Params: p, wake: make(chan struct{}, 1), tell: make(chan struct{}, 1), changed: make(chan struct{}, 1), write: make(chan struct{}, 1),
		came: p.Now(),
		postgres: run.Outage{
			Began: "the ERP's pace cannot be read; no call goes out until Postgres answers", Ended: "the ERP's pace is read again",
		},
	}
}

// Run works until ctx ends. End ctx once no permit is held any more: then the other processes get this one's share.
func (r *Regulator) Run(ctx context.Context) {
	r.probing.ctx = ctx
	var workers sync.WaitGroup
	workers.Go(func() { r.follow(ctx) })
	workers.Go(func() { r.writeChanges(ctx) })
	workers.Go(func() { r.keepTime(ctx) })
	workers.Wait()
	r.probing.health.Wait()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	r.giveProbeBack()
	if err := errors.Join(r.flush(ending), r.Store.Leave(ending, r.ID)); err != nil {
		r.Log.Debug("the other processes wait until this one is not seen any more", "error", err)
	}
}

const leaveTimeout = time.Second

// now is the time by the clock that all processes share. It counts on from when the clocks were compared, so an own clock that somebody
// sets does not end a wait early.
func (r *Regulator) now() time.Time {
	if r.own.IsZero() {
		return r.Now()
	}
	return r.shared.Add(r.Now().Sub(r.own))
}

func (r *Regulator) moment() domain.Moment {
	return domain.Moment{Now: r.now(), By: r.ID, Random: r.Random()}
}

// signal asks the reader of a channel to act, unless it is asked already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// change is a change of the state that this process makes.
type change struct {
	op   pace.Op
	once bool // made twice it would be another one, as it counts
}

// judge makes a change: at once for this process, and for all as soon as it is written.
func (r *Regulator) judge(op pace.Op) {
	r.ops = append(r.ops, change{op: op})
	r.state = op(r.state)
	signal(r.write)
}

// count makes a change that counts. Unless it leads to another state of the breaker, nobody waits for it.
func (r *Regulator) count(op pace.Op) {
	epoch, limit, learnt := r.state.Breaker.Epoch, r.state.Limit.Value, r.state.Learnt
	r.state = op(r.state)
	leads := r.state.Breaker.Epoch != epoch
	r.ops = append(r.ops, change{op: op, once: !leads})
	signal(r.changed)
	if leads || r.state.Limit.Value < limit || r.state.Learnt != learnt || r.state.Breaker.Is(domain.BreakerClosing) {
		signal(r.write)
	}
}

// know takes what was read or written.
func (r *Regulator) know(s pace.State) {
	r.logNews(r.base, s)
	r.base = s
	for _, c := range r.writing {
		if !c.once { // what was read may have it already
			s = c.op(s)
		}
	}
	for _, c := range r.ops {
		s = c.op(s)
	}
	r.state = s
}

// logNews writes a line when calls stop, and when all of them go out again.
func (r *Regulator) logNews(before, after pace.State) {
	was, is := before.Breaker.Is(domain.BreakerClosed), after.Breaker.Is(domain.BreakerClosed)
	switch {
	case was && !is:
		r.Log.Warn("calls to the ERP stop until it works again", "reason", after.Breaker.Why, "since", after.Breaker.OutSince, "by", after.Breaker.By)
	case !was && is:
		r.Log.Info("all calls to the ERP go out again", "reason", after.Breaker.Why, "stopped_since", before.Breaker.OutSince, "by", after.Breaker.By)
	}
	if after.Hold.Until.After(before.Hold.Until) && !before.Hold.Holds(r.now()) && after.Hold.Holds(r.now()) {
		r.Log.Info("calls to the ERP wait", "reason", after.Hold.Why, "until", after.Hold.Until)
	}
}
