package quarantine

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var keptEvents = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "erpconnector_quarantine_http_total", Help: "Events refused over HTTP by what became of them in the quarantine: kept, repeated when they were there before, failed when the database did not take them, and entries dropped as their shop has too many.",
}, []string{"result"})
