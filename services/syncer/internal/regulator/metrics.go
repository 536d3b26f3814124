package regulator

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// A process has one regulator at most, so its metrics are in the default registry.
var (
	breakerState = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_erp_breaker_state", Help: "Whether calls go out to the ERP: 0 all, 1 some while it closes, 2 a probe at most, 3 none.",
	})
	limitNow = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_erp_limit", Help: "ERP calls that may be under way at once, in all processes together.",
	})
	heldSeconds = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_erp_held_seconds", Help: "Time until calls may go out again, by the ERP's Retry-After, a maintenance window or the working hours; 0: they may now.",
	})
	waiting = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_erp_waiting", Help: "Orders of this process that a caller has, and that wait to be sent.",
	})
)

var stateNumbers = map[domain.BreakerState]float64{domain.BreakerClosing: 1, domain.BreakerProbing: 2, domain.BreakerOpen: 3}

// show brings the metrics up to date.
func (r *Regulator) show() {
	now := r.now()
	breakerState.Set(stateNumbers[r.state.Breaker.State])
	limitNow.Set(float64(r.state.Breaker.Allows(r.state.Limit.Current(r.Settings.Current().LimitPolicy()))))
	heldSeconds.Set(max(0, r.heldUntil(now).Sub(now).Seconds()))
	waiting.Set(float64(len(r.waiters)))
}
