// Package alerter tells people when something is wrong: it looks every ten seconds, notes which alerts begin and end, and sends what is
// to be told. The rules stand in shared/domain/alert.go, what is looked at in conditions.go, the words in words.go.
package alerter

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

const (
	lookInterval  = 10 * time.Second
	lookShare     = 50 // a slow look comes more rarely: at most one part in 50 of the time goes into it
	maxLookRest   = time.Minute
	cleanInterval = 10 * time.Minute
	cleanRows     = 1000 // that a statement deletes at most
)

// Alerter raises alerts and sends their notices. Any number may run; one of them works.
type Alerter struct {
	store      *alert.Store
	pool       *pgxpool.Pool
	conditions *conditions
	settings   setting.Reader
	log        *slog.Logger
	now        func() time.Time

	deliverer *deliverer
	wake      chan struct{} // there is something to send
	cleanAt   time.Time

	looking, sending, cleaning *run.Outage
}

// New makes an alerter that does nothing before Run.
func New(pool *pgxpool.Pool, erp config.ERP, mail config.Mail, settings setting.Reader, log *slog.Logger) *Alerter {
	store := alert.NewStore(pool)
	sender := alert.NewSender(settings, erp, mail, mail.CurrentPassword(logging.Secrets(log)))
	a := &Alerter{
		store: store, pool: pool, conditions: newConditions(pool, settings), settings: settings, log: log,
		now: func() time.Time { return domain.NormalizeTime(time.Now()) }, wake: make(chan struct{}, 1),
		looking:  &run.Outage{Began: "not all is looked at for alerts; trying on", Ended: "all is looked at for alerts again"},
		sending:  &run.Outage{Began: "notices of alerts are not sent; trying on", Ended: "notices of alerts are sent again"},
		cleaning: &run.Outage{Began: "old alerts are not deleted; trying on", Ended: "old alerts are deleted again"},
	}
	a.deliverer = &deliverer{store: store, sender: sender, log: log, now: func() time.Time { return a.now() }}
	return a
}

// Name is the worker's name.
func (a *Alerter) Name() string { return "alerter" }

// Run works while the process holds the one lease, until ctx ends; others stand by. Two at once would raise no alert twice, as each change
// swaps the row that it was made from; a notice might be sent twice, under one id.
func (a *Alerter) Run(ctx context.Context) error {
	return postgres.WithLease(ctx, a.pool, "alerter", 1, a.log, func(ctx context.Context, _ string) error {
		leader.Set(1)
		defer resign()
		var both sync.WaitGroup
		both.Go(func() { a.lookOn(ctx) })
		both.Go(func() { a.sendOn(ctx) })
		both.Wait()
		return nil
	})
}

// lookOn looks until ctx ends.
func (a *Alerter) lookOn(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		err := a.look(ctx)
		if ctx.Err() == nil {
			a.looking.Report(a.log, err)
		}
		run.Sleep(ctx, restAfter(time.Since(began), err))
	}
}

// restAfter is how long to wait after a look. One that failed has waited for Postgres and cost nothing, and what comes after an outage is to
// be told soon.
func restAfter(took time.Duration, err error) time.Duration {
	if err != nil {
		return lookInterval
	}
	return min(max(lookInterval, lookShare*took), maxLookRest)
}

// look compares what is wrong with the alerts that are open, and notes what changes.
func (a *Alerter) look(ctx context.Context) error {
	open, err := a.store.Open(ctx)
	if err != nil {
		return err
	}
	now, current := a.now(), a.settings.Current()
	found, unread := a.conditions.read(ctx, open, current, now)
	errs := []error{unread}
	for _, change := range current.AlertPolicy().Look(open.Alerts(), found.levels, now) {
		if err := a.apply(ctx, open, change, found, now); err != nil {
			errs = append(errs, err)
		}
	}
	a.count(open)
	return errors.Join(errs...)
}

// apply notes one change, with the words if there is something to be told.
func (a *Alerter) apply(ctx context.Context, open alert.Open, c domain.AlertChange, found finding, now time.Time) error {
	data, err := a.conditions.describe(ctx, c, found)
	if err != nil {
		return err
	}
	applied, err := a.store.Apply(ctx, open, alert.Change{AlertChange: c, Data: data}, now)
	if err != nil || !applied || c.Event == domain.AlertNothing {
		return err
	}
	notices.WithLabelValues(string(c.Kind), string(c.Event)).Inc()
	a.log.Info("alert", "alert", c.Kind, "subject", c.Subject, "state", c.Event, "count", c.Level, "more", c.More)
	select {
	case a.wake <- struct{}{}:
	default: // it is awake
	}
	return nil
}

// count shows how many alerts were open when the look began.
func (a *Alerter) count(open alert.Open) {
	byKind := map[domain.AlertKind]int{}
	for _, o := range open.Alerts() {
		byKind[o.Kind]++
	}
	for _, kind := range domain.AlertKinds {
		opened.WithLabelValues(string(kind)).Set(float64(byKind[kind]))
	}
}

// sendOn sends what is due until ctx ends. It looks each time that something is to be told, when a retry is due, and each ten seconds, as
// another process may have been the leader.
func (a *Alerter) sendOn(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := a.deliverer.deliver(ctx)
		if ctx.Err() == nil {
			a.sending.Report(a.log, err)
			a.cleaning.Report(a.log, a.clean(ctx))
		}
		timer := time.NewTimer(min(wait, lookInterval))
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// clean deletes what is older than alert_retention, a thousand at a time; while there is more, it comes back with the next round.
func (a *Alerter) clean(ctx context.Context) error {
	now, retention := a.now(), a.settings.Current().AlertRetention
	if now.Before(a.cleanAt) {
		return nil
	}
	if err := a.store.GiveUp(ctx, now.Add(-domain.DefaultDeliveryPolicy().GiveUp), now); err != nil {
		return err
	}
	if retention == 0 {
		a.cleanAt = now.Add(cleanInterval)
		return nil
	}
	deleted, err := a.store.Clean(ctx, now.Add(-retention), cleanRows)
	if err != nil {
		return err
	}
	if deleted > 0 {
		a.log.Info("old alerts deleted", "rows", deleted)
	}
	if deleted < cleanRows {
		a.cleanAt = now.Add(cleanInterval)
	}
	return nil
}
