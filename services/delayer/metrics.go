package delayer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	forwarded = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_delayer_hops_total", Help: "Retries forwarded, by the topic they went to.",
	}, []string{"topic"})
	lateSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "erpconnector_delayer_late_seconds", Help: "How long after its due time a retry reached the due topic.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
	})
)
