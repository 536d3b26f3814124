package accept

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "60") // each writes to Postgres; the command line wins
	testkit.Main(m)
}

// drawnOrder is an order as a shop may write it: JSON text for each value, empty for one that is left out.
type drawnOrder struct {
	id     string
	lines  []map[string]string
	totals map[string]string
	adjust []map[string]string
}

// amounts are what shops write for an amount, rightly or, more rarely, not.
var amounts = rapid.SampledFrom([]string{
	``, `null`, `0`, `"0.00"`, `1`, `"12.50"`, `99.990`, `-5`, `"-0.01"`, `1e2`, `1.5E-3`, `12345678901234.12345678`, `"007"`, `-0`,
	``, `null`, `0`, `"0.00"`, `1`, `"12.50"`, `99.990`, `-5`, `"-0.01"`, `1e2`, `1.5E-3`, `12345678901234.12345678`, `"007"`, `-0`,
	`29.949999999999999`, `1.42e-14`, `1e400000`, `"12,50"`, `""`, `true`,
})

var fineAmounts = rapid.SampledFrom([]string{`0`, `"0.00"`, `1`, `"12.50"`, `99.990`, `5`, `1e2`, `1.5E-3`, `12345678901234.12345678`, `"007"`})

// drawOrder is an order of a careful shop with a slip here and there, or of one that writes anything.
func drawOrder(t *rapid.T) drawnOrder {
	if rapid.IntRange(0, 3).Draw(t, "careless") == 0 {
		return drawCareless(t)
	}
	o := drawnOrder{id: "1001", totals: map[string]string{}}
	slips := func(of string) bool { return rapid.IntRange(0, 15).Draw(t, of) == 0 }
	amount := func(name string) string {
		if slips(name + " slips") {
			return rapid.SampledFrom([]string{``, `null`, `-0`, `-1`}).Draw(t, name)
		}
		return fineAmounts.Draw(t, name)
	}
	parent := 0
	for i := range rapid.IntRange(1, 6).Draw(t, "lines") {
		line := map[string]string{"item_id": fmt.Sprint(i + 1), "parent_item_id": rapid.SampledFrom([]string{``, `null`, `0`, `""`}).Draw(t, "none")}
		if parent > 0 && rapid.Bool().Draw(t, "is_part") {
			line["parent_item_id"] = fmt.Sprint(parent)
		} else {
			parent = i + 1
		}
		line["sku"], line["name"], line["qty"] = fmt.Sprintf(`"S%d"`, i), `"Größe <L>"`, amount("qty")
		line["price"], line["row_total"] = amount("price"), amount("row_total")
		o.lines = append(o.lines, line)
	}
	sum := 0
	for _, name := range []string{"subtotal", "tax", "shipping"} {
		n := rapid.IntRange(0, 100).Draw(t, name)
		o.totals[name] = fmt.Sprint(n)
		sum += n
	}
	o.totals["discount"], o.totals["grand_total"] = `"0.00"`, fmt.Sprint(sum)
	if slips("total slips") {
		o.totals[rapid.SampledFrom([]string{"tax", "shipping", "discount"}).Draw(t, "of")] = rapid.SampledFrom([]string{``, `null`, `1`}).Draw(t, "total")
	}
	return o
}

func drawCareless(t *rapid.T) drawnOrder {
	o := drawnOrder{id: rapid.SampledFrom([]string{"1001", "A/1%2", "№ 7", " 1001", "10\u00a001", "1001\u200b", ".."}).Draw(t, "id"), totals: map[string]string{}}
	for i := range rapid.IntRange(1, 3).Draw(t, "lines") {
		o.lines = append(o.lines, map[string]string{
			"sku": fmt.Sprintf(`"S%d"`, i), "name": `"Größe <L>"`, "qty": amounts.Draw(t, "qty"), "price": amounts.Draw(t, "price"), "row_total": amounts.Draw(t, "row_total"),
			"item_id":        rapid.SampledFrom([]string{fmt.Sprint(i + 1), fmt.Sprint(i + 1), ``, `null`, `1`}).Draw(t, "item_id"),
			"parent_item_id": rapid.SampledFrom([]string{``, `null`, `0`, `""`, `1`, `2`, `3`, `9`}).Draw(t, "parent"),
		})
	}
	for _, name := range []string{"subtotal", "tax", "shipping", "discount", "grand_total"} {
		o.totals[name] = amounts.Draw(t, name)
	}
	for range rapid.IntRange(0, 2).Draw(t, "adjustments") {
		o.adjust = append(o.adjust, map[string]string{"code": `"gift"`, "amount": amounts.Draw(t, "adjustment")})
	}
	return o
}

// object is JSON of members, without those that are empty.
func object(members map[string]string) string {
	var parts []string
	for name, value := range members {
		if value != "" {
			parts = append(parts, fmt.Sprintf("%q: %s", name, value))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func list(objects []map[string]string) string {
	var parts []string
	for _, o := range objects {
		parts = append(parts, object(o))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func (o drawnOrder) event(id string) []byte {
	totals := map[string]string{"adjustments": list(o.adjust)}
	for name, value := range o.totals {
		totals[name] = value
	}
	return fmt.Appendf(nil, `{"event_id": %q, "type": "invoice.created", "invoice": {"increment_id": "9"}, "order": {"order_increment_id": %s, "items": %s, "totals": %s}}`,
		id, asJSON(o.id), list(o.lines), object(totals))
}

func asJSON(s string) string {
	raw, _ := json.Marshal(s)
	return string(raw)
}

// sent is the payload, number by number.
type sent struct {
	Items  []map[string]any
	Totals map[string]any
}

// Any order that is accepted reaches the ERP with every line and every amount that it came with, or its answer and its
// timeline say which not and why. Nothing reaches the ERP that the order did not come with.
func TestWhatIsAcceptedReachesTheERPWholeOrIsTold(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	a := New(pool, setting.Fixed(setting.Defaults()), slog.New(slog.DiscardHandler))
	a.now = func() time.Time { return now }
	accepted, told, all := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		drawn := rapid.SliceOfN(rapid.Custom(drawOrder), 8, 8).Draw(t, "orders")
		for i := range drawn {
			drawn[i].id += fmt.Sprint("-", i) // a batch's orders are different ones
		}
		results, requests := acceptAll(t, a, drawn)
		all += len(drawn)
		for i, o := range drawn {
			if results[i].Result != Accepted {
				require.NotEmpty(t, results[i].Errors, "refused with words")
				continue
			}
			accepted++
			require.Contains(t, requests, o.id)
			v := requests[o.id]
			require.Equal(t, []any{results[i].Warnings, results[i].NotSent}, []any{v.Warnings, v.NotSent}, "answer and timeline")
			told += min(1, len(v.Warnings)+len(v.NotSent))
			o.requireWhole(t, v)
		}
	})
	t.Logf("%d of %d accepted, %d of these with remarks", accepted, all, told)
	require.Greater(t, accepted, all/4)
	require.Greater(t, told, accepted/10)
	require.Less(t, told, accepted)
}

// acceptAll accepts the orders in an emptied database, and gives the requests by their order's number.
func acceptAll(t *rapid.T, a *Accepter, drawn []drawnOrder) ([]Result, map[string]event.Sync) {
	ctx := context.Background()
	_, err := a.pool.Exec(ctx, `DELETE FROM accepted_event; DELETE FROM sales_order; DELETE FROM erp_sync_gate; DELETE FROM erp_outbox`)
	require.NoError(t, err)
	var events []Incoming
	for i, o := range drawn {
		events = append(events, Incoming{Body: o.event(fmt.Sprint("e", i))})
	}
	results, err := a.Accept(ctx, events)
	require.NoError(t, err)
	rows, err := a.pool.Query(ctx, `SELECT payload FROM erp_outbox WHERE topic = $1`, event.TopicRequested)
	require.NoError(t, err)
	defer rows.Close()
	requests := map[string]event.Sync{}
	for rows.Next() {
		var payload []byte
		require.NoError(t, rows.Scan(&payload))
		v, err := event.DecodeSync(payload)
		require.NoError(t, err)
		requests[v.Sync.OrderIncrementID] = v
	}
	require.NoError(t, rows.Err())
	return results, requests
}

// requireWhole compares the payload that the request leads to with what the shop wrote. It shares no rule with the code.
func (o drawnOrder) requireWhole(t *rapid.T, v event.Sync) {
	var order domain.Order
	require.NoError(t, json.Unmarshal(v.Order, &order))
	payload, err := domain.BuildPayload(v.Sync.Ref(), order)
	require.NoError(t, err, "what was accepted can be sent")
	var got sent
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&got))
	tells := func(pointer string, in []string) bool {
		for _, s := range in {
			if strings.HasPrefix(s, pointer+" ") {
				return true
			}
		}
		return false
	}
	amount := func(pointer, written string, sent any) {
		if written == "" || written == "null" {
			require.Nil(t, sent, pointer)
			require.True(t, tells(pointer, v.Warnings), "%s is missing and not told", pointer)
			return
		}
		require.Equal(t, rational(t, written), rational(t, fmt.Sprint(sent)), pointer)
	}
	next := 0
	for i, line := range o.lines {
		pointer := fmt.Sprintf("/order/items/%d", i)
		if p := line["parent_item_id"]; p != "" && p != "null" && p != "0" && p != `""` {
			require.Contains(t, v.NotSent, fmt.Sprintf("%s is part of /order/items/%d, which is sent for both", pointer, o.sentFor(t, i)))
			continue
		}
		require.Less(t, next, len(got.Items), "%s is not sent", pointer)
		item := got.Items[next]
		next++
		require.Equal(t, line["sku"], asJSON(item["sku"].(string))) //nolint:forcetypeassert // a test
		for _, name := range []string{"qty", "price", "row_total"} {
			amount(pointer+"/"+name, line[name], item[name])
		}
		if qty := line["qty"]; rationalOf(qty).Sign() <= 0 {
			require.True(t, tells(pointer+"/qty", v.Warnings), "a quantity of %s is not told", qty)
		}
	}
	require.Len(t, got.Items, next, "nothing more is sent")
	require.Positive(t, next, "an order without a line is not sent")
	for name, written := range o.totals {
		amount("/order/totals/"+name, written, got.Totals[name])
	}
	require.Len(t, got.Totals, len(o.totals))
	for i := range o.adjust {
		pointer := fmt.Sprintf("/order/totals/adjustments/%d", i)
		require.True(t, tells(pointer, v.NotSent) || tells(pointer+"/amount", v.Warnings), "%s is not sent and not told", pointer)
	}
}

// sentFor goes from a line to its parents, each of which is there once, to the one that is sent.
func (o drawnOrder) sentFor(t *rapid.T, i int) int {
	for range o.lines {
		p := o.lines[i]["parent_item_id"]
		if p == "" || p == "null" || p == "0" || p == `""` {
			return i
		}
		var named []int
		for n, line := range o.lines {
			if line["item_id"] == p {
				named = append(named, n)
			}
		}
		require.Len(t, named, 1, "lines of the id %s", p)
		i = named[0]
	}
	require.Fail(t, "its parents lead in a circle")
	return 0
}

func rational(t *rapid.T, number string) string {
	r := rationalOf(number)
	require.NotNil(t, r, number)
	return r.RatString()
}

func rationalOf(number string) *big.Rat {
	r, ok := new(big.Rat).SetString(strings.Trim(number, `"`))
	if !ok {
		return nil
	}
	return r
}
