package domain

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The quick way to add totals and the exact one agree about amounts of any size, sign and number of digits.
func TestTotalsAddUpAsRationalsDo(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(
		rapid.StringMatching(`-?[0-9]{1,2}(\.[0-9]{1,2})?`), rapid.StringMatching(`-?[0-9]{8,14}(\.[0-9]{1,8})?`), rapid.Just("-0"), rapid.Just(""),
	)
	amounts := rapid.Custom(func(t *rapid.T) (a Amount) {
		if text := texts.Draw(t, "text"); text != "" {
			var err error
			a, err = ParseAmount(text)
			require.NoError(t, err)
		}
		return a
	})
	quick := 0
	rapid.Check(t, func(t *rapid.T) {
		totals := Totals{Subtotal: amounts.Draw(t, "subtotal"), Tax: amounts.Draw(t, "tax"), Shipping: amounts.Draw(t, "shipping"), Discount: amounts.Draw(t, "discount")}
		sum := new(big.Rat).Add(totals.Subtotal.Rat(), totals.Tax.Rat())
		sum.Sub(sum.Add(sum, totals.Shipping.Rat()), new(big.Rat).Abs(totals.Discount.Rat()))
		for range rapid.IntRange(0, 20).Draw(t, "adjustments") {
			a := amounts.Draw(t, "adjustment")
			totals.Adjustments = append(totals.Adjustments, Adjustment{Amount: a})
			sum.Add(sum, a.Rat())
		}
		right, err := ParseAmount(sum.FloatString(MaxAmountFractionDigits))
		if err != nil {
			return // more digits than an amount has
		}
		totals.GrandTotal = right
		require.NoError(t, totals.CheckTotals())
		if totals.addUp() {
			quick++
		}
		totals.GrandTotal = amounts.Draw(t, "another")
		require.Equal(t, totals.GrandTotal.Rat().Cmp(sum) == 0, totals.CheckTotals() == nil)
	})
	require.NotZero(t, quick, "the quick way is taken")
}
