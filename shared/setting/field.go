package setting

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// The names that rules between settings use.
const (
	nameBaseDelay = "retry_base_delay"
	nameMaxDelay  = "retry_max_delay"

	nameBreakerCalls  = "erp_breaker_min_calls"
	nameBreakerOrders = "erp_breaker_min_orders"
	nameMaintenance   = "erp_maintenance"
	nameWorkingHours  = "erp_working_hours"
)

const (
	maxGiveUpAfter   = 365 * 24 * time.Hour
	maxRetention     = 10 * 365 * 24 * time.Hour
	maxInterval      = 30 * 24 * time.Hour // of alerts and of audits
	maxTokenLifetime = 30 * 24 * time.Hour
)

// NameErpBaseURL is the setting that says where orders go. Changing it needs a right of its own.
const NameErpBaseURL = "erp_base_url"

// fields is the one list of the settings, in the order of the module's admin page.
var fields = []Field{
	field("enabled", "CONNECTOR_ENABLED", func(s *Settings) *bool { return &s.Enabled }, boolean,
		"Off: invoices are accepted and held, their status is `pending`."),
	field("immediate_sync", "IMMEDIATE_SYNC", func(s *Settings) *bool { return &s.ImmediateSync }, boolean,
		"Off: invoices wait for the cron."),
	field("debug", "DEBUG_MODE", func(s *Settings) *bool { return &s.Debug }, boolean,
		"On: every process logs all it can. Off: it logs from `LOG_LEVEL` on."),
	field("cron_enabled", "CRON_ENABLED", func(s *Settings) *bool { return &s.CronEnabled }, boolean,
		"Off: what waits for the cron keeps waiting."),
	field("cron_schedule", "CRON_SCHEDULE", func(s *Settings) *string { return &s.CronSchedule }, schedule,
		"When the cron releases what waits for it: minute, hour, day, month, weekday, in UTC."),
	field("cron_batch", "CRON_BATCH", func(s *Settings) *int { return &s.CronBatch }, integer(0, 10_000),
		"The most orders that one run of the cron releases; 0: all that wait when it begins. When more orders come between two runs than one releases, the backlog grows."),
	field(NameErpBaseURL, "ERP_BASE_URL", func(s *Settings) *string { return &s.ErpBaseURL }, address(),
		"The ERP: orders are posted to {this}/orders/sync."),
	field("erp_timeout", "ERP_TIMEOUT", func(s *Settings) *time.Duration { return &s.ErpTimeout }, duration(100*time.Millisecond, 10*time.Minute),
		"The time of one ERP call, from dialling to the last byte of the answer."),
	field("retry_max_attempts", "RETRY_MAX_ATTEMPTS", func(s *Settings) *int { return &s.MaxAttempts }, integer(1, 1000),
		"ERP calls of one sync before it has failed. A change counts for syncs that are requested after it."),
	field(nameBaseDelay, "RETRY_BASE_DELAY", func(s *Settings) *time.Duration { return &s.BaseDelay }, duration(time.Millisecond, 24*time.Hour),
		"After attempt n the next one follows in 2^n times this."),
	field(nameMaxDelay, "RETRY_MAX_DELAY", func(s *Settings) *time.Duration { return &s.MaxDelay }, duration(0, domain.MaxRetryAfter),
		"A cap on that, at least the base delay; 0: none."),
	field("retry_give_up_after", "RETRY_GIVE_UP_AFTER", func(s *Settings) *time.Duration { return &s.GiveUpAfter }, duration(0, maxGiveUpAfter),
		"No further attempt begins so long after the sync was requested or released; it has failed then, whatever attempts are left. 0: only their number counts."),
	field("retry_jitter", "RETRY_JITTER", func(s *Settings) *float64 { return &s.Jitter }, number(0, 1),
		"Makes a delay longer by a random part of it, up to this share."),
	field("retryable_codes", "RETRYABLE_CODES", func(s *Settings) *[]int { return &s.RetryableCodes }, statuses,
		"HTTP statuses of the ERP, beside 429 and 5xx, that are tried again. 409 is tried again without this, where the same key may have been sent before."),
	field("already_booked", "ALREADY_BOOKED", func(s *Settings) *[]domain.BookedAnswer { return &s.AlreadyBooked }, bookedAnswers,
		"Answers by which the ERP says that it has already booked the order under this key. They are a success; the reference stands in their body. Do not name an answer that may also mean that the ERP is still at work."),
	field("erp_failure_field", "ERP_FAILURE_FIELD", func(s *Settings) *[]domain.FailureField { return &s.FailureFields }, failureFields,
		"What in the JSON of a 2xx means that the ERP did not take the order: the order fails as with a 4xx. A field that is not there means nothing."),
	field("erp_reference_field", "ERP_REFERENCE_FIELD", func(s *Settings) *[]domain.AnswerField { return &s.ReferenceFields }, referenceFields,
		"Where the ERP's number of the order stands in its answers, also in those of already_booked and erp_lookup. The first field that is there counts, before erp_reference, erp_id and id."),
	field("retry_html_pages", "RETRY_HTML_PAGES", func(s *Settings) *bool { return &s.RetryPages }, boolean,
		"On: a 2xx that is an HTML page is tried again, as it is a proxy's page of maintenance or a login. Off: it is a success without a reference, as in the module."),
	field("erp_lookup", "ERP_LOOKUP", func(s *Settings) *domain.LookupPath { return &s.ErpLookup }, lookupPath,
		"Where the ERP says whether it has booked an order: a path below the base URL, which is asked by GET before an order is sent again whose answer was lost. Empty: nobody asks, and the order is sent again under the same key."),
	field("erp_retry_after_max", "ERP_RETRY_AFTER_MAX", func(s *Settings) *time.Duration { return &s.MaxRetryAfter }, duration(time.Second, domain.MaxRetryAfter),
		"The longest wait that the ERP can ask for by Retry-After. A longer one is capped, and `last_error` says so."),
	field("erp_breaker", "ERP_BREAKER", func(s *Settings) *bool { return &s.Breaker }, boolean,
		"On: when most calls fail, no more go out until a probe finds that the ERP works again. Off: every order is called, whatever the calls before have shown."),
	field("erp_breaker_failure_rate", "ERP_BREAKER_FAILURE_RATE", func(s *Settings) *float64 { return &s.BreakerRate }, number(0.05, 1),
		"The breaker opens when more than this share of the newest calls fail, with 0.5 for example 7 of 10, or 27 of 50; and when the newest ones all fail, as many as `erp_breaker_min_calls`."),
	field(nameBreakerCalls, "ERP_BREAKER_MIN_CALLS", func(s *Settings) *int { return &s.BreakerCalls }, integer(1, 1000),
		"The fewest calls that the breaker judges; with fewer it never opens. Each syncer looks at its own newest calls, up to five times as many, of the last ten minutes."),
	field(nameBreakerOrders, "ERP_BREAKER_MIN_ORDERS", func(s *Settings) *int { return &s.BreakerOrders }, integer(1, 1000),
		"The fewest different orders that must fail among them, at most the calls."),
	field("erp_breaker_statuses", "ERP_BREAKER_STATUSES", func(s *Settings) *[]int { return &s.BreakerStatuses }, statuses,
		"HTTP statuses of the ERP, beside 5xx, that tell of the ERP and not of the order: 401 and 403 of an ERP whose key was changed, 404 of one that has moved. They count as failures, and are tried again."),
	field("erp_breaker_exceptions", "ERP_BREAKER_EXCEPTIONS", func(s *Settings) *[]domain.BookedAnswer { return &s.BreakerExceptions }, orderAnswers,
		"Answers by which the ERP speaks of one order although their status is 5xx. They do not count as failures of the ERP, and are tried again like others."),
	field("erp_health_path", "ERP_HEALTH_PATH", func(s *Settings) *string { return &s.HealthPath }, urlPath,
		"Where the ERP tells whether it works: {erp_base_url}{this}. The breaker probes by it. Without it, or where it answers 404, 405 or 501, one real order is the probe."),
	field("erp_max_in_flight", "ERP_MAX_IN_FLIGHT", func(s *Settings) *int { return &s.MaxInFlight }, integer(1, 10_000),
		"The most ERP calls at once, of all processes together. There are fewer while the ERP is slow or busy."),
	field("erp_rate", "ERP_RATE", func(s *Settings) *float64 { return &s.Rate }, number(0, 10_000),
		"The most ERP calls a second, of all processes together; 0: no limit."),
	field("erp_retry_weight", "ERP_RETRY_WEIGHT", func(s *Settings) *int { return &s.RetryWeight }, integer(1, 100),
		"How many retries of a shop are sent for each new order of it, while both wait. Shops take turns in any case."),
	field("outbox_retention", "OUTBOX_RETENTION", func(s *Settings) *time.Duration { return &s.OutboxRetention }, duration(0, maxRetention),
		"Rows of the outbox that are older and relayed are dropped, as whole partitions of 250,000 rows or more. Keep more than a failover may go back. 0: they are kept for ever."),
	field("event_retention", "EVENT_RETENTION", func(s *Settings) *time.Duration { return &s.EventRetention }, duration(0, maxRetention),
		"An event that is sent again is known as a duplicate for so long, and for longer while its order is under way. After it the event counts as new: its order is not sent to the ERP again. 0: events are known for ever."),
	field("timeline_retention", "TIMELINE_RETENTION", func(s *Settings) *time.Duration { return &s.TimelineRetention }, duration(0, maxRetention),
		"The timeline of an order is deleted when the order has ended and nothing has happened to it for so long. Its status stays, and so do the records in Kafka, as long as the topics keep them. 0: timelines are kept for ever."),
	field("quarantine_retention", "QUARANTINE_RETENTION", func(s *Settings) *time.Duration { return &s.QuarantineRetention }, duration(0, maxRetention),
		"Events that were refused over HTTP are kept in the quarantine for so long after the last refusal, and discarded ones of any door after that decision. Events of the commerce outbox that wait for one are kept in any case. 0: all are kept for ever."),
	field("audit_interval", "AUDIT_INTERVAL", func(s *Settings) *time.Duration { return &s.AuditInterval }, interval(time.Hour, maxInterval),
		"The scheduler makes an audit of everything by itself when the last one that it made began longer ago. However long nothing ran, it makes one. 0: it makes those alone that somebody asks for."),
	field("bulk_canary", "BULK_CANARY", func(s *Settings) *int { return &s.BulkCanary }, integer(0, 1000),
		"How many orders of a bulk resync must succeed before the others go out, unless the resync says another number; when one fails, the job pauses. 0: all go out at once."),
	field(nameMaintenance, "ERP_MAINTENANCE", func(s *Settings) *string { return &s.Maintenance }, windows,
		"When the ERP is maintained: no order is sent then. What waits goes out afterwards."),
	field(nameWorkingHours, "ERP_WORKING_HOURS", func(s *Settings) *string { return &s.WorkingHours }, windows,
		"When orders are sent: none goes out at another time. Without it: always."),
	field("alert_interval", "ALERT_INTERVAL", func(s *Settings) *time.Duration { return &s.AlertInterval }, duration(10*time.Second, maxInterval),
		"The least time from one notice of an alert to the next that says what has come since."),
	field("alert_backlog_age", "ALERT_BACKLOG_AGE", func(s *Settings) *time.Duration { return &s.AlertBacklogAge }, duration(0, maxInterval),
		"An order that is on its way for longer raises an alert, as does an event in the commerce outbox. 0: none does."),
	field("alert_retention", "ALERT_RETENTION", func(s *Settings) *time.Duration { return &s.AlertRetention }, duration(0, maxRetention),
		"Alerts that are over, and what became of their notices, are deleted so long afterwards. 0: they are kept for ever."),
	field("alert_allow_http", "ALERT_ALLOW_HTTP", func(s *Settings) *bool { return &s.AlertAllowHTTP }, boolean,
		"On: alerts may go to http URLs. Off: to https, and to http on the machine itself."),
	field("admin_token_lifetime", "ADMIN_TOKEN_LIFETIME", func(s *Settings) *time.Duration { return &s.AdminTokenLifetime }, duration(time.Minute, maxTokenLifetime),
		"How long a token is good that a user gets by `POST /rest/V1/integration/admin/token`. A change counts for later logins."),
	field("refuse_bad_totals", "REFUSE_BAD_TOTALS", func(s *Settings) *bool { return &s.RefuseBadTotals }, boolean,
		"On: an order is refused when its totals do not add up, an amount is missing, or a quantity is not above 0. Off: it is accepted with a warning, in the answer and on the timeline."),
}

// Field is one run-time setting: its names, its meaning, and how its value stands in Settings.
type Field struct {
	Name     string // in the API, the CLI and the table
	Variable string // the environment variable that gives its value until somebody changes it
	Meaning  string // in a line
	Type     Type
	Allowed  string // what it takes, in words

	parse  func(s *Settings, text string) bool
	forms  string
	shown  func(refused string) string
	format func(s Settings) string
	encode func(s Settings) any
	fits   func(s Settings) bool
	secret func(s Settings) bool
	copy   func(to *Settings, from Settings)
}

// Fields are all settings, in the order in which they are shown.
func Fields() []Field { return append([]Field(nil), fields...) }

// FieldOf is the setting of a name; ok is false when there is none.
func FieldOf(name string) (f Field, ok bool) {
	for _, f := range fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Names are the settings' names.
func Names() []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// unknown says of a name that it is no setting's, and which was probably meant.
func unknown(name string) Problem {
	return Problem{Name: domain.Truncate(name, maxNameShown), Code: problem.CodeUnknown, Said: "is no setting: " + spelling.Hint(name, Names())}
}

const maxNameShown = 64 // bytes of a name that is none

// Find is the setting of a name. The error is a Problem that names the nearest one.
func Find(name string) (Field, error) {
	if f, ok := FieldOf(name); ok {
		return f, nil
	}
	return Field{}, unknown(name)
}

// field ties a setting's names to its place in Settings and to the kind of its values. Everything that is done with a setting follows from
// these: so a new one is one entry in fields, and a test that it is in Settings.
func field[T any](name, variable string, of func(*Settings) *T, k kind[T], meaning string) Field {
	fits := func(s Settings) bool {
		d := Defaults()
		return k.within == nil || k.within(*of(&s)) || reflect.DeepEqual(*of(&s), *of(&d)) // no ERP at all is a default
	}
	return Field{
		Name: name, Variable: variable, Meaning: meaning, Type: k.typ, Allowed: k.allowed, forms: k.forms, shown: k.shown,
		parse: func(s *Settings, text string) bool {
			v, ok := k.parse(text)
			if ok = ok && (k.within == nil || k.within(v)); ok {
				*of(s) = v
			}
			return ok
		},
		format: func(s Settings) string { return k.format(*of(&s)) },
		encode: func(s Settings) any { return k.encode(*of(&s)) },
		fits:   fits,
		secret: func(s Settings) bool { return k.secret != nil && k.secret(*of(&s)) },
		copy:   func(to *Settings, from Settings) { *of(to) = *of(&from) },
	}
}

// Parse reads the setting from text, as the environment and the CLI give it, into s. The error is a Problem, and then s
// is as it was.
func (f Field) Parse(s *Settings, text string) error {
	if err := domain.SettingText.Check(text); err != nil {
		return f.problemOf(err)
	}
	if !f.parse(s, text) {
		return f.problem(fmt.Sprintf("%q", f.show(text)))
	}
	return nil
}

// Decode reads the setting from JSON, as the API and the table give it, into s; it takes no secrets. The error is a Problem, and then s is as it was.
func (f Field) Decode(s *Settings, raw json.RawMessage) error {
	text, form := unpack(raw)
	next := *s
	if err := domain.SettingText.Check(text); err != nil {
		return f.problemOf(err)
	}
	if form == "" || !strings.Contains(f.forms, form) || !f.parse(&next, text) || f.secret(next) {
		return f.problem(f.showJSON(raw))
	}
	*s = next
	return nil
}

// Text is the setting's value for people, as Parse reads it. A password in it shows as stars.
func (f Field) Text(s Settings) string { return f.format(s) }

// JSON is the setting's value for programs, as Decode reads it. A password in it shows as stars.
func (f Field) JSON(s Settings) json.RawMessage {
	raw, _ := json.Marshal(f.encode(s)) // of a bool, a number, a string or a list of numbers
	return raw
}

const maxShown = 120 // characters of a value that is refused

// show is a text that is refused, as people may see it.
func (f Field) show(refused string) string {
	if f.shown != nil {
		refused = f.shown(refused)
	}
	return shorten(refused)
}

// showJSON is JSON that is refused, as people may see it. Where something is to be hidden, the escapes go first: behind
// "https:\/\/", as PHP writes it, no password would be found.
func (f Field) showJSON(refused json.RawMessage) string {
	var v any
	if f.shown == nil || json.Unmarshal(refused, &v) != nil {
		return f.show(string(refused))
	}
	text, isText := v.(string)
	if isText {
		v = f.shown(text)
	}
	plain, _ := domain.EncodeJSON(v) // it was JSON a moment ago
	if isText {
		return shorten(string(plain))
	}
	return f.show(string(plain))
}

func shorten(text string) string {
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return text
}

func (f Field) problem(value string) Problem {
	return Problem{Name: f.Name, Variable: f.Variable, Code: problem.CodeInvalid, Said: "is " + value + "; it must be " + f.Allowed}
}

// problemOf is what a check of texts says of the value.
func (f Field) problemOf(err error) Problem {
	return Problem{Name: f.Name, Variable: f.Variable, Code: problem.TextCode(err), Said: err.Error() + "; it must be " + f.Allowed}
}
