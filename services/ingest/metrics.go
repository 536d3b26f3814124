package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	events = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_ingest_events_total", Help: "Events by what became of them: accepted, duplicate, refused, conflict, or failed when the database did not answer.",
	}, []string{"result"})
	acceptSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "erpconnector_ingest_accept_seconds", Help: "Time to accept one request's events.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	})
)
