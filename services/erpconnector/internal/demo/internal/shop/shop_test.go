package shop

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"math/big"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

var update = flag.Bool("update", false, "rewrite golden files")

func init() { _ = flag.Set("rapid.checks", "30") } // each tells dozens of stories; the command line wins

func TestGoldenEventsOfASeed(t *testing.T) {
	var b bytes.Buffer
	for e := range Stream(1, 5) {
		require.NoError(t, json.Indent(&b, e.Body, "", "  "))
		b.WriteByte('\n')
	}
	const file = "testdata/seed-1.golden.json"
	if *update {
		require.NoError(t, os.WriteFile(file, b.Bytes(), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "people repeat runs by their seeds; if this must change, run with -update and say so in the changelog")
}

func TestASeedRepeatsItsEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 60).Draw(t, "orders")
		short, long := slices.Collect(Stream(seed, n)), slices.Collect(Stream(seed, n+rapid.IntRange(0, 40).Draw(t, "more")))
		require.Equal(t, short, slices.Collect(Stream(seed, n)))
		known := map[string]bool{}
		for _, e := range long {
			known[e.Ref.Source+e.ID+string(e.Body)] = true
		}
		for _, e := range short {
			require.True(t, known[e.Ref.Source+e.ID+string(e.Body)], "a longer run has the same events: %s", e.ID)
		}
	})
}

func TestAStreamEndsWhereItsReaderStops(t *testing.T) {
	n := 0
	for range Stream(1, MaxOrders) {
		if n++; n == 25 {
			break
		}
	}
	require.Equal(t, 25, n)
}

// Every order comes first, what repeats repeats exactly, and invoices of an order add up to it.
func TestStoriesAreWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		orders := map[domain.OrderRef]domain.Order{}
		sent := map[string]string{}
		billed := map[domain.OrderRef]*big.Rat{}
		for e := range Stream(seed, 80) {
			id := e.Ref.Source + ":" + e.ID
			body, before := sent[id]
			require.Equal(t, e.Kind == Again, before, "%s comes once unless it is a repetition", id)
			sent[id] = string(e.Body)
			if before {
				require.Equal(t, body, string(e.Body))
				continue
			}
			if e.Kind == Mistake {
				continue
			}
			var c event.Commerce
			require.NoError(t, json.Unmarshal(e.Body, &c))
			require.Equal(t, []string{e.ID, e.Ref.Source, string(e.Type)}, []string{c.EventID, c.Source, string(c.Type)})
			if c.Type == event.OrderPlaced {
				require.NotContains(t, orders, e.Ref)
			} else {
				require.Contains(t, orders, e.Ref, "%s comes after its order.placed", id)
			}
			if len(c.Order) > 0 {
				orders[e.Ref] = wholeOrder(t, e.Ref, c.Order)
			}
			if c.Type == event.InvoiceCreated {
				require.Equal(t, e.Ref.IncrementID, c.Invoice.OrderIncrementID)
				sum := billed[e.Ref]
				if sum == nil {
					sum = new(big.Rat)
					billed[e.Ref] = sum
				}
				sum.Add(sum, c.Invoice.GrandTotal.Rat())
			}
		}
		require.Len(t, orders, 80)
		for ref, sum := range billed {
			require.Zero(t, sum.Cmp(orders[ref].Totals.GrandTotal.Rat()), "the invoices of %v come to its total", ref)
		}
	})
}

var digits = map[string]int{"JPY": 0, "KWD": 3, "EUR": 2, "USD": 2, "PLN": 2, "CZK": 2, "UAH": 2, "CNY": 2, "ILS": 2, "INR": 2}

var mail = regexp.MustCompile(`^[a-z.-]+\.[0-9]+@example\.(com|org)$`)

// wholeOrder checks an order by itself.
func wholeOrder(t *rapid.T, ref domain.OrderRef, raw []byte) domain.Order {
	var o domain.Order
	require.NoError(t, json.Unmarshal(raw, &o))
	require.Equal(t, ref.IncrementID, o.IncrementID)
	require.Regexp(t, mail, *o.CustomerEmail)
	require.NoError(t, o.Totals.CheckTotals())
	require.Contains(t, digits, o.Currency)
	rows := new(big.Rat)
	byID := map[int64]domain.Item{}
	for _, i := range o.Items {
		rows.Add(rows, i.RowTotal.Rat())
		requireDigits(t, digits[o.Currency], i.Price, i.RowTotal)
		require.NotContains(t, byID, *i.ItemID)
		require.LessOrEqual(t, utf8.RuneCountInString(i.Name), maxNameRunes)
		byID[*i.ItemID] = i
		if i.ParentItemID != 0 {
			require.Equal(t, byID[int64(i.ParentItemID)].SKU, i.SKU)
			require.Zero(t, byID[int64(i.ParentItemID)].ParentItemID)
			require.Zero(t, i.RowTotal.Rat().Sign())
			continue
		}
		off := new(big.Rat).Mul(i.Price.Rat(), i.Qty.Rat())
		off.Abs(off.Sub(off, i.RowTotal.Rat()))
		require.LessOrEqual(t, off.Cmp(big.NewRat(1, 2)), 0, "%s × %s is not %s", i.Price, i.Qty, i.RowTotal)
	}
	require.Zero(t, rows.Cmp(o.Totals.Subtotal.Rat()), "the rows come to the subtotal")
	requireDigits(t, digits[o.Currency], o.Totals.Subtotal, o.Totals.Tax, o.Totals.Shipping, o.Totals.Discount, o.Totals.GrandTotal)
	require.GreaterOrEqual(t, o.Totals.GrandTotal.Rat().Sign(), 0)
	require.Equal(t, o.IsVirtual, o.ShippingAddress == nil)
	if o.IsVirtual {
		require.Zero(t, o.Totals.Shipping.Rat().Sign())
	}
	require.LessOrEqual(t, utf8.RuneCountInString(*o.CustomerFirstname), maxNameRunes)
	return o
}

func requireDigits(t *rapid.T, want int, amounts ...domain.Amount) {
	for _, a := range amounts {
		_, fraction, _ := strings.Cut(a.String(), ".")
		require.Len(t, fraction, want, "%s", a)
	}
}

// What a newcomer is promised to see is there within a minute's orders, whatever the seed.
func TestAMinuteShowsEverything(t *testing.T) {
	scripts := map[string]*unicode.RangeTable{
		"Latin": unicode.Latin, "Cyrillic": unicode.Cyrillic, "Greek": unicode.Greek, "Arabic": unicode.Arabic, "Hebrew": unicode.Hebrew,
		"Han": unicode.Han, "Hiragana": unicode.Hiragana, "Devanagari": unicode.Devanagari, "emoji": {R32: []unicode.Range32{{Lo: 0x1F300, Hi: 0x1FAFF, Stride: 1}}},
	}
	seen := map[string]bool{}
	for e := range Stream(3, 130) {
		var c event.Commerce
		require.NoError(t, json.Unmarshal(e.Body, &c))
		seen["source "+e.Ref.Source], seen["type "+string(c.Type)] = true, true
		seen["again"] = seen["again"] || e.Kind == Again
		seen["mistake"] = seen["mistake"] || e.Kind == Mistake
		seen["second invoice"] = seen["second invoice"] || strings.HasSuffix(e.ID, "invoice-2")
		for name, table := range scripts {
			seen[name] = seen[name] || bytes.ContainsFunc(e.Body, func(r rune) bool { return unicode.Is(table, r) })
		}
		if e.Kind == New && len(c.Order) > 0 {
			var o domain.Order
			require.NoError(t, json.Unmarshal(c.Order, &o))
			lookAt(seen, o)
		}
	}
	want := slices.Concat(slices.Collect(maps.Keys(scripts)), []string{
		"source default", "source world", "source outlet", "type order.placed", "type order.updated", "type invoice.created",
		"again", "mistake", "second invoice", "JPY", "KWD", "EUR", "PLN", "USD", "virtual", "child", "several items", "part of a metre",
		"discount below zero", "discount above zero", "giftcard", "cash_on_delivery_fee", "long name", "long first name", "partial address", "three street lines",
	})
	for _, what := range want {
		require.True(t, seen[what], "%s is missing", what)
	}
}

func lookAt(seen map[string]bool, o domain.Order) {
	note := func(what string, is bool) { seen[what] = seen[what] || is }
	note(o.Currency, true)
	note("virtual", o.IsVirtual)
	note("several items", len(o.Items) > 3)
	note("discount below zero", o.Totals.Discount.Rat().Sign() < 0)
	note("discount above zero", o.Totals.Discount.Rat().Sign() > 0)
	for _, a := range o.Totals.Adjustments {
		note(a.Code, true)
	}
	for _, i := range o.Items {
		note("child", i.ParentItemID != 0)
		note("part of a metre", !i.Qty.Rat().IsInt())
		note("long name", utf8.RuneCountInString(i.Name) > 200)
	}
	note("long first name", utf8.RuneCountInString(*o.CustomerFirstname) > 200)
	note("partial address", o.BillingAddress.City == nil || o.BillingAddress.Postcode == nil)
	note("three street lines", len(o.BillingAddress.Street) == 3)
}
