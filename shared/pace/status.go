package pace

import (
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Status is what people see of the pace.
type Status struct {
	State        domain.BreakerState `json:"state"`
	Since        *time.Time          `json:"since"`
	Why          string              `json:"why,omitempty"`
	By           string              `json:"by,omitempty"`
	ByHand       bool                `json:"by_hand"`       // only an operator closes it
	StoppedSince *time.Time          `json:"stopped_since"` // while it is not closed
	NextProbeAt  *time.Time          `json:"next_probe_at"`
	LastProbe    *domain.Probed      `json:"last_probe"`
	InFlight     int                 `json:"in_flight"`
	Limit        int                 `json:"limit"` // calls at once, now
	MaxInFlight  int                 `json:"max_in_flight"`
	Rate         float64             `json:"rate"` // calls a second, by erp_rate or as the ERP has shown by 429; 0: no limit
	HeldUntil    *time.Time          `json:"held_until"`
	HeldWhy      string              `json:"held_why,omitempty"`
	WindowUntil  *time.Time          `json:"window_until"` // of a maintenance window, or until working hours
	Processes    int                 `json:"processes"`    // that call
}

// StatusOf describes a view under the settings in force.
func StatusOf(v View, s setting.Settings) Status {
	b := v.Breaker
	rate := v.Rate(s.CallRate(), v.At)
	out := Status{
		State: b.State, Since: given(b.Since), Why: b.Why, By: b.By, ByHand: b.ByHand, StoppedSince: given(b.OutSince), LastProbe: b.LastProbe,
		InFlight: v.InFlight(), Limit: b.Allows(v.Limit.Current(s.LimitPolicy())), MaxInFlight: s.MaxInFlight, Rate: float64(rate), Processes: len(v.Members),
	}
	if b.Is(domain.BreakerClosed) {
		out.State = domain.BreakerClosed
	}
	if b.Is(domain.BreakerOpen) && !b.ByHand {
		out.NextProbeAt = given(b.ProbeAt)
	}
	if v.Hold.Holds(v.At) {
		out.HeldUntil, out.HeldWhy = given(v.Hold.Until), v.Hold.Why
	}
	if until, shut := s.Calendar().Until(v.At); shut {
		out.WindowUntil = given(until)
	}
	return out
}

func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Waits says what an order that could be sent now waits for; empty when nothing keeps it.
func (s Status) Waits() string {
	switch {
	case s.WindowUntil != nil:
		return "waits for the ERP's window until " + s.WindowUntil.Format(time.RFC3339)
	case s.State == domain.BreakerOpen || s.State == domain.BreakerProbing:
		return fmt.Sprintf("waits until the ERP works again: %s, since %s", s.Why, s.StoppedSince.Format(time.RFC3339))
	case s.HeldUntil != nil:
		return "waits until " + s.HeldUntil.Format(time.RFC3339) + ", as the ERP asked by Retry-After"
	}
	return ""
}
