package check

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// fault is a history with one planted fault, and the promise that it breaks.
type fault struct {
	promise int
	rule    string // the first violation's; empty: any of the promise
	plant   func() *history.History
}

const faulty = "000000123"

// around is a history in which the faulty order does what it is told, among others that do nothing wrong.
func around(tell func(o *actor)) *history.History {
	s := newScript()
	s.order("default", "1").publishes("order.placed", history.Accepted, true).invoiced(false).sends(503).sends(201)
	tell(s.order("default", faulty))
	s.order("shop-2", "2").invoiced(false).sends(422).wait(time.Second).resyncs("resync").sends(201)
	return s.history()
}

// bent is a history of a sound order that is changed afterwards.
func bent(tell func(o *actor), bend func(h *history.History)) func() *history.History {
	return func() *history.History {
		h := around(tell)
		bend(h)
		return h
	}
}

func sent(o *actor) { o.publishes("order.placed", history.Accepted, true).invoiced(false).sends(201) }

func retried(o *actor) { o.invoiced(false).sends(503).sends(201) }

// find is the n-th record of the faulty order in a topic, from 0.
func find(h *history.History, topic string, n int) int {
	for i, r := range h.Records {
		if r.Topic == topic && r.Key == faulty {
			if n == 0 {
				return i
			}
			n--
		}
	}
	panic("no such record in " + topic)
}

func drop(h *history.History, topic string, n int) {
	i := find(h, topic, n)
	h.Records = slices.Delete(h.Records, i, i+1)
}

func dropRow(h *history.History, topic string) {
	h.Outbox = slices.DeleteFunc(h.Outbox, func(r history.OutboxRow) bool { return r.Topic == topic && r.Key == faulty })
}

// again appends a copy of a record at the end of its partition.
func again(h *history.History, topic string, n int) *history.Record {
	r := h.Records[find(h, topic, n)]
	r.Offset, r.Timestamp = 1000, r.Timestamp.Add(time.Millisecond)
	h.Records = append(h.Records, r)
	return &h.Records[len(h.Records)-1]
}

// rewrite changes the sync of a record.
func rewrite(r *history.Record, change func(sync map[string]any)) {
	var v map[string]any
	if err := json.Unmarshal(r.Value, &v); err != nil {
		panic(err)
	}
	change(v["sync"].(map[string]any))
	r.Value, _ = json.Marshal(v)
}

func call(h *history.History, n int) *history.Call {
	for i := range h.Calls {
		if h.Calls[i].Order == faulty {
			if n == 0 {
				return &h.Calls[i]
			}
			n--
		}
	}
	panic("no such call")
}

func tableRow(h *history.History) history.SyncRow {
	for _, r := range h.Table {
		if r["order_increment_id"] == faulty {
			return r
		}
	}
	panic("no row")
}

func gateOf(h *history.History) history.Gate {
	for _, g := range h.Gates {
		if g["increment_id"] == faulty {
			return g
		}
	}
	panic("no gate")
}

// folded makes the row of the faulty order anew from the log, after a fault that the table would tell as well.
func folded(h *history.History) {
	c := newChecker(h)
	c.readRecords()
	r := tableRow(h)
	for column, v := range fold(c.orders[faulty].facts) {
		r[column] = v
		if v != nil {
			r[column] = told(v)
		}
		if n, ok := v.(int64); ok {
			r[column] = n
		}
	}
	r["erp_synced"] = nil
}

func dropTable(h *history.History) {
	h.Table = slices.DeleteFunc(h.Table, func(r history.SyncRow) bool { return r["order_increment_id"] == faulty })
}

// faults are what the checker must find, each under the promise that it breaks and under no other.
var faults = map[string]fault{
	"an event is lost": {1, "an accepted event that is lost", bent(sent, func(h *history.History) {
		drop(h, topicEvent, 0)
		i := slices.IndexFunc(h.Outbox, func(r history.OutboxRow) bool { return r.Key == faulty && r.Topic == topicEvent })
		h.Outbox = slices.Delete(h.Outbox, i, i+1)
	})},
	"an event is accepted twice": {1, "an event that was accepted twice", bent(sent, func(h *history.History) {
		r := again(h, topicEvent, 1)
		row := h.Outbox[len(h.Outbox)-1]
		row.ID, row.Topic, row.Key, row.UUID, row.EventID = row.ID+1, topicEvent, faulty, r.Headers["_watermill_message_uuid"], r.Headers["ce_id"]
		h.Outbox = append(h.Outbox, row)
	})},
	"a refused event stands in the log": {1, "a refused event that left a trace", bent(sent, func(h *history.History) {
		for i := range h.Publications {
			if h.Publications[i].Order == faulty && h.Publications[i].Type == "order.placed" {
				h.Publications[i].Known = history.Refused
			}
		}
	})},
	"a refused invoice is sent": {1, "a refused event that left a trace", bent(sent, func(h *history.History) {
		for i := range h.Publications {
			if h.Publications[i].Order == faulty && h.Publications[i].Type == invoiceCreated {
				h.Publications[i].Known = history.Refused
			}
		}
	})},
	"an event that nobody published": {1, "an event that nobody published", bent(sent, func(h *history.History) {
		h.Publications = slices.DeleteFunc(h.Publications, func(p history.Publication) bool { return p.Order == faulty && p.Type == "order.placed" })
	})},
	"half of what nobody heard of was done": {1, "an invoice without a request", func() *history.History {
		return around(func(o *actor) { o.publishes(invoiceCreated, history.Unknown, true) })
	}},
	"no terminal event, the chain is cut": {1, "a generation without an end", bent(sent, func(h *history.History) {
		drop(h, topicSuccess, 0)
		folded(h)
		gateOf(h)["state"] = "open"
	})},
	"a due retry vanishes": {1, "a generation without an end", func() *history.History {
		h := around(func(o *actor) { o.invoiced(false).sends(503) })
		drop(h, topicDue, 0)
		return h
	}},
	"the ERP does not know of the success": {1, "a success that the ERP does not know", bent(sent, func(h *history.History) { call(h, 0).Booked = false })},
	"a webhook that was accepted is lost": {1, "an accepted request that is lost", bent(sent, func(h *history.History) {
		h.Requests = append(h.Requests, history.Request{What: "webhook-accepted", Source: "default", Order: faulty, Began: began, Ended: began, Known: history.Accepted, HTTPCode: 200})
	})},
	"a generation that nobody asked for": {1, "a request that nobody asked for", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(422).wait(time.Second).resyncs("resync").sends(201)
			o.h.Requests = nil
		})
	}},

	"a request is lost between outbox and Kafka": {2, "an outbox row that is not in Kafka", bent(func(o *actor) { o.invoiced(false) }, func(h *history.History) {
		drop(h, topicRequested, 0)
		dropTable(h)
	})},
	"an event is lost between outbox and Kafka": {2, "an outbox row that is not in Kafka", bent(sent, func(h *history.History) { drop(h, topicEvent, 0) })},
	"a callback is lost between outbox and Kafka": {2, "an outbox row that is not in Kafka", bent(func(o *actor) {
		o.invoiced(false).sends(503).settled("webhook-accepted").closes()
	}, func(h *history.History) {
		drop(h, topicCallback, 0)
		folded(h)
	})},
	"a record is published twice": {2, "an outbox row that is in Kafka more than once", bent(sent, func(h *history.History) { again(h, topicRequested, 0) })},
	"an event is published twice": {2, "an outbox row that is in Kafka more than once", bent(sent, func(h *history.History) { again(h, topicEvent, 1) })},
	"the order of a key is swapped": {2, "records of one key that are not in the order of the outbox", bent(sent, func(h *history.History) {
		a, b := &h.Records[find(h, topicEvent, 0)], &h.Records[find(h, topicEvent, 1)]
		a.Offset, b.Offset = b.Offset, a.Offset
	})},
	"a record is not in the outbox":    {2, "a record that is not in the outbox", bent(sent, func(h *history.History) { dropRow(h, topicRequested) })},
	"a record is in another partition": {2, "an order in two partitions", bent(sent, func(h *history.History) { h.Records[find(h, topicSuccess, 0)].Partition = 2 })},

	"after_send twice":    {3, "an attempt with two after_send", bent(sent, func(h *history.History) { again(h, topicAfter, 0) })},
	"two terminal events": {3, "a generation with two terminal events", bent(sent, func(h *history.History) { again(h, topicSuccess, 0) })},
	"success and failed": {3, "a generation with two terminal events", bent(sent, func(h *history.History) {
		r := again(h, topicSuccess, 0)
		r.Topic, r.Headers = topicFailed, clone(r.Headers)
		r.Headers["ce_id"], r.Headers["ce_type"] = strings.Replace(r.Headers["ce_id"], topicSuccess, topicFailed, 1), topicFailed
		rewrite(r, func(s map[string]any) { s["status"] = "failed" })
		folded(h)
	})},
	"the outcome stands before the call": {3, "", bent(sent, func(h *history.History) {
		c := call(h, 0)
		c.Began, c.Ended = c.Began.Add(time.Second), c.Ended.Add(time.Second)
	})},
	"the outcome stands before the answer": {3, "an answer that the ERP did not give", bent(sent, func(h *history.History) {
		c := call(h, 0)
		c.Ended = c.Ended.Add(time.Second)
	})},
	"an answer that the ERP did not give": {3, "an answer that the ERP did not give", bent(retried, func(h *history.History) { call(h, 0).Status = 500 })},
	"before_send is missing": {3, "", bent(retried, func(h *history.History) {
		drop(h, topicBefore, 1)
		folded(h)
	})},
	"before_send is late": {3, "", bent(retried, func(h *history.History) {
		r := &h.Records[find(h, topicBefore, 1)]
		r.Timestamp = call(h, 1).Began.Add(5 * time.Millisecond)
	})},
	"before_send is missing before a repeated call": {3, "a call without before_send", bent(sent, func(h *history.History) {
		c := *call(h, 0)
		c.Number, c.Booked, c.Began, c.Ended = 77, false, c.Began.Add(time.Second), c.Ended.Add(time.Second)
		h.Calls = append(h.Calls, c)
	})},
	"an intent that is stated again says something else": {3, "an intent that was stated again and says something else", bent(sent, func(h *history.History) {
		rewrite(again(h, topicBefore, 0), func(s map[string]any) { s["max_attempts"] = 9 })
		folded(h)
	})},
	"an attempt is left out": {3, "a hole in the attempts", bent(retried, func(h *history.History) {
		drop(h, topicAfter, 0)
		drop(h, topicRetry+"_1s", 0)
		drop(h, topicRetry+"_1s", 0)
		drop(h, topicDue, 0)
		folded(h)
	})},
	"a retry is announced and not parked": {3, "a retry that is announced and not parked", bent(retried, func(h *history.History) {
		drop(h, topicRetry+"_1s", 0)
		drop(h, topicRetry+"_1s", 0)
		drop(h, topicDue, 0)
	})},
	"a retry becomes due twice": {3, "a retry that became due twice", bent(retried, func(h *history.History) { again(h, topicDue, 0) })},
	"an attempt that called nobody": {3, "an attempt without a call", func() *history.History {
		return around(func(o *actor) { o.invoiced(false).intends().wait(time.Second).concludes(0, nil).sends(201) })
	}},
	"what is held is sent": {3, "a generation that went out and was not let go", bent(func(o *actor) { o.invoiced(true).releases().sends(201) }, func(h *history.History) {
		drop(h, topicRequested, 1)
		i := slices.IndexFunc(h.Outbox, func(r history.OutboxRow) bool { return r.Key == faulty && strings.Contains(r.EventID, "/268435457/") })
		h.Outbox = slices.Delete(h.Outbox, i, i+1)
	})},
	"an end for no reason": {3, "an end for no reason", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).sends(503)
			o.gate, o.closedBy = "closed", "webhook"
			o.closes()
		})
	}},
	"a signature is wrong": {3, "a call that is not as it should be", bent(sent, func(h *history.History) { call(h, 0).Problem = "X-Signature is wrong" })},

	"a retry is 1 s early": {5, "a retry before its time", func() *history.History {
		return around(func(o *actor) { o.invoiced(false).sends(503).wait(-time.Second).sends(201) })
	}},
	"the backoff is wrong": {5, "a retry planned for another time", func() *history.History {
		h := around(func(o *actor) {
			o.invoiced(false).intends().calls(503, false, time.Millisecond).concludes(503, map[string]any{"retry-after": "4"}).sends(201)
		})
		r := &h.Records[find(h, topicAfter, 0)]
		r.Value = json.RawMessage(strings.Replace(string(r.Value), `"retry-after":"4"`, `"retry-after":"1"`, 1))
		return h
	}},
	"a retry is parked for another time": {5, "a retry for another time than announced", bent(retried, func(h *history.History) {
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
	"an older generation goes out after a newer one": {6, "an older generation after a newer one", bent(func(o *actor) {
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
	"an order is booked twice": {7, "an order booked twice under one key", func() *history.History {
		return around(func(o *actor) {
			o.invoiced(false).intends().calls(201, false, time.Millisecond).killed(7 * time.Second)
			o.booked = map[string]bool{}
			o.sends(201)
		})
	}},
	"a call under a key of nobody's": {7, "a call under a key that the order never had", bent(sent, func(h *history.History) {
		c := *call(h, 0)
		c.Key, c.Began, c.Ended = "ERP_"+strings.Repeat("f", 32), c.Began.Add(time.Second), c.Ended.Add(time.Second)
		h.Calls = append(h.Calls, c)
	})},
	"a key that is none": {7, "a key that is none", func() *history.History {
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
	"the row has another status":   {9, "a row that is not the fold of the log", bent(sent, func(h *history.History) { tableRow(h)["status"] = "failed" })},
	"the row has another payload":  {9, "a row that is not the fold of the log", bent(sent, func(h *history.History) { tableRow(h)["payload"] = "{}" })},
	"the row has another order id": {9, "a row that is not the fold of the log", bent(sent, func(h *history.History) { tableRow(h)["order_id"] = 8 })},
	"the row has other attempts":   {9, "a row that is not the fold of the log", bent(retried, func(h *history.History) { tableRow(h)["attempts"] = 1 })},
	"the row counts by arrival and not by version": {9, "a row that is not the fold of the log", bent(resyncWhileParked, func(h *history.History) {
		last := h.Records[find(h, topicFailed, 0)] // superseded, after the new generation's success
		r := tableRow(h)
		r["status"], r["generation"], r["version"] = "failed", 1, 285212683
		r["version_at"], r["updated_at"] = last.Headers["ce_time"], last.Headers["ce_time"]
	})},
	"the row is missing": {9, "a row that the table does not have", bent(sent, dropTable)},
	"the row is of no order": {9, "a row that the log does not have", bent(sent, func(h *history.History) {
		h.Table = append(h.Table, history.SyncRow{"sync_id": 99, "source": "default", "order_increment_id": "99"})
	})},
	"erp_synced is not set":   {9, "a success without erp_synced", bent(sent, func(h *history.History) { tableRow(h)["erp_synced"] = 0 })},
	"erp_synced is set":       {9, "erp_synced without a success", bent(func(o *actor) { o.invoiced(false).sends(422) }, func(h *history.History) { tableRow(h)["erp_synced"] = 1 })},
	"the gate is open":        {9, "gate and log at odds", bent(sent, func(h *history.History) { gateOf(h)["state"] = "open" })},
	"the gate is of before":   {9, "gate and log at odds", bent(sent, func(h *history.History) { gateOf(h)["generation"] = 2 })},
	"the gate's key is other": {9, "gate and log at odds", bent(sent, func(h *history.History) { gateOf(h)["idempotency_key"] = "ERP_" })},
	"a gate of nothing": {9, "gate and log at odds", bent(func(o *actor) { o.publishes("order.placed", history.Accepted, true) }, func(h *history.History) {
		gateOf(h)["state"] = "open"
	})},

	"a record that cannot be read": {10, "a record that cannot be read", bent(sent, func(h *history.History) {
		r := again(h, topicAfter, 0)
		r.Value = json.RawMessage(`"\u0001"`)
	})},
	"a record that contradicts itself": {10, "a record that cannot be read", bent(sent, func(h *history.History) {
		r := again(h, topicAfter, 0)
		rewrite(r, func(s map[string]any) { s["attempts"] = 2 })
	})},
	"a dead letter": {10, "a dead letter", bent(sent, func(h *history.History) {
		h.Records = append(h.Records, history.Record{Topic: topicDeadLetter, Headers: map[string]string{"dead_letter_reason": "no"}})
	})},

	"readers stand still": {12, "readers that stood still too long", bent(func(o *actor) {
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
}

func clone(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Each planted fault is found, under the promise that it breaks and no other, and told with the story of its order.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Check(f.plant())
			require.NotEmpty(t, r.Violations)
			rules := map[string]bool{}
			for _, v := range r.Violations {
				require.Equal(t, f.promise, v.Promise, "%s", r)
				rules[v.Rule] = true
				if v.Order != "" && v.Rule != "a row that the log does not have" {
					require.NotEmpty(t, v.Story)
				}
			}
			if f.rule != "" {
				require.Equal(t, map[string]bool{f.rule: true}, rules, "%s", r)
			}
		})
	}
}

// The same faults are found in a history that was saved and loaded.
func TestPlantedFaultsInAFile(t *testing.T) {
	t.Parallel()
	for name, f := range faults {
		h := f.plant()
		path := t.TempDir() + "/history.json"
		require.NoError(t, h.Save(path), name)
		loaded, err := history.Load(path)
		require.NoError(t, err, name)
		require.Equal(t, Check(h), Check(loaded), name)
	}
}

// What would be wrong, but for a process that was stopped and let go on, or for a broker that was away.
func TestWhatADisturbanceExcuses(t *testing.T) {
	t.Parallel()
	stop := history.Disturbance{What: "stop", Target: "syncer-0", Service: "syncer", Others: 1, At: began, Back: began.Add(20 * time.Second)}
	for _, name := range []string{"calls overlap", "an older generation goes out after a newer one", "before_send is missing before a repeated call", "readers stand still", "work is taken over too late"} {
		h := faults[name].plant()
		if name == "an older generation goes out after a newer one" {
			stop.Back = began.Add(time.Minute)
		}
		h.Disturbances = append(h.Disturbances, stop)
		require.Empty(t, Check(h).Violations, name)
	}
	broker := history.Disturbance{What: "kill", Target: "broker", At: began, Back: began.Add(time.Second), Ready: began.Add(2 * time.Second)}
	for _, name := range []string{"readers stand still", "work is taken over too late"} {
		h := faults[name].plant()
		h.Disturbances = append(h.Disturbances, broker)
		r := Check(h)
		require.Empty(t, r.Violations, name)
		require.Positive(t, r.Figures.Recovery.Took+r.Figures.StallInOutage, name)
	}
	h := faults["a retry is announced and not parked"].plant()
	h.Starts = append(h.Starts, history.Start{Topic: topicRetry + "_1s", Partition: 0, Offset: 5})
	require.Empty(t, Check(h).Violations)
}

// The checker must not make the product's mistakes: it shares nothing with it but the facts.
func TestSharesNoCodeWithTheProduct(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../check", "../collect", "../cmd/check").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if strings.HasPrefix(dep, "github.com/erpconnector/erpconnector/") {
			require.True(t, strings.HasPrefix(dep, "github.com/erpconnector/erpconnector/infra/crash/"), dep)
			require.Contains(t, []string{"history", "check", "collect", "cmd/check"}, strings.TrimPrefix(dep, "github.com/erpconnector/erpconnector/infra/crash/"))
		}
	}
}
