package checker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// checkTable is promise 9. The table is the fold of the log, row by row and column by column. sales_order says that the ERP
// has an order when a fact does.
func (c *checker) checkTable() {
	table := map[int64]history.SyncRow{}
	for _, r := range c.h.Table {
		id, _ := number(r["sync_id"])
		if table[id] != nil {
			c.violate(9, "a duplicate row in the table", c.orderOf(r), "sync %d", id)
		}
		table[id] = r
	}
	reported := map[int64]bool{}
	for _, o := range c.inOrder() {
		for _, id := range o.syncIDs() {
			reported[id] = true
			c.checkSync(o, id, table[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(table)) {
		if !reported[id] {
			c.violate(9, "a row without records", c.orderOf(table[id]), "sync %d of order %v", id, table[id]["order_increment_id"])
		}
	}
}

// orderOf returns the order of a row.
func (c *checker) orderOf(r history.SyncRow) *order {
	source, _ := r["source"].(string)
	id, _ := r["order_increment_id"].(string)
	return c.order(orderKey(source, id))
}

// syncIDs returns the sync ids of the order's facts, smallest first. There must be one.
func (o *order) syncIDs() []int64 {
	ids := map[int64]bool{}
	for _, f := range o.facts {
		ids[f.sync.SyncID] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// checkSync compares the row of one sync with the fold of its facts.
func (c *checker) checkSync(o *order, id int64, live history.SyncRow) {
	if ids := o.syncIDs(); len(ids) > 1 && id == ids[0] {
		c.violate(1, "an order with two syncs", o, "sync ids %v", ids)
	}
	var facts []*fact
	for _, f := range o.facts {
		if f.sync.SyncID == id {
			facts = append(facts, f)
		}
	}
	want := fold(facts)
	switch {
	case want == nil && !o.lost:
		c.violate(9, "callbacks without a request", o, "sync %d has callbacks and nothing else", id)
	case want == nil:
	case live == nil:
		c.violate(9, "a missing row in the table", o, "sync %d", id)
	default:
		c.compareRow(o, want, live)
		c.compareOrderID(o, facts, live)
		c.compareSynced(o, facts, live)
	}
}

// compareRow compares all columns of the fold, and reports those that differ in one violation.
func (c *checker) compareRow(o *order, want row, live history.SyncRow) {
	var differ []string
	for _, column := range slices.Sorted(maps.Keys(want)) {
		if got := textAs(want[column], live[column]); got != textOf(want[column]) {
			differ = append(differ, fmt.Sprintf("%s is %s, by the log %s", column, shorten(got), shorten(textOf(want[column]))))
		}
	}
	if len(differ) > 0 {
		c.violate(9, "a row that is not the fold of the log", o, "sync %v: %s", want["sync_id"], strings.Join(differ, "; "))
	}
}

// compareOrderID accepts any id that a fact has: which one is first depends on the order of arrival.
func (c *checker) compareOrderID(o *order, facts []*fact, live history.SyncRow) {
	var ids []string
	for _, f := range facts {
		if f.sync.OrderID != nil {
			ids = append(ids, textOf(*f.sync.OrderID))
		}
	}
	got := textAs(int64(0), live["order_id"])
	if (len(ids) == 0 && got != textOf(nil)) || (len(ids) > 0 && !slices.Contains(ids, got)) {
		c.violate(9, "a row that is not the fold of the log", o, "order_id is %s, the log has %v", got, ids)
	}
}

// compareSynced compares erp_synced where the history has it. A success that a later generation overtook may be marked or
// not.
func (c *checker) compareSynced(o *order, facts []*fact, live history.SyncRow) {
	value, there := live["erp_synced"]
	if !there || value == nil {
		return
	}
	synced := fmt.Sprint(value) != "0" && value != false
	ever := slices.ContainsFunc(facts, func(f *fact) bool { return f.sync.Status == "success" })
	switch {
	case synced && !ever:
		c.violate(9, "erp_synced without a success", o, "sales_order says synced, and no fact of the order does")
	case !synced && live["status"] == "success" && ever:
		c.violate(9, "a success without erp_synced", o, "the sync's status is success, and sales_order says not synced")
	}
}

// textOf returns a value of the fold as text, so that rows from Postgres and rows from a file compare the same.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000000Z")
	default:
		return fmt.Sprint(v)
	}
}

// textAs returns a value of the table as text, read as the type that the fold has in its place.
func textAs(want, got any) string {
	if got == nil {
		return "null"
	}
	if n, ok := number(got); ok {
		return fmt.Sprint(n)
	}
	if _, isText := want.(string); isText {
		return fmt.Sprint(got)
	}
	if text, ok := got.(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return textOf(t)
		}
	}
	return textOf(got)
}

// number returns a whole number, as a database driver or a JSON decoder gives it.
func number(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		return int64(v), v == float64(int64(v))
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	default:
		return 0, false
	}
}

// shorten cuts a value for a report, as a payload may be long.
func shorten(text string) string {
	const maxLen = 120
	if len(text) <= maxLen {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:maxLen], len(text))
}
