package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var openStreams = promauto.NewGauge(prometheus.GaugeOpts{Name: "erpconnector_api_streams", Help: "Event streams that are open."})

// Cuts counts streams that the process ended, by the reason that their last event says.
var Cuts = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "erpconnector_api_streams_cut_total", Help: "Event streams that were ended by the connector, by reason.",
}, []string{"reason"})
