package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var refused = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "erpconnector_http_refused_total", Help: "Requests that were refused unread, by code: rate_limited or overloaded.",
}, []string{"code"})
