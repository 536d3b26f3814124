package drain

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	events = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_commerce_outbox_events_total", Help: "Events taken from the commerce outbox by what became of them: accepted, duplicate or quarantined.",
	}, []string{"result"})
	outboxRows = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_commerce_outbox_rows", Help: "Rows that wait in the commerce outbox, counted every 10 s or more rarely by the process that drains it.",
	})
	outboxAge = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_commerce_outbox_age_seconds", Help: "Age of the oldest row that waits in the commerce outbox, measured with the count.",
	})
	quarantineRows = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "erpconnector_commerce_quarantine_rows", Help: "Events that wait in the quarantine for an operator, by the door that they came through (outbox, http), counted with the rows of the outbox. Alarm when it is not 0.",
	}, []string{"door"})
)
