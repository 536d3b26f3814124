package shop

import (
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAmountsAreWrittenAsTheirCurrencyHasThem(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		c currency
		m money
	}{
		"12.30": {euro, 1230}, "0.05": {euro, 5}, "-0.05": {euro, -5}, "0.00": {euro, 0}, "-12.30": {euro, -1230}, "1230": {yen, 1230}, "-1": {yen, -1}, "0": {yen, 0},
		"12.300": {dinar, 12300}, "0.007": {dinar, 7}, "-1.000": {dinar, -1000}, "99999999999999.99": {euro, 1e16 - 1},
	} {
		require.Equal(t, want, c.c.amount(c.m).String())
	}
	for _, wrong := range []string{"", "1,5", "x"} {
		require.Panics(t, func() { decimal(wrong) }, "an amount of our own that is none is a bug: %q", wrong)
	}
}

// What is written is what was counted, whatever the currency.
func TestAmountsLoseNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom([]currency{euro, zloty, koruna, hryvnia, dollar, yen, yuan, shekel, dinar, rupee}).Draw(t, "currency")
		m := money(rapid.Int64Range(-1e14+1, 1e14-1).Draw(t, "amount"))
		got, ok := new(big.Rat).SetString(c.amount(m).String())
		require.True(t, ok)
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.digits)), nil)
		require.Zero(t, got.Cmp(new(big.Rat).SetFrac(big.NewInt(int64(m)), scale)))
	})
}

func TestSharesAreRoundedHalfUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ of, share, want money }{
		{10_000, 1_900, 1_900}, {100, 5_000, 50}, {1, 5_000, 1}, {1, 4_999, 0}, {3, 5_000, 2}, {0, 1_900, 0}, {999, 0, 0}, {999, 10_000, 999},
	} {
		require.Equal(t, c.want, c.of.share(c.share), "%d of %d", c.share, c.of)
	}
	rapid.Check(t, func(t *rapid.T) { // two parts of an amount that add up to all of it are off by their roundings at most
		m, part := money(rapid.Int64Range(0, 1<<40).Draw(t, "amount")), money(rapid.Int64Range(0, 10_000).Draw(t, "part"))
		sum := m.share(part) + m.share(10_000-part)
		require.LessOrEqual(t, max(sum-m, m-sum), money(1))
	})
}

func TestPricesInOtherCurrencies(t *testing.T) {
	t.Parallel()
	for want, c := range map[money]currency{49_900: euro, 88_822: yen, 212_075: zloty, 177_644: dinar} {
		require.Equal(t, want, money(49_900).in(c), c.code)
	}
}

func TestQuantities(t *testing.T) {
	t.Parallel()
	for quarters, want := range map[money]string{1: "0.25", 2: "0.50", 3: "0.75", 4: "1", 5: "1.25", 8: "2", 18: "4.50", 20: "5"} {
		require.Equal(t, want, quantity(quarters).String())
	}
}

// A long name is as long as the shop's column takes, and no word is cut.
func TestLongNames(t *testing.T) {
	t.Parallel()
	words := []string{"Ω", "größe", "👩🏽‍🚀"}
	got := long("name", words)
	n := len([]rune(got))
	require.LessOrEqual(t, n, maxNameRunes)
	require.Greater(t, n, maxNameRunes-7, "the next word does not fit")
	for i, word := range strings.Fields(got)[1:] {
		require.Equal(t, words[i%len(words)], word)
	}
	full := strings.Repeat("x", maxNameRunes)
	require.Equal(t, full, long(full, words))
}

// Chances are what they say, and every number between is drawn.
func TestDraws(t *testing.T) {
	t.Parallel()
	d := newDice(1, 1)
	hits, drawn := 0, map[int]int{}
	const draws = 10_000
	for range draws {
		require.False(t, d.chance(0))
		require.True(t, d.chance(100))
		if d.chance(30) {
			hits++
		}
		drawn[d.between(-1, 2)]++
	}
	require.InDelta(t, 0.3, float64(hits)/draws, 0.03)
	require.Len(t, drawn, 4)
	for n := -1; n <= 2; n++ {
		require.InDelta(t, 0.25, float64(drawn[n])/draws, 0.03, strconv.Itoa(n))
	}
	require.Equal(t, 7, d.between(7, 7))
	first, second := newDice(1, 2), newDice(1, 2)
	require.Equal(t, first.Uint64(), second.Uint64())
	require.NotEqual(t, newDice(1, 2).Uint64(), newDice(2, 1).Uint64())
}

// A seed's orders do not depend on how many are asked for, nor on the orders before them.
func TestAnOrderDependsOnItsPlaceAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, MaxOrders-1).Draw(t, "place")
		story := tell(seed, n)
		require.Equal(t, story, tell(seed, n))
		require.NotEqual(t, story[0].Body, tell(seed+1, n)[0].Body)
		require.NotEqual(t, story[0].Body, tell(seed, (n+1)%MaxOrders)[0].Body)
		at := -1
		for _, s := range story {
			require.GreaterOrEqual(t, s.at, at, "in their order")
			require.LessOrEqual(t, s.at, n+20, "not long after")
			at = s.at
		}
	})
}
