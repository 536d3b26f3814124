package regulator

import (
	"context"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/run"
)

// follow reads the shared state until ctx ends.
func (r *Regulator) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.Store.Follow(ctx, pace.Follower{Member: r.member, Tell: r.tell, Deliver: r.deliver, Poll: r.poll})
		if ctx.Err() == nil {
			r.postgres.Report(r.Log, err)
		}
		run.Sleep(ctx, pace.PollInterval)
	}
}

// member is what the others are told of this process.
func (r *Regulator) member() domain.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = r.Now()
	return domain.Member{ID: r.ID, InFlight: r.inFlight, Roster: r.roster}
}

// idleAfter is how long no caller must have come before this process reads less often.
const idleAfter = 10 * time.Second

// poll is when to read again. A process that nobody asks for a permit reads less often, as long as no other process waits for it: nobody
// takes turns, and the ERP works.
func (r *Regulator) poll() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := r.state.Limit.Current(r.Settings.Current().LimitPolicy())
	busy := len(r.waiters) > 0 || r.inFlight > 0 || len(r.ops)+len(r.writing) > 0 || r.Now().Sub(r.came) < idleAfter
	if r.idle = !busy && r.state.Breaker.Is(domain.BreakerClosed) && limit >= len(r.members); r.idle {
		return pace.IdleInterval
	}
	return pace.PollInterval
}

func (r *Regulator) deliver(v pace.View) {
	r.postgres.Report(r.Log, nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	r.read = r.asked
	r.compareClocks(v.At, now)
	r.members = v.Members
	if roster := pace.Roster(v.Members); r.roster != roster {
		r.roster = roster
		signal(r.tell)
	}
	// A database that was restored, or a standby that took over, may have an older version than was seen before.
	if v.Version >= r.base.Version || r.asked.After(r.written) {
		r.know(v.State)
	}
	r.followSettings()
	r.beginProbe()
	if r.wantsProbe() {
		signal(r.write)
	}
	r.grant()
}

// compareClocks finds what the shared clock shows. A reading that took longer tells less, so it counts only when none was quick for
// a while.
func (r *Regulator) compareClocks(shared, now time.Time) {
	took := now.Sub(r.asked)
	if r.quickest += r.quickest / 16; r.quickest == 0 || took <= r.quickest {
		r.quickest, r.own, r.shared = took, r.asked.Add(took/2), shared
	}
}

// address is where the ERP is called, and how. Whoever changes it mends what the breaker has opened for.
type address struct {
	url, healthPath string
	timeout         time.Duration
}

// followSettings brings the state to the settings in force.
func (r *Regulator) followSettings() {
	settings, m := r.Settings.Current(), r.moment()
	made := pace.Settings{MaxInFlight: settings.MaxInFlight, Rate: settings.CallRate()}
	// Processes may have other values in their environment. So each makes its own known once, and does not undo those of others again.
	if r.made != made {
		r.made, r.slots = made, nil
		r.judge(func(s pace.State) pace.State { return s.With(made, m.Now) })
	}
	called := address{settings.ErpBaseURL, settings.HealthPath, settings.ErpTimeout}
	if r.address != (address{}) && r.address != called {
		r.judge(func(s pace.State) pace.State {
			s.Breaker, _ = s.Breaker.ProbeNow(m)
			return s
		})
	}
	r.address = called
	policy := settings.BreakerPolicy()
	if _, off := r.state.Breaker.TurnOff(policy, m); off {
		r.judge(func(s pace.State) pace.State {
			s.Breaker, _ = s.Breaker.TurnOff(policy, m)
			return s
		})
	}
}
