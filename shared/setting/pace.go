package setting

import (
	"fmt"
	"regexp"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Pace are the settings that say when calls go out to the ERP, and how many.
type Pace struct {
	Breaker           bool                  // the breaker opens when calls fail
	BreakerRate       float64               // the share of failures that opens it
	BreakerCalls      int                   // among at least so many calls
	BreakerOrders     int                   // of at least so many different orders
	BreakerStatuses   []int                 // statuses beside 5xx that tell of the ERP
	BreakerExceptions []domain.BookedAnswer // 5xx answers that tell of the order
	HealthPath        string                // of the probe, below the base URL; "": there is none
	MaxInFlight       int                   // calls at once in the whole installation
	Rate              float64               // calls a second in the whole installation; 0: no limit
	RetryWeight       int                   // calls for retries of a shop for each new order of it, while both wait
	Maintenance       string                // nothing is sent inside; see ParseWindows
	WorkingHours      string                // nothing is sent outside; "": always
}

func defaultPace() Pace {
	p := domain.DefaultBreakerPolicy()
	return Pace{
		Breaker: p.On, BreakerRate: p.FailureRate, BreakerCalls: p.MinCalls, BreakerOrders: p.MinOrders,
		HealthPath: "/health", MaxInFlight: 64, RetryWeight: 3,
	}
}

// probeSpare is what a probe may take beyond the time of its call, to tell its result.
const probeSpare = 10 * time.Second

// BreakerPolicy is what the breaker needs of the settings.
func (s Settings) BreakerPolicy() domain.BreakerPolicy {
	p := domain.DefaultBreakerPolicy()
	p.On, p.FailureRate, p.MinCalls, p.MinOrders = s.Breaker, s.BreakerRate, s.BreakerCalls, s.BreakerOrders
	p.HasHealth, p.ProbeLimit = s.HealthPath != "", s.ErpTimeout+probeSpare
	return p
}

// HealthPolicy is what telling the ERP's health from an answer needs of the settings.
func (s Settings) HealthPolicy() domain.HealthPolicy {
	return domain.HealthPolicy{FailingStatuses: s.BreakerStatuses, OrderAnswers: s.BreakerExceptions, AlreadyBooked: s.AlreadyBooked}
}

// LimitPolicy is how the number of calls at once follows the ERP, up to erp_max_in_flight.
func (s Settings) LimitPolicy() domain.LimitPolicy { return domain.DefaultLimitPolicy(s.MaxInFlight) }

// CallRate is the limit of calls a second.
func (s Settings) CallRate() domain.Rate { return domain.Rate(s.Rate) }

// Calendar says when nothing is sent. It reads the texts of the settings, so keep it as long as they are the same.
func (s Settings) Calendar() domain.Calendar {
	maintenance, _ := ParseWindows(s.Maintenance) // both were checked when they were set
	hours, _ := ParseWindows(s.WorkingHours)
	return domain.Calendar{Maintenance: maintenance, WorkingHours: hours}
}

// paceProblems are what does not go together.
func (s Settings) paceProblems() (ps Problems) {
	if s.BreakerOrders > s.BreakerCalls {
		ps = append(ps, Problem{
			Name: nameBreakerOrders, Variable: "ERP_BREAKER_MIN_ORDERS", Code: problem.CodeContradicts, with: nameBreakerCalls,
			Said: fmt.Sprintf("is %d; it must be at most the fewest calls that the breaker judges, which are %d", s.BreakerOrders, s.BreakerCalls),
		})
	}
	if !s.Calendar().Opens(someDay) {
		p := Problem{Name: nameMaintenance, Variable: "ERP_MAINTENANCE", Code: problem.CodeContradicts, with: nameWorkingHours, Said: "is " + s.Maintenance}
		if s.WorkingHours != "" {
			p.Said += " beside working hours of " + s.WorkingHours
		}
		p.Said += "; it must leave a time in which orders can be sent"
		ps = append(ps, p)
	}
	return ps
}

var urlPath = kind[string]{
	typ: Path, forms: formText, allowed: "a path that begins with a slash, without query and fragment, like /health; or none",
	parse: func(text string) (string, bool) {
		if text == noPath {
			return "", true
		}
		return text, text != ""
	},
	format: pathText,
	encode: func(path string) any { return pathText(path) },
	within: func(path string) bool { return path == "" || pathPattern.MatchString(path) },
}

const noPath = "none"

var pathPattern = regexp.MustCompile(`^(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+/?$`)

func pathText(path string) string {
	if path == "" {
		return noPath
	}
	return path
}
