package pace_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// by is a moment of somebody.
func by(who string, at time.Time) domain.Moment { return domain.Moment{Now: at, By: who} }

// failing is a breaker that ten failed calls have opened at noon.
func failing(t *testing.T) domain.Breaker {
	t.Helper()
	policy := domain.DefaultBreakerPolicy()
	var calls domain.CallRecord
	for i := range 10 {
		calls = calls.With(domain.Call{Order: domain.OrderRef{IncrementID: fmt.Sprint(i)}, Began: noon, Health: domain.HealthFailing}, policy)
	}
	b, ok := domain.Breaker{}.Trip(calls, policy, by("syncer-1/k2m7qa", noon))
	require.True(t, ok)
	return b
}

// probed is a breaker after a probe at its time.
func probed(t *testing.T, b domain.Breaker, verdict domain.ProbeVerdict, said string) domain.Breaker {
	t.Helper()
	b = probing(t, b)
	at := b.Since.Add(time.Second)
	b, ok := b.EndProbe(domain.ProbeResult{Epoch: b.Epoch, Verdict: verdict, Said: said}, domain.DefaultBreakerPolicy(), by("syncer-1/k2m7qa", at))
	require.True(t, ok)
	return b
}

func probing(t *testing.T, b domain.Breaker) domain.Breaker {
	t.Helper()
	b, ok := b.BeginProbe(domain.DefaultBreakerPolicy(), by("syncer-1/k2m7qa", b.ProbeAt))
	require.True(t, ok)
	return b
}

func byHand(t *testing.T, b domain.Breaker) domain.Breaker {
	t.Helper()
	b, ok := b.OpenByHand("a new server", by("jane", noon.Add(time.Minute)))
	require.True(t, ok)
	return b
}

// What an order waits for, as its status, `readyz` and `erp status` say it. An order that waits for several things must not hear of one
// that ends sooner.
func TestWhatAnOrderWaitsFor(t *testing.T) {
	t.Parallel()
	const sunday = "0 2 * * SUN 4h Europe/Berlin"
	inWindow := time.Date(2024, 1, 14, 2, 30, 0, 0, time.UTC) // 03:30 in Berlin
	hold := func(until time.Time) domain.Hold {
		return domain.Hold{Until: until, Why: "the ERP asked to wait by Retry-After"}
	}
	const window, outage = "waits for the ERP's window until 2024-01-14T05:00:00Z", "waits until the ERP works again; calls stopped at 2024-01-15T12:00:00Z: 10 of the newest 10 calls failed, of 10 orders"
	const hand = "waits until calls are let out by hand (erpconnector erp close); jane stopped them at 2024-01-15T12:01:00Z: a new server"
	open := failing(t)
	for name, c := range map[string]struct {
		breaker domain.Breaker
		hold    domain.Hold
		at      time.Time // noon, unless given
		off     bool
		want    string
	}{
		"the_connector_off":                   {off: true, want: "waits until the connector is turned on (erpconnector settings set enabled=true)"},
		"the_connector_off_in_an_outage":      {off: true, breaker: open, want: "waits until the connector is turned on (erpconnector settings set enabled=true)"},
		"nothing":                             {},
		"a_hold_that_is_over":                 {hold: hold(noon)},
		"a_window":                            {at: inWindow, want: window},
		"the_end_of_a_window":                 {at: time.Date(2024, 1, 14, 5, 0, 0, 0, time.UTC)},
		"an_outage":                           {breaker: open, want: outage},
		"a_probe":                             {breaker: probing(t, open), want: outage},
		"a_probe_that_failed":                 {breaker: probed(t, open, domain.ProbeFailing, "HTTP 502"), want: outage},
		"its_turn":                            {breaker: probed(t, open, domain.ProbeGood, "HTTP 200"), want: "waits its turn: the ERP works again; calls at once so far: 1"},
		"retry_after":                         {hold: hold(noon.Add(time.Minute)), want: "waits until 2024-01-15T12:01:00Z, as the ERP asked by Retry-After"},
		"an_operator":                         {breaker: byHand(t, domain.Breaker{}), want: hand},
		"an_operator_who_stopped_an_outage":   {breaker: byHand(t, open), want: hand},
		"an_operator_longer_than_a_window":    {breaker: byHand(t, domain.Breaker{}), at: inWindow, want: hand},
		"a_window_longer_than_retry_after":    {hold: hold(inWindow.Add(time.Minute)), at: inWindow, want: window},
		"retry_after_longer_than_a_window":    {hold: hold(inWindow.Add(5 * time.Hour)), at: inWindow, want: "waits until 2024-01-14T07:30:00Z, as the ERP asked by Retry-After"},
		"a_window_in_which_nobody_can_probe":  {breaker: open, at: inWindow, want: window},
		"an_outage_whose_end_the_erp_guessed": {breaker: open, hold: hold(noon.Add(time.Minute)), want: outage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setting.Defaults()
			s.Maintenance, s.Enabled = sunday, !c.off
			v := pace.View{State: pace.State{Breaker: c.breaker, Hold: c.hold}, At: noon}
			if !c.at.IsZero() {
				v.At = c.at
			}
			require.Equal(t, c.want, pace.StatusOf(v, s).WaitsFor)
		})
	}
}

// The numbers that people see are those that the syncers go by.
func TestTheStatusOfAView(t *testing.T) {
	t.Parallel()
	s := setting.Defaults()
	s.MaxInFlight, s.Rate = 16, 20
	members := []pace.Member{{Member: domain.Member{ID: "a", InFlight: 3}}, {Member: domain.Member{ID: "b", InFlight: 4}}}

	v := pace.View{At: noon, Members: members, State: pace.State{Limit: domain.Limit{Value: 12}}}
	require.Equal(t, pace.Status{State: domain.BreakerClosed, InFlight: 7, Limit: 12, MaxInFlight: 16, Rate: 20, Processes: 2}, pace.StatusOf(v, s))

	v.Learnt = domain.LearntRate{Ceiling: 5, CutAt: noon}
	require.InDelta(t, 5, pace.StatusOf(v, s).Rate, 1, "the ERP takes less than the setting")

	v.Breaker = failing(t)
	status := pace.StatusOf(v, s)
	require.Equal(t, []any{0, 16, noon, v.Breaker.ProbeAt}, []any{status.Limit, status.MaxInFlight, *status.StoppedSince, *status.NextProbeAt})
	require.False(t, status.ByHand)

	v.Breaker = probed(t, v.Breaker, domain.ProbeGood, "HTTP 200")
	status = pace.StatusOf(v, s)
	require.Equal(t, []any{domain.BreakerClosing, 1, noon}, []any{status.State, status.Limit, *status.StoppedSince})
	require.Equal(t, "HTTP 200", status.LastProbe.Said)
	require.Nil(t, status.NextProbeAt)

	v.Breaker = byHand(t, v.Breaker)
	status = pace.StatusOf(v, s)
	require.True(t, status.ByHand)
	require.Nil(t, status.NextProbeAt, "nobody probes: only an operator lets calls out")
}
