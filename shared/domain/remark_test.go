package domain

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Projected: amounts that the order left out went to the ERP as 0.
func TestAbsentIsNotZero(t *testing.T) {
	t.Parallel()
	var o Order
	require.NoError(t, json.Unmarshal([]byte(`{"items":[
		{"item_id":1,"sku":"A","qty":"0.00","row_total":null},
		{"item_id":2,"sku":"B","qty":-1,"price":0,"row_total":"0"},
		{"item_id":3,"parent_item_id":1,"sku":"C","qty":0}],
		"totals":{"subtotal":null,"discount":0,"adjustments":[{"code":"gift","amount":-5},{"code":"fee"}],"grand_total":-5}}`), &o))
	got, err := BuildPayload(OrderRef{DefaultSource, "1"}, o)
	require.NoError(t, err)
	require.Contains(t, string(got), `"items":[{"sku":"A","name":"","qty":0.00,"price":null,"row_total":null},{"sku":"B","name":"","qty":-1,"price":0,"row_total":0}],`+
		`"totals":{"subtotal":null,"tax":null,"shipping":null,"discount":0,"grand_total":-5}`)
	require.Equal(t, Remarks{
		Warnings: []string{
			"/order/items/0/qty is 0.00; the quantity of a line that is sent is above 0",
			"/order/items/0/price is missing: send it, or 0 where there is none; the ERP is sent null",
			"/order/items/0/row_total is missing: send it, or 0 where there is none; the ERP is sent null",
			"/order/items/1/qty is -1; the quantity of a line that is sent is above 0",
			"/order/totals/subtotal is missing: send it, or 0 where there is none; the ERP is sent null",
			"/order/totals/tax is missing: send it, or 0 where there is none; the ERP is sent null",
			"/order/totals/shipping is missing: send it, or 0 where there is none; the ERP is sent null",
			"/order/totals/adjustments/1/amount is missing: it counts as 0 in the totals",
		},
		NotSent: []string{
			"/order/items/2 is part of /order/items/0, which is sent for both",
			"/order/totals/adjustments/0 has no place of its own in the ERP's payload, only in grand_total",
		},
	}, o.Remarks())
}

func TestRemarksAreNoLongerThanTheyNeedToBe(t *testing.T) {
	t.Parallel()
	o := orderOf(t)
	for i := range 2 * maxRemarks {
		o.Items = append(o.Items, Item{ItemID: ptr(int64(i + 1)), Qty: Amount{"1"}, Price: Amount{"1"}, ParentItemID: ParentID(i % 2 * i)})
	}
	require.Empty(t, CheckLines(o.Items))
	r := o.Remarks()
	require.Equal(t, "/order/items/0/row_total is missing: send it, or 0 where there is none; the ERP is sent null", r.Warnings[0])
	require.Len(t, r.Warnings, maxRemarks, "a line and its part")
	require.Len(t, r.NotSent, maxRemarks)
	for i := range o.Items {
		o.Items[i].Price = Amount{}
	}
	r = o.Remarks()
	require.Len(t, r.Warnings, maxRemarks+1)
	require.Equal(t, "and 500 more like these", r.Warnings[maxRemarks])
	require.Less(t, len(strings.Join(r.Warnings, "\n")), 64<<10)
}

func TestRemarksOfASnapshotThatCannotBeRead(t *testing.T) {
	t.Parallel()
	require.Zero(t, RemarksOf(json.RawMessage(`{"items":7}`)))
	require.Len(t, RemarksOf(json.RawMessage(`{"items":[],"totals":{"tax":1,"shipping":1,"discount":1,"grand_total":1}}`)).Warnings, 1)
}

// Projected: 9999-12-31T23:59:59-05:00 went out as year 10000.
func TestTimesAreThoseThatAreSent(t *testing.T) {
	t.Parallel()
	const none = " is not a time: give RFC 3339 (2024-01-15T10:30:00Z) or 2024-01-15 10:30:00 in UTC"
	for in, want := range map[string]string{
		"9999-12-31T23:59:59Z":        `"9999-12-31 23:59:59"`,
		"9999-12-31T23:59:59+05:00":   `"9999-12-31 18:59:59"`,
		"9999-12-31T23:59:59-05:00":   `created_at: "9999-12-31T23:59:59-05:00" is in the year 10000 in UTC: a time is in the years 1 to 9999`,
		"0001-01-01T00:00:00Z":        `"0001-01-01 00:00:00"`,
		"0001-01-01T00:00:00+00:01":   `created_at: "0001-01-01T00:00:00+00:01" is in the year 0 in UTC: a time is in the years 1 to 9999`,
		"0000-01-01T00:00:00+12:00":   `created_at: "0000-01-01T00:00:00+12:00" is in the year -1 in UTC: a time is in the years 1 to 9999`,
		"2024-02-30 10:00:00":         `created_at: "2024-02-30 10:00:00"` + none,
		"2024-00-00 00:00:00":         `created_at: "2024-00-00 00:00:00"` + none,
		"":                            `null`,
		"0000-00-00 00:00:00":         `null`,
		"0000-00-00":                  `null`,
		"0000-00-00 00:00:00.000000":  `null`,
		"0000-00-00T00:00:00Z":        `null`,
		"0000-00-00T00:00:00+00:00":   `null`,
		"0000-00-00 00:00:01":         `created_at: "0000-00-00 00:00:01"` + none,
		"-0001-11-30T00:00:00Z":       `created_at: "-0001-11-30T00:00:00Z"` + none,
		"2024-01-15T10:30:00.5+02:00": `"2024-01-15 08:30:00"`,
	} {
		o := orderOf(t, line("1", "null"))
		o.CreatedAt = in
		payload, err := BuildPayload(OrderRef{DefaultSource, "1"}, o)
		if err != nil {
			require.Equal(t, want, err.Error())
			continue
		}
		require.Contains(t, string(payload), fmt.Sprintf(`"created_at":%s,`, want), in)
	}
}

func TestAmountsThatDoNotFitAreToldWhy(t *testing.T) {
	t.Parallel()
	const fine = ` has more than 8 digits after the point: round it to 8 places, or send a text like "29.95" in place of a float`
	const large = ` is too large: an amount has at most 14 digits before the point`
	for in, want := range map[string]string{
		"29.949999999999999":     `"29.949999999999999"` + fine,
		"1.42e-14":               `"1.42e-14"` + fine,
		"1e-100000000000000":     `"1e-100000000000000"` + fine,
		"123456789012345":        `"123456789012345"` + large,
		"1e14":                   `"1e14"` + large,
		"1e400000":               `"1e400000"` + large,
		"9e99999999999999999999": `"9e99999999999999999999"` + large,
		"12,50":                  `"12,50" is not a decimal number`,
	} {
		_, err := ParseAmount(in)
		require.EqualError(t, err, want)
	}
}
