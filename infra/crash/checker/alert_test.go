package checker

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// alerted adds two alerts to a history. The destination turned the first notice of the first alert away, and had the second one twice, as
// its answer was lost.
func alerted(h *history.History) {
	end := h.Ended.Add(-time.Minute)
	notice := func(id string, alertID int64, subject, event string, taken bool) {
		h.Notices = append(h.Notices, history.Notice{At: end, ID: id, AlertID: alertID, Alert: "orders_failed", Subject: subject, Event: event, BodyHash: id, Taken: taken})
	}
	notice("msg_1", 1, "7", "opened", false)
	notice("msg_1", 1, "7", "opened", true)
	notice("msg_2", 1, "7", "resolved", true)
	notice("msg_2", 1, "7", "resolved", true)
	notice("msg_3", 2, "8", "opened", true)
	h.Alerts = []history.AlertRow{
		{"alert_id": int64(1), "kind": "orders_failed", "subject": "7", "resolved_at": "2024-01-15T11:00:00Z"},
		{"alert_id": int64(2), "kind": "orders_failed", "subject": "8", "resolved_at": nil},
	}
	for i, event := range []string{"opened", "resolved", "opened"} {
		h.Deliveries = append(h.Deliveries, history.DeliveryRow{
			"alert_id": []int64{1, 1, 2}[i], "event": event, "message_id": []string{"msg_1", "msg_2", "msg_3"}[i], "state": "delivered",
			"created_at": end.Format(time.RFC3339Nano),
		})
	}
	h.FailedGroups = []string{"8"}
}

// untold is a fault of alerts.
func untold(rule string, change func(h *history.History)) fault {
	return fault{13, rule, changed(sent, func(h *history.History) {
		alerted(h)
		change(h)
	})}
}

// alertFaults are what the checker must find about alerts.
var alertFaults = map[string]fault{
	"an alert is written without its notice": untold("an alert that nobody was told of", func(h *history.History) {
		h.Alerts = append(h.Alerts, history.AlertRow{"alert_id": int64(3), "kind": "breaker", "subject": "", "resolved_at": nil})
	}),
	"the end of an alert is not told": untold("an alert that nobody was told of", func(h *history.History) {
		h.Alerts[1]["resolved_at"], h.FailedGroups = "2024-01-15T11:00:00Z", nil
	}),
	"a notice is noted before it is sent": untold("a notice that is noted as told, and was not", func(h *history.History) {
		h.Deliveries = append(h.Deliveries, history.DeliveryRow{"alert_id": int64(2), "event": "repeated", "message_id": "msg_4", "state": "delivered", "created_at": "2024-01-15T11:00:00Z"})
	}),
	"a notice waits for ever": untold("a notice that was not told", func(h *history.History) {
		h.Deliveries[2]["state"], h.Notices[4].Taken, h.FailedGroups = "pending", false, nil
	}),
	"nobody looks at failed orders": untold("failed orders that nobody was told of", func(h *history.History) {
		h.FailedGroups = append(h.FailedGroups, "7")
	}),
	"each attempt has an id of its own": untold("one event of an alert under two webhook-ids", func(h *history.History) {
		h.Notices[3].ID = "msg_5"
	}),
	"one id is used for two notices": untold("one webhook-id for two notices", func(h *history.History) {
		h.Notices[3].BodyHash = "other"
	}),
	"a notice has a wrong signature": untold("a notice that its receiver cannot trust", func(h *history.History) {
		h.Notices[0].Problem = "Webhook-Signature is missing or wrong"
	}),
}

func TestFaultsOfAlertsAreFound(t *testing.T) {
	for name, f := range alertFaults {
		t.Run(name, func(t *testing.T) {
			for _, v := range Check(f.plant()).Violations {
				require.Equal(t, []any{13, f.rule}, []any{v.Promise, v.Rule})
			}
			require.NotEmpty(t, Check(f.plant()).Violations)
		})
	}
}

func TestAlertsThatAreToldRaiseNothing(t *testing.T) {
	for name, change := range map[string]func(h *history.History){
		"as they should be": func(*history.History) {},
		"a notice is just due": func(h *history.History) {
			h.Alerts = append(h.Alerts, history.AlertRow{"alert_id": int64(3), "kind": "breaker", "subject": "", "resolved_at": nil})
			h.Deliveries = append(h.Deliveries, history.DeliveryRow{"alert_id": int64(3), "event": "opened", "message_id": "msg_4", "state": "pending", "created_at": h.Ended.Add(-time.Second).Format(time.RFC3339Nano)})
		},
		"many groups are told together": func(h *history.History) {
			h.Notices = append(h.Notices, history.Notice{At: h.Ended, ID: "msg_9", AlertID: 9, Alert: "orders_failed", Subject: "others", Event: "opened", Taken: true})
			h.FailedGroups = append(h.FailedGroups, "70")
		},
		"Postgres has failed over, and an alert was raised anew": func(h *history.History) {
			h.Notices = append(slices.Clone(h.Notices), history.Notice{At: h.Ended, ID: "msg_6", AlertID: 2, Alert: "orders_failed", Subject: "8", Event: "opened", Taken: true})
			h.Failovers = []history.Failover{{From: h.Began, To: h.Began}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := around(sent)
			alerted(h)
			change(h)
			require.Empty(t, Check(h).Violations)
		})
	}
}
