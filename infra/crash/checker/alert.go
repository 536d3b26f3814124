package checker

import (
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// checkAlerts is promise 13: each alert, and the end of each, is told at least once, and under one webhook-id. After a failover of Postgres
// alerts may be lost and raised anew. Then only what failed orders have in the end is to be told.
func (c *checker) checkAlerts() {
	told := c.readNotices()
	c.checkFailuresAreTold(told)
	c.figures.Alerts = len(c.h.Alerts)
	if len(c.h.Failovers) > 0 {
		return
	}
	c.checkDeliveries(told)
	for _, a := range c.h.Alerts {
		id, _ := number(a["alert_id"])
		c.checkTold(told, id, a, "opened")
		if a["resolved_at"] != nil {
			c.checkTold(told, id, a, "resolved")
		}
	}
}

// told is what the destination has taken.
type told struct {
	ids    map[string]bool           // webhook-ids
	events map[alertEvent][]string   // webhook-ids that told of it
	open   map[string]history.Notice // alerts that are not over, by kind and subject
}

type alertEvent struct {
	alertID int64
	event   string
}

// readNotices sorts what the destination was sent, and judges each notice alone.
func (c *checker) readNotices() told {
	t := told{ids: map[string]bool{}, events: map[alertEvent][]string{}, open: map[string]history.Notice{}}
	first := map[string]history.Notice{}
	for _, n := range c.h.Notices {
		c.figures.Notices++
		if n.Problem != "" {
			c.violate(13, "a notice that its receiver cannot trust", nil, "%s at %s: %s", notice(n), clock(n.At), n.Problem)
		}
		before, again := first[n.ID]
		switch {
		case !again:
			first[n.ID] = n
		case before.BodyHash != n.BodyHash:
			c.violate(13, "one webhook-id for two notices", nil, "%s and %s", notice(before), notice(n))
		default:
			c.figures.ToldAgain++
		}
		if !n.Taken {
			c.figures.TurnedAway++
			continue
		}
		t.take(n)
	}
	return t
}

// take notes a notice that was taken.
func (t told) take(n history.Notice) {
	if !t.ids[n.ID] {
		of := alertEvent{n.AlertID, n.Event}
		t.events[of] = append(t.events[of], n.ID)
	}
	t.ids[n.ID] = true
	if name := n.Alert + " " + n.Subject; n.Event == "resolved" {
		delete(t.open, name)
	} else {
		t.open[name] = n
	}
}

// checkFailuresAreTold looks at what failed orders have at the end. Groups beyond the most that have alerts of their own are told together.
func (c *checker) checkFailuresAreTold(t told) {
	for _, group := range c.h.FailedGroups {
		_, own := t.open["orders_failed "+group]
		_, others := t.open["orders_failed others"]
		if !own && !others {
			c.violate(13, "failed orders that nobody was told of", nil, "the orders of the error group %s", group)
		}
	}
}

// tellTime is how long before the end a notice may have been made that still waits.
const tellTime = 15 * time.Second

// checkDeliveries compares what the product notes of each notice with what the destination knows.
func (c *checker) checkDeliveries(t told) {
	for _, d := range c.h.Deliveries {
		id, _ := d["message_id"].(string)
		alertID, _ := number(d["alert_id"])
		made, _ := d["created_at"].(string)
		at, _ := time.Parse(time.RFC3339Nano, made)
		switch state := d["state"]; {
		case state == "delivered" && !t.ids[id]:
			c.violate(13, "a notice that is noted as told, and was not", nil, "%s of alert %d: %v", id, alertID, d["event"])
		case state == "failed", state == "pending" && at.Before(c.h.Ended.Add(-tellTime)):
			c.violate(13, "a notice that was not told", nil, "%s of alert %d: %v is %v", id, alertID, d["event"], state)
		}
	}
}

// checkTold is about one event of an alert: it was told, and under one id. A notice that waits still is judged as such.
func (c *checker) checkTold(t told, id int64, a history.AlertRow, event string) {
	name := fmt.Sprintf("alert %d (%v %v)", id, a["kind"], a["subject"])
	switch ids := t.events[alertEvent{id, event}]; {
	case len(ids) == 0 && !c.noticeWaits(id, event):
		c.violate(13, "an alert that nobody was told of", nil, "%s %s", name, event)
	case len(ids) > 1:
		c.violate(13, "one event of an alert under two webhook-ids", nil, "%s %s: %v", name, event, ids)
	}
}

// noticeWaits reports whether the notice is there and was not told yet.
func (c *checker) noticeWaits(alertID int64, event string) bool {
	for _, d := range c.h.Deliveries {
		if id, _ := number(d["alert_id"]); id == alertID && d["event"] == event && d["state"] == "pending" {
			return true
		}
	}
	return false
}

func notice(n history.Notice) string {
	return fmt.Sprintf("%s (alert %d, %s %s %s)", n.ID, n.AlertID, n.Alert, n.Subject, n.Event)
}
