// Package setting holds what an operator can change about the connector: the module's admin page, one for one.
//
// Fields names each setting, what it takes and what it means; the environment, the API, the CLI and docs/config.md are
// all derived from it. The environment gives the values until somebody changes them: Store keeps what was changed, and
// its history; Watcher is what every process reads.
//
//	ERP_TIMEOUT=30s                          from the environment: 30s
//	erpconnector settings set erp_timeout=5s every process uses 5s within a second
//	erpconnector settings unset erp_timeout  the environment's value again
//
// What is in force is always valid. A row that no longer fits, as a newer release may find, is not used; the environment's value
// stands in its place, and the log, the API and the CLI say so. Values are refused with all that is wrong with them at once.
package setting

import (
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Settings are the values in force at one moment. Secrets are not among them: they come from the environment only.
type Settings struct {
	Enabled         bool                  // the connector is on; off, invoices are accepted and held
	ImmediateSync   bool                  // an invoice is sent at once; else it waits for the cron
	Debug           bool                  // verbose logs
	RefuseBadTotals bool                  // refuse orders whose amounts do not add up or are missing, instead of warning
	ErpBaseURL      string                // {base}/orders/sync is called
	ErpTimeout      time.Duration         // of one call, from dialling to the last byte
	MaxAttempts     int                   // ERP calls of one generation
	BaseDelay       time.Duration         // attempt n+1 follows after 2^n × this
	MaxDelay        time.Duration         // cap on that; 0: only domain.MaxRetryAfter
	GiveUpAfter     time.Duration         // no further attempt begins so long after the request; 0: however long
	Jitter          float64               // lengthens a delay by up to this share of it, 0…1
	RetryableCodes  []int                 // statuses beyond 429 and 5xx that are tried again
	AlreadyBooked   []domain.BookedAnswer // answers of the ERP that mean that it has the order already: a success
	FailureFields   []domain.FailureField // what in a 2xx means a failure
	ReferenceFields []domain.AnswerField  // where the ERP's number of the order may stand, too
	RetryPages      bool                  // a 2xx that is an HTML page is tried again
	ErpLookup       domain.LookupPath     // where the ERP is asked about an order in doubt; empty: nowhere
	MaxRetryAfter   time.Duration         // a longer Retry-After of the ERP is capped
	CronEnabled     bool                  // the cron releases what waits for it
	CronSchedule    string                // five fields of cron, in UTC; see ParseSchedule
	CronBatch       int                   // orders of one run at most; 0: all that wait
	OutboxRetention time.Duration         // relayed rows of the outbox are kept for this long; 0: for ever

	EventRetention      time.Duration // accepted events of orders that have ended are known for this long; 0: for ever
	AdminTokenLifetime  time.Duration // how long a user's session lasts
	TimelineRetention   time.Duration // timelines of orders that have ended are kept for this long; 0: for ever
	QuarantineRetention time.Duration // events refused over HTTP, and discarded ones, are kept for this long; 0: for ever
	AuditInterval       time.Duration // the scheduler audits everything when the last such audit began longer ago; 0: only when it is asked to
	BulkCanary          int           // orders of a bulk resync that must succeed before the others go out, unless it says another number; 0: none

	Pace
	Alerts

	Egress egress.Policy // which addresses ERP calls may go to; the environment's alone
}

// Defaults are the module's.
func Defaults() Settings {
	return Settings{
		Enabled: true, ImmediateSync: true,
		ErpTimeout: 30 * time.Second, MaxAttempts: 5, BaseDelay: 60 * time.Second,
		MaxRetryAfter: 24 * time.Hour, OutboxRetention: 7 * 24 * time.Hour, AdminTokenLifetime: 4 * time.Hour,
		QuarantineRetention: 30 * 24 * time.Hour,
		CronEnabled:         true, CronSchedule: "0 * * * *", CronBatch: 100, BulkCanary: 10,
		Pace: defaultPace(), Alerts: defaultAlerts(),
	}
}

// Reader gives the settings in force now; it never blocks.
type Reader interface{ Current() Settings }

// Fixed is a Reader of settings that do not change.
type Fixed Settings

// Current returns the settings.
func (f Fixed) Current() Settings { return Settings(f) }

// RequestPolicy is what accept needs of the settings.
func (s Settings) RequestPolicy() domain.RequestPolicy {
	return domain.RequestPolicy{Enabled: s.Enabled, ImmediateSync: s.ImmediateSync, MaxAttempts: s.MaxAttempts}
}

// RetryPolicy is what the syncer's decision needs of the settings. A status that tells of the ERP's state is tried again, as the next
// orders would be in vain otherwise until the breaker opens.
func (s Settings) RetryPolicy() domain.RetryPolicy {
	return domain.RetryPolicy{
		BaseDelay: s.BaseDelay, MaxDelay: s.MaxDelay, Jitter: s.Jitter, GiveUpAfter: s.GiveUpAfter, LookUp: s.ErpLookup,
		AnswerPolicy: domain.AnswerPolicy{
			RetryableCodes: slices.Concat(s.RetryableCodes, s.BreakerStatuses), AlreadyBooked: s.AlreadyBooked, MaxRetryAfter: s.MaxRetryAfter,
			FailureFields: s.FailureFields, ReferenceFields: s.ReferenceFields, RetryPages: s.RetryPages,
		},
	}
}

// Validate reports everything that is out of range, or that does not go together, as Problems.
func (s Settings) Validate() error { return s.problems().err() }

func (s Settings) problems() (ps Problems) {
	for _, f := range fields {
		if !f.fits(s) {
			ps = append(ps, f.problem(f.Text(s)))
		}
	}
	ps = append(ps, s.doubledPath()...)
	ps = append(ps, s.paceProblems()...)
	if err := s.Egress.CheckURL(s.ErpBaseURL); err != nil {
		ps = append(ps, Problem{Name: NameErpBaseURL, Variable: "ERP_BASE_URL", Code: problem.CodeInvalid, Said: "is " + hidePassword(s.ErpBaseURL) + ": " + err.Error()})
	}
	if s.MaxDelay > 0 && s.MaxDelay < s.BaseDelay {
		ps = append(ps, Problem{
			Name: nameMaxDelay, Variable: "RETRY_MAX_DELAY", Code: problem.CodeContradicts, with: nameBaseDelay,
			Said: "is " + short(s.MaxDelay) + "; it must be 0 (no cap) or at least the base delay, which is " + short(s.BaseDelay),
		})
	}
	return ps
}
