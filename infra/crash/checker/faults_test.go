package checker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// faults are what the checker must find, each under the promise that it breaks and under no other.
var faults = map[string]fault{
	"a record outlives its generation, and only the gate stops it": {3, "a gate that contradicts the log", changed(sent, func(h *history.History) {
		h.Alarms = append(h.Alarms, history.Alarm{At: h.Ended, Target: "syncer-0", Text: "the generation has ended", Order: faulty, Generation: 1})
	})},
	"a call while the connector is off": {8, "a call while the connector was off", changed(sent, func(h *history.History) {
		at := call(h, 0).Began
		off := history.Switch{Setting: "enabled", OffRequested: at.Add(-3 * time.Second), Off: at.Add(-2500 * time.Millisecond)}
		off.OnRequested, off.On = at.Add(time.Second), at.Add(time.Second)
		h.Switches = append(h.Switches, off)
	})},
	"a call before the time that the ERP has named": {8, "a call while the ERP was not to be called", changed(
		func(o *actor) { retried(o.wait(time.Minute)) },
		func(h *history.History) { call(h, 0).HoldUntil = call(h, 1).Began.Add(time.Millisecond) },
	)},
	"a call while the breaker is open": {8, "a call while the ERP was not to be called", changed(
		func(o *actor) { sent(o.wait(time.Minute)) },
		func(h *history.History) {
			at := call(h, 0).Began
			h.Breaker = []history.BreakerChange{
				{At: at.Add(-3 * time.Second), From: "closed", To: "open", By: "syncer-1"}, {At: at.Add(time.Second), From: "open", To: "probing", By: "syncer-1"},
			}
		},
	)},
	"a call in a maintenance window": {8, "a call while the ERP was not to be called", changed(
		func(o *actor) { sent(o.wait(time.Minute)) },
		func(h *history.History) { h.Switches = append(h.Switches, window(call(h, 0).Began)) },
	)},
	"an event is lost": {1, "an accepted event that is lost", changed(sent, func(h *history.History) {
		drop(h, topicEvent, 0)
		i := slices.IndexFunc(h.Outbox, func(r history.OutboxRow) bool { return r.Key == faulty && r.Topic == topicEvent })
		h.Outbox = slices.Delete(h.Outbox, i, i+1)
	})},
	"an event is accepted twice": {1, "an event that was accepted twice", changed(sent, func(h *history.History) {
		r := again(h, topicEvent, 1)
		row := h.Outbox[len(h.Outbox)-1]
		row.ID, row.Topic, row.Key, row.UUID, row.EventID = row.ID+1, topicEvent, faulty, r.Headers["_watermill_message_uuid"], r.Headers["ce_id"]
		h.Outbox = append(h.Outbox, row)
	})},
	"a refused event is in the log": {1, "a refused event that was stored", changed(sent, func(h *history.History) {
		for i := range h.Publications {
			if h.Publications[i].Order == faulty && h.Publications[i].Type == "order.placed" {
				h.Publications[i].Outcome = history.Refused
			}
		}
	})},
	"a refused invoice is sent": {1, "a refused event that was stored", changed(sent, func(h *history.History) {
		for i := range h.Publications {
			if h.Publications[i].Order == faulty && h.Publications[i].Type == invoiceCreated {
				h.Publications[i].Outcome = history.Refused
			}
		}
	})},
	"an event that no shop published": {1, "an event that no shop published", changed(sent, func(h *history.History) {
		h.Publications = slices.DeleteFunc(h.Publications, func(p history.Publication) bool { return p.Order == faulty && p.Type == "order.placed" })
	})},
	"half of an event with an unknown outcome is stored": {1, "an invoice without a request", func() *history.History {
		return around(func(o *actor) { o.publishes(invoiceCreated, history.Unknown, true) })
	}},
	"no terminal event, the chain is cut": {1, "a generation without a terminal event", changed(sent, func(h *history.History) {
		drop(h, topicSuccess, 0)
		folded(h)
	})},
	"a due retry vanishes": {1, "a generation without a terminal event", func() *history.History {
		h := around(func(o *actor) { o.invoiced(false).sends(503) })
		drop(h, topicDue, 0)
		return h
	}},
	"a look-up finds what the ERP does not have": {1, "a success that the ERP does not know", func() *history.History {
		return around(func(o *actor) { o.invoiced(false).intends().calls(0, false, time.Second).concludes(0, nil).finds() })
	}},
	"the ERP does not know of the success": {1, "a success that the ERP does not know", changed(sent, func(h *history.History) { call(h, 0).Booked = false })},
	"a webhook that was accepted is lost": {1, "an accepted request that is lost", changed(sent, func(h *history.History) {
		h.Requests = append(h.Requests, history.Request{Kind: "webhook-accepted", Source: "default", Order: faulty, Began: began, Ended: began, Outcome: history.Accepted, HTTPCode: 200})
	})},
	"a generation that nobody requested": {1, "a generation without a request", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(422).wait(time.Second).resyncs("resync").sends(201)
			o.h.Requests = nil
		})
	}},

	"a request is lost between outbox and Kafka": {2, "an outbox row that is not in Kafka", changed(func(o *actor) { o.invoiced(false) }, func(h *history.History) {
		drop(h, topicRequested, 0)
		dropTable(h)
	})},
	"an event is lost between outbox and Kafka": {2, "an outbox row that is not in Kafka", changed(sent, func(h *history.History) { drop(h, topicEvent, 0) })},
	"a callback is lost between outbox and Kafka": {2, "an outbox row that is not in Kafka", changed(func(o *actor) {
		o.invoiced(false).sends(503).settled("webhook-accepted").closes()
	}, func(h *history.History) {
		drop(h, topicCallback, 0)
		folded(h)
	})},
	"a record is published twice": {2, "an outbox row that is in Kafka more than once", changed(sent, func(h *history.History) { again(h, topicRequested, 0) })},
	"an event is published twice": {2, "an outbox row that is in Kafka more than once", changed(sent, func(h *history.History) { again(h, topicEvent, 1) })},
	"the order of a key is swapped": {2, "records of one key in another order than the outbox", changed(sent, func(h *history.History) {
		a, b := &h.Records[find(h, topicEvent, 0)], &h.Records[find(h, topicEvent, 1)]
		a.Offset, b.Offset = b.Offset, a.Offset
	})},
	"a record is not in the outbox":    {2, "a record that is not in the outbox", changed(sent, func(h *history.History) { dropRow(h, topicRequested) })},
	"a record is in another partition": {2, "an order in two partitions", changed(sent, func(h *history.History) { h.Records[find(h, topicSuccess, 0)].Partition = 2 })},

	"after_send twice":    {3, "an attempt with two after_send", changed(sent, func(h *history.History) { again(h, topicAfter, 0) })},
	"two terminal events": {3, "a generation with two terminal events", changed(sent, func(h *history.History) { again(h, topicSuccess, 0) })},
	"success and failed": {3, "a generation with two terminal events", changed(sent, func(h *history.History) {
		r := again(h, topicSuccess, 0)
		r.Topic, r.Headers = topicFailed, clone(r.Headers)
		r.Headers["ce_id"], r.Headers["ce_type"] = strings.Replace(r.Headers["ce_id"], topicSuccess, topicFailed, 1), topicFailed
		rewrite(r, func(s map[string]any) { s["status"] = "failed" })
		folded(h)
	})},
	"the outcome is before the call": {3, "", changed(sent, func(h *history.History) {
		c := call(h, 0)
		c.Began, c.Ended = c.Began.Add(time.Second), c.Ended.Add(time.Second)
	})},
	"the outcome is before the answer": {3, "an answer that the ERP did not give", changed(sent, func(h *history.History) {
		c := call(h, 0)
		c.Ended = c.Ended.Add(time.Second)
	})},
	"an answer that the ERP did not give": {3, "an answer that the ERP did not give", changed(retried, func(h *history.History) { call(h, 0).Status = 500 })},
	"before_send is missing": {3, "", changed(retried, func(h *history.History) {
		drop(h, topicBefore, 1)
		folded(h)
	})},
	"before_send is late": {3, "", changed(retried, func(h *history.History) {
		r := &h.Records[find(h, topicBefore, 1)]
		r.Timestamp = call(h, 1).Began.Add(5 * time.Millisecond)
	})},
	"before_send is missing before a repeated call": {3, "a call without before_send", changed(sent, func(h *history.History) {
		c := *call(h, 0)
		c.Number, c.Booked, c.Began, c.Ended = 77, false, c.Began.Add(time.Second), c.Ended.Add(time.Second)
		h.Calls = append(h.Calls, c)
	})},
	"an intent that is stated again says something else": {3, "a repeated intent with different content", changed(sent, func(h *history.History) {
		rewrite(again(h, topicBefore, 0), func(s map[string]any) { s["max_attempts"] = 9 })
		folded(h)
	})},
	"an attempt is left out": {3, "a gap in the attempts", changed(retried, func(h *history.History) {
		drop(h, topicAfter, 0)
		drop(h, topicRetry+"_1s", 0)
		drop(h, topicRetry+"_1s", 0)
		drop(h, topicDue, 0)
		folded(h)
	})},
	"a retry is announced and not parked": {3, "a retry that is announced and not in a retry topic", changed(retried, func(h *history.History) {
		drop(h, topicRetry+"_1s", 0)
		drop(h, topicRetry+"_1s", 0)
		drop(h, topicDue, 0)
	})},
	"a retry never becomes due": {3, "a retry that was processed and never due", changed(retried, func(h *history.History) { drop(h, topicDue, 0) })},
	"a retry becomes due twice": {3, "a retry that became due twice", changed(retried, func(h *history.History) { again(h, topicDue, 0) })},
	"an attempt without a call": {3, "an attempt without a call", func() *history.History {
		return around(func(o *actor) { o.invoiced(false).intends().wait(time.Second).concludes(0, nil).sends(201) })
	}},
	"what is held is sent": {3, "a generation that was sent and never released", changed(func(o *actor) { o.invoiced(true).releases().sends(201) }, func(h *history.History) {
		drop(h, topicRequested, 1)
		i := slices.IndexFunc(h.Outbox, func(r history.OutboxRow) bool { return r.Key == faulty && strings.Contains(r.EventID, "/268435457/") })
		h.Outbox = slices.Delete(h.Outbox, i, i+1)
	})},
	"a terminal event without a cause": {3, "a terminal event without a cause", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(503)
			o.gate, o.closedBy = "closed", "webhook"
			o.closes()
		})
	}},
	"a signature is wrong": {3, "an invalid call", changed(sent, func(h *history.History) { call(h, 0).Problem = "X-Signature is wrong" })},

	"a retry is 1 s early": {5, "a retry before its time", func() *history.History {
		return around(func(o *actor) { o.invoiced(false).sends(503).wait(-time.Second).sends(201) })
	}},
	"an order fails with attempts left": {5, "an order that failed with attempts left", func() *history.History {
		return around(func(o *actor) {
			o.short = true
			o.invoiced(false).sends(503)
		})
	}},
	"an order is given up too early": {5, "an order that was given up too early", func() *history.History {
		return around(func(o *actor) { o.invoiced(false).sends(503).wait(4 * time.Minute).givesUp() })
	}},
	"an order is given up after its last attempt": {5, "an order that was given up too early", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(500).sends(500).sends(500).sends(500).intends().calls(500, false, time.Millisecond).concludes(500, map[string]any{"retry-after": "400"})
			last := &o.records[len(o.records)-1]
			last.Value = json.RawMessage(strings.Replace(string(last.Value), "erp_rejected", "given_up", 1))
		})
	}},
	"a retry is planned too late": {5, "a retry after the time to give up", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).intends().calls(429, false, time.Millisecond).concludes(429, map[string]any{"retry-after": "401"}).givesUp()
		})
	}},
	"an attempt begins too late": {5, "an attempt after the time to give up", func() *history.History {
		return around(func(o *actor) { o.invoiced(false).sends(503).wait(5 * time.Minute).sends(201) })
	}},
	"the backoff is wrong": {5, "a retry with a wrong time", func() *history.History {
		h := around(func(o *actor) {
			o.invoiced(false).intends().calls(503, false, time.Millisecond).concludes(503, map[string]any{"retry-after": "4"}).sends(201)
		})
		r := &h.Records[find(h, topicAfter, 0)]
		r.Value = json.RawMessage(strings.Replace(string(r.Value), `"retry-after":"4"`, `"retry-after":"1"`, 1))
		return h
	}},
	"a retry is parked for another time": {5, "a retry whose record contradicts its after_send", changed(retried, func(h *history.History) {
		for i := range h.Records {
			if r := &h.Records[i]; r.Key == faulty && r.Topic == topicRetry+"_1s" {
				r.Headers = clone(r.Headers)
				r.Headers["due"] = fmt.Sprint(began.UnixMilli())
			}
		}
	})},
	"a retry is late": {5, "a retry that is late", func() *history.History {
		h := around(func(o *actor) { o.invoiced(false).sends(503).wait(time.Minute).sends(201) })
		h.Limits.Late = 5 * time.Second
		return h
	}},

	"calls overlap": {6, "calls of one order that overlap", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).intends().calls(201, false, time.Second).wait(-500 * time.Millisecond).sends(200)
		})
	}},
	"an older generation goes out after a newer one": {6, "an older generation after a newer one", changed(func(o *actor) {
		o.invoiced(false).sends(422).wait(time.Second).resyncs("resync").sends(201)
	}, func(h *history.History) {
		r := again(h, topicBefore, 0)
		r.Timestamp = began.Add(time.Minute)
	})},

	"the key changes at a retry": {7, "a generation with two keys", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(503)
			o.newKey()
			o.sends(201)
		})
	}},
	"the key changes at the resync of what was not answered": {7, "a new key though the one before was not answered", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).intends().calls(0, true, time.Second).concludes(0, nil).wait(-time.Second).settled("cancel").wait(time.Second).closes()
			o.answered = true
			o.resyncs("resync").sends(201)
		})
	}},
	"an answered key is used again": {7, "an answered key that was used again", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(201).wait(time.Minute)
			o.answered = false
			o.resyncs("resync").sends(200)
		})
	}},
	"an old callback settles the next generation": {7, "a generation settled by an old callback", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(201)
			first := "REF " + o.key
			o.wait(time.Second).resyncs("resync").sends(503).wait(-time.Second).calledBack("", first).wait(time.Second).closes()
		})
	}},
	"a callback's reference settles the next generation": {7, "a generation settled by an old callback", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(503).wait(-time.Second).calledBack("", "ERP-7").wait(time.Second).closes()
			o.wait(10*time.Second).resyncs("resync-new-key").sends(503).wait(-time.Second).calledBack("", "ERP-7").wait(time.Second).closes()
		})
	}},
	"a callback that names nothing settles the next generation": {7, "a generation settled by an old callback", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(201).wait(time.Second).resyncs("resync").sends(503).wait(-time.Second).calledBack("", "").wait(time.Second).closes()
		})
	}},
	"an older key settles the next generation": {7, "a generation settled by an old callback", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(201)
			older := o.key
			o.wait(time.Second).resyncs("resync").sends(503).wait(-time.Second).calledBack(older, "ERP-8").wait(time.Second).closes()
		})
	}},
	"a captured callback counts again": {7, "a callback that counted twice", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(201)
			more := map[string]any{"closed_by": "webhook", "last_attempt_at": nil, "attempts": 0}
			for range 2 {
				o.callbacks++
				o.says("success", more, `{"status": "accepted"}`)
			}
		})
	}},
	"a callback without the key uses it up": {7, "a new key though the one before was not answered", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(503).wait(-time.Second).calledBack("", "ERP-7").wait(time.Second).closes()
			o.answered = true
			o.wait(10 * time.Second).resyncs("resync").sends(201)
		})
	}},
	"an order is booked twice": {7, "an order booked twice under one key", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).intends().calls(201, false, time.Millisecond).killed(7 * time.Second)
			o.booked = map[string]bool{}
			o.sends(201)
		})
	}},
	"a call under an unknown key": {7, "a call under a key that the order never had", changed(sent, func(h *history.History) {
		c := *call(h, 0)
		c.Key, c.Began, c.Ended = "ERP_"+strings.Repeat("f", 32), c.Began.Add(time.Second), c.Ended.Add(time.Second)
		h.Calls = append(h.Calls, c)
	})},
	"a malformed key": {7, "a malformed key", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(true)
			o.key = "ORDER-123"
			o.facts, o.records, o.rows = nil, o.records[:len(o.records)-1], o.rows[:len(o.rows)-1]
			o.requested(false)
		})
	}},

	"the row is stale": {9, "a row that is not the fold of the log", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(201)
			o.facts, o.synced = o.facts[:len(o.facts)-1], false
		})
	}},
	"the row has another status":   {9, "a row that is not the fold of the log", changed(sent, func(h *history.History) { tableRow(h)["status"] = "failed" })},
	"the row has another payload":  {9, "a row that is not the fold of the log", changed(sent, func(h *history.History) { tableRow(h)["payload"] = "{}" })},
	"the row has another order id": {9, "a row that is not the fold of the log", changed(sent, func(h *history.History) { tableRow(h)["order_id"] = 8 })},
	"the row has other attempts":   {9, "a row that is not the fold of the log", changed(retried, func(h *history.History) { tableRow(h)["attempts"] = 1 })},
	"the row counts by arrival and not by version": {9, "a row that is not the fold of the log", changed(resyncWhileParked, func(h *history.History) {
		last := h.Records[find(h, topicFailed, 0)] // superseded, after the new generation's success
		r := tableRow(h)
		r["status"], r["generation"], r["version"] = "failed", 1, 285212683
		r["version_at"], r["updated_at"] = last.Headers["ce_time"], last.Headers["ce_time"]
	})},
	"the row is missing": {9, "a missing row in the table", changed(sent, dropTable)},
	"the row is of no order": {9, "a row without records", changed(sent, func(h *history.History) {
		h.Table = append(h.Table, history.SyncRow{"sync_id": 99, "source": "default", "order_increment_id": "99"})
	})},
	"erp_synced is not set":   {9, "a success without erp_synced", changed(sent, func(h *history.History) { tableRow(h)["erp_synced"] = 0 })},
	"erp_synced is set":       {9, "erp_synced without a success", changed(func(o *actor) { o.invoiced(false).sends(422) }, func(h *history.History) { tableRow(h)["erp_synced"] = 1 })},
	"the gate is open":        {9, "a gate that does not match the log", changed(sent, func(h *history.History) { gateOf(h)["state"] = "open" })},
	"the gate is of before":   {9, "a gate that does not match the log", changed(sent, func(h *history.History) { gateOf(h)["generation"] = 2 })},
	"the gate's key is other": {9, "a gate that does not match the log", changed(sent, func(h *history.History) { gateOf(h)["idempotency_key"] = "ERP_" })},
	"a gate of nothing": {9, "a gate that does not match the log", changed(func(o *actor) { o.publishes("order.placed", history.Accepted, true) }, func(h *history.History) {
		gateOf(h)["state"] = "open"
	})},

	"a record that cannot be read": {10, "a record that cannot be read", changed(sent, func(h *history.History) {
		r := again(h, topicAfter, 0)
		r.Value = json.RawMessage(`"\u0001"`)
	})},
	"a record that contradicts itself": {10, "a record that cannot be read", changed(sent, func(h *history.History) {
		r := again(h, topicAfter, 0)
		rewrite(r, func(s map[string]any) { s["attempts"] = 2 })
	})},
	"a dead letter": {10, "a dead letter", changed(sent, func(h *history.History) {
		h.Records = append(h.Records, history.Record{Topic: topicDeadLetter, Headers: map[string]string{"dead_letter_reason": "no"}})
	})},

	"readers stand still": {12, "readers that stalled too long", changed(func(o *actor) {
		o.invoiced(false).intends().killed(0).wait(time.Second).calls(201, false, time.Millisecond).concludes(201, nil)
	}, func(h *history.History) {
		r := h.Records[find(h, topicSuccess, 0)]
		for i := range h.Sightings {
			if s := &h.Sightings[i]; s.Topic == r.Topic && s.Offset == r.Offset && s.Partition == r.Partition {
				s.At = r.Timestamp.Add(2500 * time.Millisecond)
			}
		}
	})},
	"work is taken over too late": {12, "work that was taken over too late", func() *history.History {
		return around(func(o *actor) { o.invoiced(false).intends().killed(11 * time.Second).sends(201) })
	}},
	"a request is relayed too late": {12, "work that was taken over too late", changed(sent, func(h *history.History) {
		r := &h.Records[find(h, topicRequested, 0)]
		dies(h, "relay", r.Timestamp.Add(-time.Millisecond))
		r.Timestamp = r.Timestamp.Add(11 * time.Second)
	})},
	"a retry is forwarded too late": {12, "work that was taken over too late", changed(retried, func(h *history.History) {
		r := &h.Records[find(h, topicDue, 0)]
		dies(h, "delayer", r.Timestamp.Add(-time.Millisecond))
		r.Timestamp = r.Timestamp.Add(11 * time.Second)
	})},
}

func dies(h *history.History, service string, at time.Time) {
	h.Disturbances = append(h.Disturbances, history.Disturbance{
		Kind: "kill", Target: service + "-0", Service: service, Survivors: 1, At: at, Restarted: at.Add(time.Second), Ready: at.Add(time.Second),
	})
}
