package domain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// line is a line of an order as JSON, of an id and a parent that are written as they are given.
func line(id, parent string) string {
	return fmt.Sprintf(`{"item_id":%s,"parent_item_id":%s,"sku":"S%s","name":"","qty":1,"price":2,"row_total":2}`, id, parent, id)
}

func orderOf(t testing.TB, lines ...string) Order {
	t.Helper()
	var o Order
	require.NoError(t, json.Unmarshal([]byte(`{"items":[`+strings.Join(lines, ",")+`],
		"totals":{"subtotal":0,"tax":0,"shipping":0,"discount":0,"grand_total":0}}`), &o))
	return o
}

// sentSKUs are the lines that the ERP is sent.
func sentSKUs(t testing.TB, payload []byte) (skus []string) {
	t.Helper()
	var p struct{ Items []struct{ SKU string } }
	require.NoError(t, json.Unmarshal(payload, &p))
	for _, it := range p.Items {
		skus = append(skus, it.SKU)
	}
	return skus
}

// Projected: a line with parent 0, with itself or an unknown line as its parent was dropped, and an order without any line
// was booked.
func TestNoLineIsDroppedInSilence(t *testing.T) {
	t.Parallel()
	const ownOrParent = "name its parent, or null for a line of its own"
	for name, c := range map[string]struct {
		lines   []string
		sent    []string
		notSent []string
		flaws   []string
	}{
		"none_is_null":         {lines: []string{line("1", "null"), line("2", "null")}, sent: []string{"S1", "S2"}},
		"none_is_0":            {lines: []string{line("1", "0"), line("2", "0")}, sent: []string{"S1", "S2"}},
		"none_is_an_empty_one": {lines: []string{line("1", `""`), line("2", `""`)}, sent: []string{"S1", "S2"}},
		"none_is_left_out":     {lines: []string{`{"sku":"A","qty":1,"price":1,"row_total":1}`}, sent: []string{"A"}},
		"a_child": {
			lines: []string{line("1", "null"), line("2", "1")}, sent: []string{"S1"},
			notSent: []string{"/order/items/1 is part of /order/items/0, which is sent for both"},
		},
		"children_before_their_parent": {
			lines: []string{line("1", "3"), line("2", "3"), line("3", "0")}, sent: []string{"S3"},
			notSent: []string{"/order/items/0 is part of /order/items/2, which is sent for both", "/order/items/1 is part of /order/items/2, which is sent for both"},
		},
		"a_child_of_a_child": {
			lines: []string{line("1", "2"), line("2", "3"), line("3", "null")}, sent: []string{"S3"},
			notSent: []string{"/order/items/0 is part of /order/items/2, which is sent for both", "/order/items/1 is part of /order/items/2, which is sent for both"},
		},
		"ids_that_nobody_names_may_repeat": {lines: []string{line("1", "null"), line("1", "null"), line("null", "null")}, sent: []string{"S1", "S1", "Snull"}},
		"its_own_parent": {
			lines: []string{line("1", "null"), line("2", "2")},
			flaws: []string{"/order/items/1/parent_item_id is 2, which is the line itself: " + ownOrParent},
		},
		"an_unknown_parent": {
			lines: []string{line("1", "7"), line("null", "-1")},
			flaws: []string{
				"/order/items/0/parent_item_id is 7, but no line of the order has that item_id: send the parent too, or null for a line of its own",
				"/order/items/1/parent_item_id is -1, but no line of the order has that item_id: send the parent too, or null for a line of its own",
			},
		},
		"a_circle": {
			lines: []string{line("1", "2"), line("2", "3"), line("3", "2"), line("4", "null"), line("5", "1")},
			flaws: []string{"/order/items/1/parent_item_id is 3, and the parents of that line lead back to this one: name the line that is sent, or null for a line of its own"},
		},
		"a_parent_that_is_there_twice": {
			lines: []string{line("1", "null"), line("1", "null"), line("2", "1")},
			flaws: []string{"/order/items/2/parent_item_id is 1, but 2 lines of the order have that item_id (/order/items/0 is the first): give each its own"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := orderOf(t, c.lines...)
			var flaws []string
			for _, f := range CheckLines(o.Items) {
				flaws = append(flaws, f.String())
			}
			require.Equal(t, c.flaws, flaws)
			payload, err := BuildPayload(OrderRef{DefaultSource, "1"}, o)
			if len(c.flaws) > 0 {
				require.EqualError(t, err, c.flaws[0], "a snapshot that was accepted before the rule")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.sent, sentSKUs(t, payload))
			require.Equal(t, c.notSent, o.Remarks().NotSent)
		})
	}
}

func TestAnOrderWithoutALineIsNotSent(t *testing.T) {
	t.Parallel()
	_, err := BuildPayload(OrderRef{DefaultSource, "1"}, orderOf(t))
	require.EqualError(t, err, "/order/items has no line to send")
}

func TestAParentIsAWholeNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{`null`: "null", `0`: "null", `""`: "null", `-0`: "null", `7`: "7", `-7`: "-7", `"7"`: "", `" "`: "", `1.5`: "", `[]`: "", `9223372036854775808`: ""} {
		var it Item
		err := json.Unmarshal([]byte(`{"parent_item_id":`+in+`}`), &it)
		if want == "" {
			var typeError *json.UnmarshalTypeError
			require.ErrorAs(t, err, &typeError, in)
			continue
		}
		require.NoError(t, err, in)
		out, err := json.Marshal(it.ParentItemID)
		require.NoError(t, err)
		require.Equal(t, want, string(out), in)
	}
}

// Whatever lines name each other: each is sent, or is part of one that is, or nothing is.
func TestEachLineIsSentOrPartOfOneThatIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Item {
			it := Item{ParentItemID: ParentID(rapid.IntRange(0, 5).Draw(t, "parent"))}
			if rapid.Bool().Draw(t, "has_id") {
				it.ItemID = ptr(rapid.Int64Range(0, 5).Draw(t, "id"))
			}
			return it
		}), 1, 8).Draw(t, "items")
		whole, flaws := wholes(items)
		sent, err := payloadItems(items)
		require.Equal(t, len(flaws) > 0, err != nil, "an order whose lines are right has one to send: %v", err)
		if err != nil {
			return
		}
		roots := 0
		for i, it := range items {
			at := i
			for steps := 0; items[at].ParentItemID != 0; steps++ {
				require.Less(t, steps, len(items))
				at = slices.IndexFunc(items, func(p Item) bool { return p.ItemID != nil && ParentID(*p.ItemID) == items[at].ParentItemID })
			}
			if it.ParentItemID == 0 {
				roots++
			}
			require.True(t, whole == nil || whole[i] == at, "line %d is sent as line %d", i, at)
		}
		require.Len(t, sent, roots)
	})
}
