package setting

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Alerts are the settings of what is told to people when something is wrong.
type Alerts struct {
	AlertInterval   time.Duration // from one notice of an alert to its repetition, at least
	AlertBacklogAge time.Duration // an order that waits for longer raises an alert; 0: none does
	AlertRetention  time.Duration // alerts that are over are kept for this long; 0: for ever
	AlertAllowHTTP  bool          // destinations may be http, not https alone
}

func defaultAlerts() Alerts {
	return Alerts{AlertInterval: time.Hour, AlertBacklogAge: time.Hour, AlertRetention: 90 * 24 * time.Hour}
}

// alertSettle is how long something must be over until the alert says so. What comes back within it has gone on.
const alertSettle = time.Minute

// AlertPolicy is what the rules of alerts need of the settings.
func (s Settings) AlertPolicy() domain.AlertPolicy {
	return domain.AlertPolicy{Interval: s.AlertInterval, Settle: alertSettle}
}
