package accept

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// change is a path into an event and the JSON to put there; an empty value takes the field away.
type change map[string]string

const goodEvent = `{
	"event_id": "e1", "type": "invoice.created", "occurred_at": "2024-01-15T10:30:00Z",
	"invoice": {"increment_id": "000000045", "grand_total": "229.98"},
	"order": {
		"order_increment_id": "000000123", "order_id": 123,
		"items": [{"item_id": 1, "sku": "A", "name": "a", "qty": "2", "price": 99.99, "row_total": 199.98}],
		"totals": {"subtotal": 199.98, "tax": 20.00, "shipping": 10, "discount": 0, "grand_total": "229.98"},
		"created_at": "2024-01-15 10:00:00", "updated_at": "2024-01-15T10:00:00+02:00"
	}}`

// eventWith is the good event with changes.
func eventWith(t testing.TB, changes change) []byte {
	t.Helper()
	var root any
	require.NoError(t, json.Unmarshal([]byte(goodEvent), &root))
	for path, value := range changes {
		parts := strings.Split(path, ".")
		parent, last := root, parts[len(parts)-1]
		for _, part := range parts[:len(parts)-1] {
			if list, ok := parent.([]any); ok {
				require.Equal(t, "0", part)
				parent = list[0]
				continue
			}
			parent = parent.(map[string]any)[part] //nolint:forcetypeassert // a test
		}
		fields := parent.(map[string]any) //nolint:forcetypeassert // a test
		if delete(fields, last); value != "" {
			fields[last] = json.RawMessage(value)
		}
	}
	raw, err := json.Marshal(root)
	require.NoError(t, err)
	return raw
}

// Problem is a field error without its code, which TestCodes looks at.
type Problem struct{ Pointer, Detail string }

func told(wrong []problem.FieldError) (problems []Problem) {
	for _, w := range wrong {
		problems = append(problems, Problem{w.Pointer, w.Detail})
	}
	return problems
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const notATime = `"soon" is not a time: give RFC 3339 (2024-01-15T10:30:00Z) or 2024-01-15 10:30:00 in UTC`
	const tooFine = ` has more than 8 digits after the point: round it to 8 places, or send a text like "29.95" in place of a float`
	const item = `{"sku": "A", "qty": 1, "price": 1, "row_total": 1`
	const goesOutAsNull = " is missing: send it, or 0 where there is none; the ERP is sent null"
	const orderRequired = "is required; an invoice of an order sent before may name it in invoice.order_increment_id instead"
	tests := map[string]struct {
		changes  change
		want     []Problem
		warnings []string
	}{
		"a_good_event":                        {},
		"an_unknown_field_is_kept":            {changes: change{"order.gift_message": `{"to": "Ann"}`}},
		"other_shops_have_names":              {changes: change{"source": `"shop-b.example_1"`}},
		"an_order_without_number_of_its_own":  {changes: change{"order.order_id": ""}},
		"a_zero_date_is_none":                 {changes: change{"occurred_at": `"0000-00-00 00:00:00"`, "order.created_at": `"0000-00-00"`, "order.updated_at": `""`, "invoice.created_at": `"0000-00-00 00:00:00"`}},
		"no_parent_is_0_or_empty":             {changes: change{"order.items": `[` + item + `, "parent_item_id": 0}, ` + item + `, "parent_item_id": ""}]`}},
		"a_child_and_its_parent":              {changes: change{"order.items": `[` + item + `, "item_id": 1}, ` + item + `, "parent_item_id": 1}]`}},
		"a_number_that_looks_odd":             {changes: change{"order.order_increment_id": `"№ A/1%2 #ä"`}},
		"a_null_means_it_was_left_out":        {changes: change{"source": `null`, "occurred_at": `null`, "order.customer_email": `null`}},
		"an_emoji_is_two_surrogates":          {changes: change{"order.customer_lastname": `"\ud83d\ude00 \\u0000 \\ud800"`}},
		"a_discount_may_have_either_sign":     {changes: change{"order.totals.discount": `-5`, "order.totals.subtotal": `"204.98"`}},
		"a_gift_card_is_a_signed_adjustment":  {changes: change{"order.totals.adjustments": `[{"code": "gift", "amount": "-29.98"}]`, "order.totals.grand_total": `200`}},
		"an_invoice_may_name_a_known_order":   {changes: change{"order": "", "invoice.order_increment_id": `"000000123"`}},
		"an_invoice_may_name_its_order_twice": {changes: change{"invoice.order_increment_id": `"000000123"`}},
		"totals_that_do_not_add_up_are_warned_of": {
			changes:  change{"order.totals.tax": `"19.99"`},
			warnings: []string{"the totals add up to 229.97, but grand_total is 229.98"},
		},
		"amounts_that_are_missing_are_warned_of": {
			changes: change{
				"order.items.0.price": "", "order.items.0.row_total": `null`, "order.totals.shipping": `null`, "order.totals.discount": "",
				"order.totals.subtotal": `209.98`,
			},
			warnings: []string{
				"/order/items/0/price" + goesOutAsNull, "/order/items/0/row_total" + goesOutAsNull,
				"/order/totals/shipping" + goesOutAsNull, "/order/totals/discount" + goesOutAsNull,
			},
		},
		"a_quantity_that_is_none_is_warned_of": {
			changes:  change{"order.items.0.qty": `"-0.0"`},
			warnings: []string{"/order/items/0/qty is -0.0; the quantity of a line that is sent is above 0"},
		},
		"an_invoice_s_own_date_keeps_no_order_back": {
			changes:  change{"invoice.created_at": `"soon"`},
			warnings: []string{"/invoice/created_at " + notATime},
		},
		"parents_that_lead_nowhere": {
			changes: change{"order.items": `[` + item + `, "item_id": 1, "parent_item_id": 1}, ` + item + `, "parent_item_id": 7}]`},
			want: []Problem{
				{"/order/items/0/parent_item_id", "is 1, which is the line itself: name its parent, or null for a line of its own"},
				{"/order/items/1/parent_item_id", "is 7, but no line of the order has that item_id: send the parent too, or null for a line of its own"},
			},
		},
		"a_parent_that_is_no_number": {
			changes: change{"order.items": `[` + item + `, "parent_item_id": "7"}, ` + item + `, "parent_item_id": 1.5}]`},
			want: []Problem{
				{"/order/items/0/parent_item_id", "is a JSON string; it must be a whole number"},
				{"/order/items/1/parent_item_id", "is a JSON number 1.5; it must be a whole number"},
			},
		},
		"times_that_are_beyond_the_calendar": {
			changes: change{
				"occurred_at": `"9999-12-31T23:59:59-05:00"`, "order.created_at": `"0001-01-01T00:00:00+05:00"`, "order.updated_at": `"0000-00-00 00:00:01"`,
			},
			want: []Problem{
				{"/occurred_at", `"9999-12-31T23:59:59-05:00" is in the year 10000 in UTC: a time is in the years 1 to 9999`},
				{"/order/created_at", `"0001-01-01T00:00:00+05:00" is in the year 0 in UTC: a time is in the years 1 to 9999`},
				{"/order/updated_at", `"0000-00-00 00:00:01"` + strings.TrimPrefix(notATime, `"soon"`)},
			},
		},
		"a_number_that_nobody_can_look_up": {
			changes: change{"order.order_increment_id": `"\u00a01001"`},
			want:    []Problem{{"/order/order_increment_id", "order_increment_id begins with U+00A0 NO-BREAK SPACE, which nobody can see: send the number without it"}},
		},
		"a_number_that_is_no_name_in_a_path": {
			changes: change{"order": "", "invoice.order_increment_id": `".."`},
			want:    []Problem{{"/invoice/order_increment_id", `order_increment_id is "..", which is no name in a path, so nobody could ask for the order: give it another number`}},
		},
		"a_source_that_is_no_name_in_a_path": {
			changes: change{"source": `".."`},
			want:    []Problem{{"/source", `source ".." is no name in a path; give the shop another one`}},
		},
		"an_event_id_that_a_terminal_obeys": {
			changes: change{"event_id": `"e\u001b[2J"`},
			want:    []Problem{{"/event_id", "contains U+001B ESCAPE: give an id that a person can read"}},
		},
		"floats_as_php_writes_them": {
			changes: change{"order.items.0.price": `29.949999999999999`, "order.totals.tax": `1.42e-14`},
			want:    []Problem{{"/order/items/0/price", `"29.949999999999999"` + tooFine}, {"/order/totals/tax", `"1.42e-14"` + tooFine}},
		},
		"no_event_id": {
			changes: change{"event_id": ""},
			want:    []Problem{{"/event_id", "is required: an id that stays the same when the event is sent again"}},
		},
		"an_event_id_too_long": {
			changes: change{"event_id": `"` + strings.Repeat("ü", 128) + `"`},
			want:    []Problem{{"/event_id", "has 256 bytes; at most 255 are taken"}},
		},
		"an_unknown_type": {
			changes: change{"type": `"order.deleted"`},
			want:    []Problem{{"/type", `is "order.deleted"; it must be order.placed, order.updated or invoice.created`}},
		},
		"a_source_that_cannot_be_a_path": {
			changes: change{"source": `"a/b"`},
			want:    []Problem{{"/source", `source "a/b" must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-'`}},
		},
		"a_date_that_is_none": {
			changes: change{"occurred_at": `"soon"`, "order.created_at": `"soon"`, "order.updated_at": `"soon"`},
			want:    []Problem{{"/occurred_at", notATime}, {"/order/created_at", notATime}, {"/order/updated_at", notATime}},
		},
		"an_invoice_without_number": {
			changes: change{"invoice.increment_id": ""},
			want:    []Problem{{"/invoice/increment_id", "is required for invoice.created"}},
		},
		"an_order_event_without_order": {
			changes: change{"type": `"order.placed"`, "order": "", "invoice.order_increment_id": `"000000123"`},
			want:    []Problem{{"/order", orderRequired}},
		},
		"an_invoice_that_names_no_order": {
			changes: change{"order": `null`},
			want:    []Problem{{"/order", orderRequired}},
		},
		"an_invoice_that_names_no_possible_order": {
			changes: change{"order": "", "invoice.order_increment_id": `"1\n2"`},
			want:    []Problem{{"/invoice/order_increment_id", "order_increment_id contains U+000A LINE FEED, which nobody can see: send the number without it"}},
		},
		"an_invoice_of_one_order_with_another": {
			changes: change{"invoice.order_increment_id": `"000000124"`},
			want:    []Problem{{"/invoice/order_increment_id", `is "000000124", but the order that came with it is "000000123"`}},
		},
		"an_order_without_items": {
			changes: change{"order.items": `[]`},
			want:    []Problem{{"/order/items", "is empty; an order has at least one item"}},
		},
		"items_without_what_the_erp_needs": {
			changes: change{"order.items": `[{"sku": "A", "qty": 1}, {}, null]`},
			want: []Problem{
				{"/order/items/1/sku", "is required"},
				{"/order/items/1/qty", "is required"},
				{"/order/items/2/sku", "is required"},
				{"/order/items/2/qty", "is required"},
			},
		},
		"no_grand_total": {
			changes: change{"order.totals": `{}`},
			want:    []Problem{{"/order/totals/grand_total", "is required"}},
		},
		"amounts_that_are_none": {
			changes: change{
				"order.items.0.qty": `"two"`, "order.items.0.price": `[1]`, "order.totals.adjustments": `[{"amount": 1}, {"amount": 1e15}]`,
				"order.totals.grand_total": `"0.123456789"`,
			},
			want: []Problem{
				{"/order/items/0/qty", `"two" is not a decimal number`},
				{"/order/items/0/price", `"[1]" is not a decimal number`},
				{"/order/totals/adjustments/1/amount", `"1e15" is too large: an amount has at most 14 digits before the point`},
				{"/order/totals/grand_total", `"0.123456789"` + tooFine},
			},
		},
		"values_of_another_type": {
			changes: change{"order.order_id": `"123"`, "order.is_virtual": `1`, "order.billing_address": `{"street": ["a", 1]}`, "order.items.0.item_id": `1.5`},
			want: []Problem{
				{"/order/order_id", "is a JSON string; it must be a whole number"},
				{"/order/is_virtual", "is a JSON number; it must be true or false"},
				{"/order/items/0/item_id", "is a JSON number 1.5; it must be a whole number"},
				{"/order/billing_address/street/1", "is a JSON number; it must be a string"},
			},
		},
		"an_envelope_of_another_type": {
			changes: change{"event_id": `7`, "invoice": `"000000045"`},
			want: []Problem{
				{"/event_id", "is a JSON number; it must be a string"}, {"/invoice", "is a JSON string; it must be an object"},
			},
		},
		"u0000_wherever_it_stands": {
			changes: change{"order.note": `["a", {"b/~": "\u0000"}]`, "order.customer_email": `"\u0000"`},
			want: []Problem{
				{"/order/customer_email", "contains U+0000, which cannot be stored; remove it"},
				{"/order/note/1/b~1~0", "contains U+0000, which cannot be stored; remove it"},
			},
		},
		"half_a_character": {
			changes: change{"order.customer_lastname": `"\ud83dx"`, "order.customer_firstname": `"\uDE00\uD83D"`, "order.customer_email": `"\ud83d\u0041"`},
			want: []Problem{
				{"/order/customer_email", `contains the lone surrogate \ud83d; send whole characters`},
				{"/order/customer_firstname", `contains the lone surrogate \ude00; send whole characters`},
				{"/order/customer_lastname", `contains the lone surrogate \ud83d; send whole characters`},
			},
		},
		"nested_deeper_than_anybody_means_to": {
			changes: change{"order.note": strings.Repeat("[", 70) + strings.Repeat("]", 70)},
			want:    []Problem{{"", "is nested deeper than 64 levels"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, problems := check(eventWith(t, test.changes), false)
			require.Equal(t, test.want, told(problems))
			if len(problems) == 0 {
				require.Equal(t, test.warnings, slices.Concat(got.remarks.Warnings, got.warnings))
			}
		})
	}
}

func TestCheckOfWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`[]`:                     "is a JSON array; it must be an object",
		`{"a": 1`:                "is not valid JSON: byte 7: unexpected end of JSON input",
		`{"a": 1} {}`:            "is not valid JSON: byte 10: invalid character '{' after top-level value",
		"{\"a\": \"\xff\"}":      "is not valid UTF-8: byte 8",
		"\xEF\xBB\xBF{}":         "begins with a byte order mark (EF BB BF): send UTF-8 without it",
		strings.Repeat(" ", 2e6): fmt.Sprintf("the event has 2000000 bytes; at most %d are taken", event.MaxEventBytes),
	} {
		_, problems := check([]byte(raw), false)
		require.Equal(t, []Problem{{"", want}}, told(problems), "%.40s", raw)
	}
}

func TestCheckRefusesBadAmountsWhereTheSettingSaysSo(t *testing.T) {
	t.Parallel()
	_, problems := check(eventWith(t, change{"order.items.0.qty": `0`, "order.items.0.price": "", "order.totals.tax": `null`, "order.totals.grand_total": `209.98`}), true)
	const missing = "is missing: send it, or 0 where there is none"
	require.Equal(t, []Problem{
		{"/order/items/0/qty", "is 0; the quantity of a line that is sent is above 0"}, {"/order/items/0/price", missing}, {"/order/totals/tax", missing},
	}, told(problems))
}

func TestCheckRefusesTotalsThatDoNotAddUpWhereTheSettingSaysSo(t *testing.T) {
	t.Parallel()
	_, problems := check(eventWith(t, change{"order.totals.grand_total": `230`}), true)
	require.Equal(t, []Problem{{"/order/totals", "the totals add up to 229.98, but grand_total is 230"}}, told(problems))
}

// Each problem has a code for programs.
func TestCodes(t *testing.T) {
	t.Parallel()
	for path, c := range map[string]struct{ value, code string }{
		"event_id":                   {"", problem.CodeRequired},
		"type":                       {`"order.deleted"`, problem.CodeInvalid},
		"source":                     {`"\u0000"`, problem.CodeText},
		"occurred_at":                {`7`, problem.CodeType},
		"invoice.order_increment_id": {`"000000124"`, problem.CodeContradicts},
		"order.order_id":             {`99999999999999999999`, problem.CodeRange},
		"order.items":                {`[]`, problem.CodeRequired},
		"order.Order_Id":             {`1`, problem.CodeCase},
	} {
		_, wrong := check(eventWith(t, change{path: c.value}), false)
		require.Len(t, wrong, 1, path)
		require.Equal(t, c.code, wrong[0].Code, path)
	}
}

// FuzzCheck: whatever comes in, check answers; and what it lets through, Postgres can keep.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(goodEvent))
	f.Add([]byte(`{"event_id":"e","type":"order.placed","order":{"order_increment_id":"a/b%","items":[{"sku":"\ud83d\ude00","qty":1e2}],"totals":{"grand_total":"-0.5"}}}`))
	f.Add([]byte(`{"event_id":"\ud800","order":{"\u0000":"\\u0000"}}`))
	f.Add([]byte(`{"event_id":"\u00","invoice":null,"order":[{"\udbff\udfff":"\uDC00"}]}`))
	f.Add([]byte("{\"event_id\":\"\xed\xa0\x80\"}"))
	for _, changes := range []change{
		{"order.items.0.parent_item_id": `0`},
		{"order.items.0.parent_item_id": `""`},
		{"order.items.0.parent_item_id": `1`},
		{"order.items": `[{"item_id":1,"parent_item_id":2,"sku":"A","qty":1},{"item_id":2,"parent_item_id":1,"sku":"B","qty":-1}]`},
		{"order.items.0.price": ``, "order.totals": `{"grand_total":0,"adjustments":[{"code":"x"},{"amount":-0.00}]}`},
		{"order.items.0.price": `29.949999999999999`, "order.totals.tax": `1.42e-14`, "order.totals.shipping": `1e400000`},
		{"occurred_at": `"9999-12-31T23:59:59-05:00"`, "order.updated_at": `"0000-00-00 00:00:00"`},
		{"order.order_increment_id": `"\u00a01001\u200b"`, "event_id": `"\u001b[2J"`},
		{"order.order_increment_id": `".."`, "source": `"."`},
	} {
		f.Add(eventWith(f, changes))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, problems := check(raw, false)
		if len(problems) > 0 {
			return
		}
		require.NoError(t, c.ref.Validate())
		require.NotEmpty(t, c.event.EventID)
		require.True(t, json.Valid(c.body))
		require.True(t, utf8.Valid(c.body))
		require.NoError(t, domain.ValidateIncrementID(c.ref.IncrementID))
		if c.order != nil {
			require.True(t, json.Valid(c.event.Order))
			payload, err := domain.BuildPayload(c.ref, *c.order)
			require.NoError(t, err, "what is accepted can be sent")
			require.True(t, json.Valid(payload))
		}
		replaced := strings.Contains(string(raw), "\uFFFD") || strings.Contains(strings.ToLower(string(raw)), `\ufffd`)
		eachString(t, c.body, func(s string) {
			require.NotContains(t, s, "\x00")
			require.True(t, replaced || !strings.Contains(s, "\uFFFD"), "a lone surrogate is decoded as U+FFFD: %q", s)
		})
	})
}

// eachString visits every key and string of the JSON, decoded.
func eachString(t *testing.T, body []byte, visit func(string)) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	for dec.More() {
		token, err := dec.Token()
		require.NoError(t, err)
		if s, ok := token.(string); ok {
			visit(s)
		}
	}
}

func TestNamesAreTakenAsTheyAreSpecified(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event string
		want  []Problem
	}{
		"another_case":         {`{"Event_ID":"e"}`, []Problem{{"/Event_ID", `is written "Event_ID"; write it "event_id"`}}},
		"in_a_list":            {`{"order":{"items":[{},{"SKU":"A"}]}}`, []Problem{{"/order/items/1/SKU", `is written "SKU"; write it "sku"`}}},
		"in_letters_that_fold": {`{"ſource":"b"}`, []Problem{{"/ſource", `is written "ſource"; write it "source"`}}},
		"the_shops_own_twice":  {`{"order":{"gift":{"sku":1,"sku":2}}}`, []Problem{{"/order/gift/sku", "stands there twice; send it once"}}},
		"twice":                {`{"event_id":"a","event_id":"b"}`, []Problem{{"/event_id", "stands there twice; send it once"}}},
		"the_shops_own_fields": {`{"order":{"Channel":"x","gift":{"Name":"y","sku":1,"SKU":2}}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, told(shape.Check([]byte(c.event))))
		})
	}
}
