package checker

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

// around returns a history in which the faulty order does what the test says, among others without a fault.
func around(script func(o *actor)) *history.History {
	s := newScript()
	s.order("default", "1").publishes("order.placed", history.Accepted, true).invoiced(false).sends(503).sends(201)
	script(s.order("default", faulty))
	s.order("shop-2", "2").invoiced(false).sends(422).wait(time.Second).resyncs("resync").sends(201)
	return s.history()
}

// changed returns a history of a correct order that is changed afterwards.
func changed(script func(o *actor), change func(h *history.History)) func() *history.History {
	return func() *history.History {
		h := around(script)
		change(h)
		return h
	}
}

func sent(o *actor) { o.publishes("order.placed", history.Accepted, true).invoiced(false).sends(201) }

func retried(o *actor) { o.invoiced(false).sends(503).sends(201) }

// find returns the index of the n-th record of the faulty order in a topic, from 0.
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

// folded makes the row of the faulty order anew from the log, after a fault that the table would show as well.
func folded(h *history.History) {
	c := newChecker(h)
	c.readRecords()
	r := tableRow(h)
	for column, v := range fold(c.orders[faulty].facts) {
		r[column] = v
		if v != nil {
			r[column] = textOf(v)
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

func clone(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Each planted fault is found, under the promise that it breaks and no other, and reported with the trace of its order.
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
				if v.Order != "" && v.Rule != "a row without records" {
					require.NotEmpty(t, v.Trace)
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

// Whatever is missing from a history is found, except for copies (a retry in its tiers, a repeated before_send) and calls
// without an answer.
func TestWhateverIsMissingIsFound(t *testing.T) {
	t.Parallel()
	for seed := range 3 {
		h := random(uint64(seed)) //nolint:gosec // below 3
		for i, r := range h.Records {
			if i%3 != seed || strings.HasPrefix(r.Topic, topicRetry+"_") || copies(h, r) > 1 { // a third of each is enough
				continue
			}
			requireMissed(t, h, fmt.Sprintf("seed %d, %s %d@%d", seed, r.Topic, r.Partition, r.Offset), func(m *history.History) { m.Records = without(h.Records, i) })
		}
		for i, call := range h.Calls {
			if i%3 == seed && call.Status != 0 {
				requireMissed(t, h, fmt.Sprintf("seed %d, call %d", seed, call.Number), func(m *history.History) { m.Calls = without(h.Calls, i) })
			}
		}
		for i := seed; i < len(h.Outbox); i += 3 {
			requireMissed(t, h, fmt.Sprintf("seed %d, row %d", seed, i+1), func(m *history.History) { m.Outbox = without(h.Outbox, i) })
		}
		for i := seed; i < len(h.Table); i += 3 {
			requireMissed(t, h, fmt.Sprintf("seed %d, sync %v", seed, h.Table[i]["sync_id"]), func(m *history.History) { m.Table = without(h.Table, i) })
		}
	}
}

func without[T any](all []T, i int) []T { return slices.Delete(slices.Clone(all), i, i+1) }

func copies(h *history.History, r history.Record) (n int) {
	for _, o := range h.Records {
		if o.Topic == r.Topic && o.Headers["ce_id"] == r.Headers["ce_id"] {
			n++
		}
	}
	return n
}

func requireMissed(t *testing.T, h *history.History, what string, take func(*history.History)) {
	t.Helper()
	less := *h
	take(&less)
	require.NotEmpty(t, Check(&less).Violations, what)
}

// What would be wrong, except that a process was stopped and continued, or a broker was down.
func TestWhatADisturbanceExcuses(t *testing.T) {
	t.Parallel()
	stop := history.Disturbance{Kind: "stop", Target: "syncer-0", Service: "syncer", Survivors: 1, At: began, Restarted: began.Add(20 * time.Second)}
	for _, name := range []string{"calls overlap", "an older generation goes out after a newer one", "before_send is missing before a repeated call", "readers stand still", "work is taken over too late"} {
		h := faults[name].plant()
		if name == "an older generation goes out after a newer one" {
			stop.Restarted = began.Add(time.Minute)
		}
		h.Disturbances = append(h.Disturbances, stop)
		require.Empty(t, Check(h).Violations, name)
	}
	broker := history.Disturbance{Kind: "kill", Target: "broker", At: began, Restarted: began.Add(time.Second), Ready: began.Add(2 * time.Second)}
	for _, name := range []string{"readers stand still", "work is taken over too late"} {
		h := faults[name].plant()
		h.Disturbances = append(h.Disturbances, broker)
		r := Check(h)
		require.Empty(t, r.Violations, name)
		require.Positive(t, r.Figures.Recovery.Took+r.Figures.StallInOutage, name)
	}
	h := faults["work is taken over too late"].plant()
	dies(h, "syncer", began)
	r := Check(h)
	require.Empty(t, r.Violations)
	require.Greater(t, r.Figures.TakeOverInSeries.Took, 10*time.Second)
	h = faults["a retry is announced and not parked"].plant()
	h.Starts = append(h.Starts, history.Start{Topic: topicRetry + "_1s", Partition: 0, Offset: 5})
	require.Empty(t, Check(h).Violations)
}

// A mistake in shared code would be in product and checker, and no run would show it.
func TestSharesNoCodeWithTheProduct(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../checker", "../collect", "../cmd/check").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if strings.HasPrefix(dep, "github.com/erpconnector/erpconnector/") {
			require.True(t, strings.HasPrefix(dep, "github.com/erpconnector/erpconnector/infra/crash/"), dep)
			require.Contains(t, []string{"history", "checker", "collect", "cmd/check"}, strings.TrimPrefix(dep, "github.com/erpconnector/erpconnector/infra/crash/"))
		}
	}
}

// The same as the fault "an answered key is used again", while Postgres could not store the answer.
func TestAnAnswerThatAnOutageHidFromTheGateIsAFigure(t *testing.T) {
	t.Parallel()
	h := faults["an answered key is used again"].plant()
	h.Disturbances = append(h.Disturbances, history.Disturbance{Kind: "kill", Target: "postgres", At: h.Began, Restarted: h.Ended, Ready: h.Ended})
	r := Check(h)
	require.Empty(t, r.Violations, "%s", r)
	require.Equal(t, 1, r.Figures.AnsweredKeysReused)
}
