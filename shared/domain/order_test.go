package domain

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What an operator reads who looks for an order under a name that none can have.
func TestNamesThatNoOrderHas(t *testing.T) {
	t.Parallel()
	const source = ` must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-'`
	for name, c := range map[string]struct {
		ref  OrderRef
		want string
	}{
		"an_order":            {OrderRef{"default", "000000123"}, ""},
		"the_longest_names":   {OrderRef{strings.Repeat("a", 63), strings.Repeat("1", 128)}, ""},
		"every_letter":        {OrderRef{"shop-1.b_c", "A/1 %ü#?"}, ""},
		"no_source":           {OrderRef{"", "1"}, `source ""` + source},
		"a_capital":           {OrderRef{"Shop", "1"}, `source "Shop"` + source},
		"a_slash":             {OrderRef{"a/b", "1"}, `source "a/b"` + source},
		"a_line_end":          {OrderRef{"shop\n", "1"}, `source "shop\n"` + source},
		"a_source_too_long":   {OrderRef{strings.Repeat("a", 64), "1"}, `source "` + strings.Repeat("a", 64) + `"` + source},
		"no_number":           {OrderRef{"default", ""}, "order_increment_id is required"},
		"a_number_too_long":   {OrderRef{"default", strings.Repeat("1", 129)}, "order_increment_id has 129 bytes; at most 128 are taken"},
		"a_tab_in_the_number": {OrderRef{"default", "1\t2"}, "order_increment_id must be printable text"},
		"a_deleted_character": {OrderRef{"default", "1\x7f"}, "order_increment_id must be printable text"},
		"no_utf_8":            {OrderRef{"default", "1\xff"}, "order_increment_id must be printable text"},
		"both_wrong":          {OrderRef{"", ""}, `source ""` + source + "\norder_increment_id is required"},
	} {
		err := c.ref.Validate()
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.EqualError(t, err, c.want, name)
		require.Error(t, ValidateIncrementID(c.ref.IncrementID+"\x00"), name)
	}
}

// A key has one form: with a second one an order would have its records in two partitions, and two gates.
func TestKeysThatAreNotCanonical(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"000000123": "", "shop/1": "", "shop/a%2Fb": "", "100%25": "",
		"default/1": `order key "default/1" is not in its canonical form "1"`,
		"shop/a/b":  `order key "shop/a/b" is not in its canonical form "shop/a%2Fb"`,
		"a%2fb":     `order key "a%2fb" is not in its canonical form "a%252fb"`,
		"100%":      `order key "100%" is not in its canonical form "100%25"`,
		"Shop/1":    `order key "Shop/1": source "Shop" must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-'`,
		"shop/":     `order key "shop/": order_increment_id is required`,
		"":          `order key "": order_increment_id is required`,
	} {
		ref, err := ParseKey(key)
		if want == "" {
			require.NoError(t, err, key)
			require.Equal(t, key, ref.Key())
			continue
		}
		require.EqualError(t, err, want)
		require.Zero(t, ref)
	}
}

// An amount is the number that came in, whatever its form; a float would lose a cent of the large ones.
func TestAnAmountIsTheNumberThatCameIn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{1,15}(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "amount")
		a, err := ParseAmount(text)
		if err != nil {
			require.ErrorContains(t, err, "digits ", text)
			return
		}
		want, ok := new(big.Rat).SetString(text)
		require.True(t, ok)
		require.Zero(t, want.Cmp(a.Rat()), "%s became %s", text, a)
		require.Equal(t, want.Sign(), a.Sign())
		require.NotContains(t, strings.ToLower(a.String()), "e", "exponents are written out")
		require.Equal(t, places(text), places(a.String()), "%s became %s: no digit is made up", text, a)
		raw, err := json.Marshal(a)
		require.NoError(t, err)
		require.True(t, json.Valid(raw), "%s became %s", text, raw)
		var again Amount
		require.NoError(t, json.Unmarshal(raw, &again))
		require.Equal(t, a, again)
	})
}

func TestWhatIsNoDecimalNumber(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "-", "--1", "+1", "1.", ".5", "-.5", "1.2.3", "1e", "1e+", "1e+-1", "1e1.5", "e1", "1 ", " 1", "1,5", "0x1", "1_0", "\u0661", "NaN"} {
		_, err := ParseAmount(text)
		require.ErrorContains(t, err, "is not a decimal number", text)
	}
}

// places are the digits after the point once the exponent is written out.
func places(number string) int {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	_, fraction, _ := strings.Cut(mantissa, ".")
	shift, _ := strconv.Atoi(exponent)
	return max(0, len(fraction)-shift)
}

func TestAbsentAmounts(t *testing.T) {
	t.Parallel()
	var a Amount
	require.NoError(t, json.Unmarshal([]byte(`null`), &a))
	require.True(t, a.IsZero())
	require.Equal(t, "0", a.String(), "it counts as 0 in sums")
	require.Zero(t, a.Sign())
	require.Zero(t, a.Rat().Sign())
	zero, err := ParseAmount("0.00")
	require.NoError(t, err)
	require.False(t, zero.IsZero(), "0 is not absent")
	for _, amounts := range []struct {
		a    Amount
		want string
	}{{a, "null"}, {zero, "0.00"}} {
		raw, err := json.Marshal(amounts.a)
		require.NoError(t, err)
		require.Equal(t, amounts.want, string(raw))
	}
	for _, text := range []string{`" 1"`, `"1 "`, `"0x1"`, `"1_000"`, `"∞"`, `"NaN"`, `"."`, `".5"`, `"5."`, `"--1"`, `"1e"`, `{}`, `[1]`, `"\ud800"`, `"1\u0000"`} {
		require.Error(t, json.Unmarshal([]byte(text), &a), text)
		require.True(t, a.IsZero(), "what is refused changes nothing")
	}
}

func TestTotalsThatDoNotAddUpSayBothSums(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ totals, want string }{
		"nothing":              {`{}`, ""},
		"as_in_the_module":     {`{"subtotal":"199.98","tax":"20.00","shipping":"10.00","discount":"0.00","grand_total":"229.98"}`, ""},
		"a_discount":           {`{"subtotal":100,"discount":10,"grand_total":90}`, ""},
		"a_discount_of_a_form": {`{"subtotal":100,"discount":-10,"grand_total":90}`, ""},
		"a_fee_and_a_card":     {`{"subtotal":100,"adjustments":[{"code":"fee","amount":2.5},{"code":"card","amount":"-50"}],"grand_total":52.50}`, ""},
		"a_fee_without_amount": {`{"subtotal":100,"adjustments":[{"code":"fee"}],"grand_total":100}`, ""},
		"no_grand_total":       {`{"subtotal":100}`, "the totals add up to 100.00, but grand_total is 0"},
		"tax_counted_twice":    {`{"subtotal":"120","tax":"20","grand_total":"120.00"}`, "the totals add up to 140.00, but grand_total is 120.00"},
		"the_smallest_part":    {`{"subtotal":"12345678901234.00000001","grand_total":"12345678901234"}`, "the totals add up to 12345678901234.00000001, but grand_total is 12345678901234"},
		"below_zero":           {`{"discount":5,"grand_total":5}`, "the totals add up to -5.00, but grand_total is 5"},
	} {
		var totals Totals
		require.NoError(t, json.Unmarshal([]byte(c.totals), &totals), name)
		err := totals.CheckTotals()
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.EqualError(t, err, c.want, name)
	}
}

// Whatever is cut: it fits, it can be kept, it begins as the text does, and a text that fits stays as it is.
func TestTextsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[aü€😀]{0,40}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		maxBytes := rapid.IntRange(3, 60).Draw(t, "max")
		cut := Truncate(text, maxBytes)
		require.LessOrEqual(t, len(cut), maxBytes)
		require.True(t, utf8.ValidString(cut))
		require.NotContains(t, cut, "\x00")
		whole := KeepableText(text)
		if len(whole) <= maxBytes {
			require.Equal(t, whole, cut)
			return
		}
		start, ok := strings.CutSuffix(cut, "…")
		require.True(t, ok)
		require.True(t, strings.HasPrefix(whole, start))
		require.Greater(t, len(start)+utf8.UTFMax+len("…"), maxBytes, "no more is cut than must be")
		shown := Printable(text)
		require.NoError(t, PlainText(shown))
		require.Equal(t, shown, Printable(shown), "what is printable stays as it is")
	})
}

// References of the ERP, as a callback or an answer has them.
func TestReferencesKeepTheirDigits(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`"ERP-1"`: "ERP-1", `" ERP-1\n"`: "ERP-1", `""`: "", `"  "`: "", `null`: "", `0`: "0", `-7`: "-7", `1.50`: "1.50", `1e2`: "100", `1.5E-1`: "0.15",
		`0.0e3`: "0", `00`: "error", `true`: "error", `[1]`: "error", `{"id":1}`: "error", `"\u0000"`: "\x00",
		`12345678901234567890123`: "12345678901234567890123", `1e2000`: "1" + strings.Repeat("0", 2000),
	} {
		var r Reference
		err := json.Unmarshal([]byte(raw), &r)
		if want == "error" {
			require.Error(t, err, raw)
			continue
		}
		require.NoError(t, err, raw)
		require.Equal(t, Reference(want), r, raw)
		require.NoError(t, r.Validate())
		require.Equal(t, want == "", r.Text() == nil)
	}
	for _, raw := range []string{`1e2049`, `1e-2049`, `1e99999999999999999999`, strings.Repeat("9", 2049), `"` + strings.Repeat("x", 2049) + `"`} {
		var r Reference
		require.NoError(t, json.Unmarshal([]byte(raw), &r))
		require.EqualError(t, r.Validate(), "has more than 2048 bytes", "%.20s: a shorter one may be another order's", raw)
	}
	require.Equal(t, "\uFFFD", *Reference("\x00").Text(), "Postgres cannot keep U+0000")
	require.Equal(t, "a string or a number", Reference("").JSONForm())
	require.Equal(t, "g3/c1/n10", AttemptVersion(3, 1, PhaseAfter).String())
}

func TestWhatAPersonReadsOfADeadLetter(t *testing.T) {
	t.Parallel()
	const text = "the order's record could not be read and stands among the dead letters: resync-order sends the order again; erpconnector deadletter list --order "
	require.Equal(t, text+"1 shows the record", DeadLetterText(OrderRef{"default", "1"}))
	require.Equal(t, text+"1 --source shop shows the record", DeadLetterText(OrderRef{"shop", "1"}))
}

// The newest snapshot of an order is the shop's, by its own times; a time far ahead would hold off all later ones.
func TestSnapshotsWithoutATime(t *testing.T) {
	t.Parallel()
	day, hour := noon.Add(24*time.Hour), noon.Add(time.Hour)
	require.Equal(t, &day, SnapshotTime(day.Format(time.RFC3339), "", noon))
	require.Equal(t, &hour, SnapshotTime(day.Add(time.Second).Format(time.RFC3339), hour.Format(ModuleTime), noon), "the event's time in its place")
	require.Nil(t, SnapshotTime("soon", "", noon))
	for name, c := range map[string]struct {
		known, arrived, newest *time.Time
		older                  bool
	}{
		"the_first_with_no_time": {nil, nil, nil, false},
		"the_first":              {nil, &noon, &noon, false},
		"no_time_wins":           {&noon, nil, &noon, false},
		"the_same_time_wins":     {&noon, &noon, &noon, false},
		"a_newer_one":            {&noon, &hour, &hour, false},
		"an_older_one":           {&hour, &noon, &hour, true},
	} {
		newest, older := NewestSnapshot(c.known, c.arrived)
		require.Equal(t, c.newest, newest, name)
		require.Equal(t, c.older, older, name)
	}
}
