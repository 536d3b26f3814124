// Package setting holds what an operator can change about the connector: the module's admin page, one for one.
package setting

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Settings are the values in force at one moment. Secrets are not among them: they come from the environment only.
type Settings struct {
	Enabled         bool          // the connector is on; off, invoices are accepted and held
	ImmediateSync   bool          // an invoice is sent at once; else it waits for the cron
	Debug           bool          // verbose logs
	RefuseBadTotals bool          // refuse orders whose totals do not add up, instead of warning
	ErpBaseURL      string        // {base}/orders/sync is called
	ErpTimeout      time.Duration // of one call, from dialling to the last byte
	MaxAttempts     int           // ERP calls of one generation
	BaseDelay       time.Duration // attempt n+1 follows after 2^n × this
	MaxDelay        time.Duration // cap on that; 0: only domain.MaxRetryAfter
	Jitter          float64       // lengthens a delay by up to this share of it, 0…1
	RetryableCodes  []int         // statuses beyond 429 and 5xx that are tried again
	CronEnabled     bool          // the cron releases what waits for it
	CronSchedule    string        // five fields of cron, in UTC
	CronBatch       int           // orders of one run at most
}

// Defaults are the module's.
func Defaults() Settings {
	return Settings{
		Enabled: true, ImmediateSync: true,
		ErpTimeout: 30 * time.Second, MaxAttempts: 5, BaseDelay: 60 * time.Second,
		CronEnabled: true, CronSchedule: "0 * * * *", CronBatch: 100,
	}
}

// Reader gives the settings in force now; it never blocks.
type Reader interface{ Current() Settings }

// Fixed is a Reader of settings that do not change.
type Fixed Settings

// Current returns the settings.
func (f Fixed) Current() Settings { return Settings(f) }

// Intake is what accept needs of the settings.
func (s Settings) Intake() domain.Intake {
	return domain.Intake{Enabled: s.Enabled, ImmediateSync: s.ImmediateSync, MaxAttempts: s.MaxAttempts}
}

// RetryPolicy is what the syncer's decision needs of the settings.
func (s Settings) RetryPolicy() domain.RetryPolicy {
	return domain.RetryPolicy{
		BaseDelay: s.BaseDelay, MaxDelay: s.MaxDelay, Jitter: s.Jitter, RetryableCodes: s.RetryableCodes,
	}
}

// Validate reports everything that is out of range at once.
func (s Settings) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if s.ErpBaseURL != "" {
		u, err := url.Parse(s.ErpBaseURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			bad("ERP_BASE_URL %q must be an http or https URL", s.ErpBaseURL)
		}
	}
	if s.ErpTimeout < time.Second/10 || s.ErpTimeout > 10*time.Minute {
		bad("ERP_TIMEOUT is %s; from 100ms to 10m are taken", s.ErpTimeout)
	}
	if s.MaxAttempts < 1 || s.MaxAttempts > 1000 {
		bad("RETRY_MAX_ATTEMPTS is %d; from 1 to 1000 are taken", s.MaxAttempts)
	}
	if s.BaseDelay < time.Millisecond || s.BaseDelay > 24*time.Hour {
		bad("RETRY_BASE_DELAY is %s; from 1ms to 24h are taken", s.BaseDelay)
	}
	if s.MaxDelay < 0 || s.MaxDelay > domain.MaxRetryAfter {
		bad("RETRY_MAX_DELAY is %s; from 0 (none) to %s are taken", s.MaxDelay, domain.MaxRetryAfter)
	}
	if s.Jitter < 0 || s.Jitter > 1 {
		bad("RETRY_JITTER is %v; from 0 to 1 are taken", s.Jitter)
	}
	if s.CronBatch < 1 || s.CronBatch > 10_000 {
		bad("CRON_BATCH is %d; from 1 to 10000 are taken", s.CronBatch)
	}
	for _, code := range s.RetryableCodes {
		if code < 300 || code > 499 {
			bad("RETRYABLE_CODES names %d; only codes from 300 to 499 can be added", code)
		}
	}
	return errors.Join(problems...)
}
