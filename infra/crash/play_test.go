package crash

import (
	"context"
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
	if !p.o.profile.FailsOver() { // a failover may lose a change of a setting
		outages.Go(func() { p.toggleSettings(publishCtx) })
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
}

// runOutages takes the ERP down from time to time.
func (p *harness) runOutages(publishCtx context.Context) {
	for n := 0; ; n++ {
		outage := p.plan.Outage(n)
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

// turnOnTimeout is how long an operator may try to turn a setting on again. The broker and Postgres are down for less.
const turnOnTimeout = 90 * time.Second

// toggleSettings lets an operator turn a setting off and on from time to time.
func (p *harness) toggleSettings(publishCtx context.Context) {
	for n := 0; ; n++ {
		planned := p.plan.Switch(n)
		if !worker.Sleep(publishCtx, planned.Gap) {
			return
		}
		p.undisturbed.RLock()
		s := history.Switch{Setting: planned.Setting}
		s.OffRequested, s.Off = p.shops.SetSetting(publishCtx, planned.Setting, false)
		worker.Sleep(publishCtx, planned.Duration)
		ctx, cancel := context.WithTimeout(p.t.Context(), turnOnTimeout) // also when publishCtx ended: the setting may be off
		s.OnRequested, s.On = p.shops.SetSetting(ctx, planned.Setting, true)
		cancel()
		p.undisturbed.RUnlock()
		if s.On.IsZero() {
			p.violate("%s could not be turned on again within %s", planned.Setting, turnOnTimeout)
		}
		if !s.Off.IsZero() {
			p.history.Switches = append(p.history.Switches, s)
		}
	}
}
