package alerter

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// A process has no more than one alerter, so its metrics are in the default registry.
var (
	leader = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_alerter_leader", Help: "1 while this process raises and sends alerts.",
	})
	opened = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "erpconnector_alerts_open", Help: "Alerts that are open, by what they are about. By the leader, every 10 s.",
	}, []string{"alert"})
	notices = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_alert_notices_total", Help: "Notices that were made, by alert and event: opened, repeated or resolved.",
	}, []string{"alert", "event"})
	deliveries = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_alert_deliveries_total", Help: "Attempts to deliver a notice, by the kind of the destination and what became of it: delivered, pending (it is tried again) or failed.",
	}, []string{"kind", "state"})
	waiting = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_alert_deliveries_pending", Help: "Notices that are not delivered yet. By the leader.",
	})
)

// resign resets the figures, which the next leader reports.
func resign() {
	leader.Set(0)
	opened.Reset()
	waiting.Set(0)
}
