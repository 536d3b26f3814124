package pace

import (
	"context"
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Report is what people see of the pace: how it stands, and the newest changes of the breaker. `GET …/erp` answers it, and so does
// `erpconnector erp status --json`.
type Report struct {
	Status

	History []Past `json:"history"`
}

// Report reads the pace, with so many changes, and describes it under the settings in force.
func (s *Store) Report(ctx context.Context, settings setting.Settings, changes int) (Report, error) {
	v, err := s.Load(ctx)
	if err != nil {
		return Report{}, err
	}
	past, err := s.History(ctx, changes)
	if err != nil {
		return Report{}, err
	}
	return Report{Status: StatusOf(v, settings), History: past}, nil
}

// Status is how the pace stands.
type Status struct {
	State        domain.BreakerState `json:"state"`
	Since        *time.Time          `json:"since"`
	Why          string              `json:"why,omitempty"`
	By           string              `json:"by,omitempty"`
	ByHand       bool                `json:"by_hand"`       // only an operator closes it
	StoppedSince *time.Time          `json:"stopped_since"` // while it is not closed
	StoppedWhy   string              `json:"stopped_why,omitempty"`
	NextProbeAt  *time.Time          `json:"next_probe_at"`
	LastProbe    *domain.Probed      `json:"last_probe"`
	InFlight     int                 `json:"in_flight"`
	Limit        int                 `json:"limit"` // calls at once, now
	MaxInFlight  int                 `json:"max_in_flight"`
	Rate         float64             `json:"rate"` // calls a second, by erp_rate or as the ERP has shown by 429; 0: no limit
	HeldUntil    *time.Time          `json:"held_until"`
	HeldWhy      string              `json:"held_why,omitempty"`
	WindowUntil  *time.Time          `json:"window_until"`        // of a maintenance window, or until working hours
	Processes    int                 `json:"processes"`           // that call
	WaitsFor     string              `json:"waits_for,omitempty"` // what keeps an order that could be sent now
}

// StatusOf describes a view under the settings in force.
func StatusOf(v View, s setting.Settings) Status {
	b := v.Breaker
	rate := v.Rate(s.CallRate(), v.At)
	out := Status{
		State: b.State, Since: given(b.Since), Why: b.Why, By: b.By, ByHand: b.ByHand, StoppedSince: given(b.OutSince), StoppedWhy: b.OutWhy, LastProbe: b.LastProbe,
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
	out.WaitsFor = out.waitsFor(s.Enabled)
	return out
}

func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// waitsFor says what an order that could be sent now waits for; empty when nothing keeps it. Of several it is what ends last, as far as
// that is known. While a window is on nobody probes, so that comes before an outage.
func (s Status) waitsFor(enabled bool) string {
	isHeldLonger := s.HeldUntil != nil && (s.WindowUntil == nil || s.HeldUntil.After(*s.WindowUntil))
	switch {
	case !enabled:
		return "waits until the connector is turned on (erpconnector settings set enabled=true)"
	case s.ByHand:
		return fmt.Sprintf("waits until calls are let out by hand (erpconnector erp close); %s stopped them at %s: %s", s.By, s.Since.Format(time.RFC3339), s.Why)
	case s.WindowUntil != nil && !isHeldLonger:
		return "waits for the ERP's window until " + s.WindowUntil.Format(time.RFC3339)
	case s.State == domain.BreakerOpen || s.State == domain.BreakerProbing:
		return fmt.Sprintf("waits until the ERP works again; calls stopped at %s: %s", s.StoppedSince.Format(time.RFC3339), s.StoppedWhy)
	case s.HeldUntil != nil:
		return "waits until " + s.HeldUntil.Format(time.RFC3339) + ", as the ERP asked by Retry-After"
	case s.State == domain.BreakerClosing:
		return fmt.Sprintf("waits its turn: the ERP works again; calls at once so far: %d", s.Limit)
	}
	return ""
}
