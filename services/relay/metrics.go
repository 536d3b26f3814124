package relay

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// A process has one relay at most, so its metrics are in the default registry.
var (
	leader      = gauge("erpconnector_relay_leader", "1 while this process relays.")
	lagRows     = gauge("erpconnector_relay_lag_rows", "Outbox ids allotted and not yet relayed; only the leader's counts.")
	lagSeconds  = gauge("erpconnector_relay_lag_seconds", "Age of the oldest outbox row when it was read; only the leader's counts.")
	lanesBehind = gauge("erpconnector_relay_lanes_behind", "Partitions of which rows were passed over, as they take no records; only the leader's counts.")
	gaps        = gauge("erpconnector_relay_gaps", "Gaps in the ids up to the relay's position, whose transactions may be open; only the leader's counts.")
	relayed     = promauto.NewCounter(prometheus.CounterOpts{Name: "erpconnector_relay_rows_total", Help: "Rows relayed."})
	failures    = promauto.NewCounter(prometheus.CounterOpts{Name: "erpconnector_relay_errors_total", Help: "Times the relay was interrupted."})
	batches     = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "erpconnector_relay_batch_seconds", Help: "Time of one Kafka transaction of the relay.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	})
)

func gauge(name, help string) prometheus.Gauge {
	return promauto.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}
