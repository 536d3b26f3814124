package crash

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	worker "github.com/erpconnector/erpconnector/shared/run"
)

// settleTimeout is how long shops may wait for answers, and processes for being ready, after the last disturbance.
const settleTimeout = time.Minute

// play carries out the plan under load, and waits until all orders have come to an end.
func (p *harness) play() {
	publishCtx, closeShops := context.WithCancel(p.t.Context())
	runCtx, endShops := context.WithCancel(p.t.Context())
	defer endShops()
	var selling, outages sync.WaitGroup
	selling.Go(func() { p.shops.Run(publishCtx, runCtx) })
	outages.Go(func() { p.runOutages(publishCtx) })
	outages.Go(func() { p.runStorms(publishCtx) })
	if !p.o.profile.FailsOver() { // a failover may lose a change of a setting
		outages.Go(func() { p.toggleSettings(publishCtx) })
		outages.Go(func() { p.keepWindows(publishCtx) })
	}
	p.disturb()
	p.logPhase("the plan is carried out")
	closeShops()
	outages.Wait()
	ctx, cancel := context.WithTimeout(p.t.Context(), settleTimeout)
	defer cancel()
	if err := p.fleet.AwaitReady(ctx); err != nil {
		p.violate("%s after the last disturbance the product is %s", settleTimeout, err)
	}
	stop := context.AfterFunc(ctx, endShops)
	defer stop()
	selling.Wait()
	p.logPhase("every request was answered")
	p.awaitQuiet()
	p.pager.CalmDown()
	p.awaitTold()
}

// runOutages takes the ERP down from time to time.
func (p *harness) runOutages(publishCtx context.Context) {
	for n := 0; ; n++ {
		outage := p.plan.Outage(n)
		if p.o.outage > 0 && n%3 == 0 {
			outage.Duration = p.o.outage
		}
		if !worker.Sleep(publishCtx, outage.Gap) {
			return
		}
		p.undisturbed.RLock()
		d := history.Disturbance{Kind: "down", Target: "erp", At: time.Now().UTC()}
		p.erp.Down()
		worker.Sleep(publishCtx, outage.Duration)
		if err := p.erp.Up(); err != nil {
			p.violate("%s", err)
		}
		d.Restarted, d.Ready = time.Now().UTC(), time.Now().UTC()
		p.undisturbed.RUnlock()
		p.addDisturbance(d)
	}
}

// runStorms lets the ERP turn all calls away from time to time.
func (p *harness) runStorms(publishCtx context.Context) {
	for n := 0; ; n++ {
		storm := p.plan.Storm(n)
		if !worker.Sleep(publishCtx, storm.Gap) {
			return
		}
		p.undisturbed.RLock()
		d := history.Disturbance{Kind: "storm", Target: "erp", At: time.Now().UTC()}
		p.erp.SetStorm(&storm)
		worker.Sleep(publishCtx, storm.Duration)
		p.erp.SetStorm(nil)
		d.Restarted, d.Ready = time.Now().UTC(), time.Now().UTC()
		p.undisturbed.RUnlock()
		p.addDisturbance(d)
	}
}

// keepWindows lets an operator tell of the ERP's maintenance windows, and that there are none any more.
func (p *harness) keepWindows(publishCtx context.Context) {
	for n := 0; ; n++ {
		planned := p.plan.Window(n)
		if !worker.Sleep(publishCtx, planned.Gap) {
			return
		}
		minute := time.Now().UTC().Truncate(time.Minute).Add(time.Minute)
		if time.Until(minute) < planned.Before {
			minute = minute.Add(time.Minute)
		}
		if !worker.Sleep(publishCtx, time.Until(minute)-planned.Before) {
			return
		}
		s := history.Switch{Setting: history.Maintenance, Begins: minute.Add(-time.Minute), Ends: minute}
		if planned.Begins {
			s.Begins, s.Ends = s.Ends, s.Ends.Add(time.Minute)
		}
		p.change(publishCtx, s, fmt.Sprintf("%d * * * * 1m UTC", s.Begins.Minute()), "none", planned.Before+planned.After)
	}
}

// turnOnTimeout is how long an operator may try to turn a setting on again. The broker and Postgres are down for less.
const turnOnTimeout = 90 * time.Second

// toggleSettings lets an operator turn a setting off and on from time to time.
func (p *harness) toggleSettings(publishCtx context.Context) {
	for n := 0; ; n++ {
		planned := p.plan.Switch(n)
		if !worker.Sleep(publishCtx, planned.Gap) {
			return
		}
		p.change(publishCtx, history.Switch{Setting: planned.Setting}, false, true, planned.Duration)
	}
}

// change gives a setting another value for a while.
func (p *harness) change(publishCtx context.Context, s history.Switch, off, on any, d time.Duration) {
	p.undisturbed.RLock()
	s.OffRequested, s.Off = p.shops.SetSetting(publishCtx, s.Setting, off)
	worker.Sleep(publishCtx, d)
	ctx, cancel := context.WithTimeout(p.t.Context(), turnOnTimeout) // also when publishCtx ended: the setting may be off
	s.OnRequested, s.On = p.shops.SetSetting(ctx, s.Setting, on)
	cancel()
	p.undisturbed.RUnlock()
	if s.On.IsZero() {
		p.violate("%s could not be set to %v again within %s", s.Setting, on, turnOnTimeout)
	}
	if s.Off.IsZero() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.history.Switches = append(p.history.Switches, s)
}
