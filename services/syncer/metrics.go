package syncer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// A process has one syncer at most, so its metrics are in the default registry.
var (
	callsInFlight = promauto.NewGauge(prometheus.GaugeOpts{Name: "erpconnector_erp_calls_in_flight", Help: "ERP calls under way."})
	callSeconds   = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "erpconnector_erp_call_seconds", Help: "Time of one ERP call, by what follows it: success, retry or failed.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
	}, []string{"outcome"})
	queued = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "erpconnector_syncer_queued", Help: "Records in memory that wait for a call, by class: due or requested.",
	}, []string{"class"})
	handled = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_syncer_handled_total", Help: "Records whose outcome is committed, by what they came to: retry, success, failed, postponed, passed_over, dead_letter.",
	}, []string{"outcome"})
	lookups = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_erp_lookups_total", Help: "Orders in doubt that the ERP was asked for, by its answer: found, not_found or no_answer.",
	}, []string{"lookup"})
	commitSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "erpconnector_syncer_commit_seconds", Help: "Time of one Kafka transaction of outcomes.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	})
)

// name returns the outcome's name, for metrics and the log.
func (o *outcome) name() string {
	switch {
	case o.answered:
		return "success"
	case o.Retry != nil:
		return "retry"
	default:
		return "failed"
	}
}

// outcomeName returns how a committed task ended, for metrics and the log.
func (t *task) outcomeName() string {
	switch {
	case t.deadLetter != nil:
		return "dead_letter"
	case len(t.ends) > 0:
		return string(t.ends[0].Sync.Status)
	case t.outcome != nil:
		return "retry"
	case t.postponed != nil:
		return "postponed"
	default:
		return "passed_over"
	}
}
