package shop

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var markets = []market{germany, france, poland, czechia, greece, ukraine, unitedStates, japan, china, israel, kuwait, india}

// What stands in invented orders reaches nobody: a mistake in the tables would write to a stranger.
func TestInventedPeopleReachNobody(t *testing.T) {
	t.Parallel()
	box := regexp.MustCompile(`^[a-z]+([.-][a-z]+)*$`)
	mails := map[string]bool{}
	for _, m := range markets {
		require.Regexp(t, `^[A-Z]{2}$`, m.country)
		require.NotEmpty(t, m.people)
		require.NotEmpty(t, m.places)
		require.NotEmpty(t, m.engraving)
		require.NotEmpty(t, m.scooter)
		require.Regexp(t, `^\+\d[\d ]+$`, fmt.Sprintf(m.phone, 7), m.country)
		require.NotContains(t, fmt.Sprintf(m.phone, 99), "%!", "it has room for two digits")
		require.GreaterOrEqual(t, m.tax, money(0))
		require.Less(t, m.tax, money(3_000), "of ten thousand")
		for _, p := range m.people {
			require.Regexp(t, box, p.mail)
			require.False(t, mails[p.mail], "%s is two people", p.mail)
			mails[p.mail] = true
			require.NotEmpty(t, p.first)
			require.NotEmpty(t, p.last)
		}
		for _, p := range m.places {
			require.NotEmpty(t, p.city)
			require.NotEmpty(t, p.street)
			require.True(t, utf8.ValidString(p.city+p.region+p.postcode+p.street))
		}
		for _, text := range m.engraving {
			require.NotEmpty(t, strings.TrimSpace(text))
		}
	}
	for _, s := range []*shop{&main, &world, &outlet} {
		for _, m := range s.markets {
			require.True(t, slices.ContainsFunc(markets, func(known market) bool { return known.country == m.country }), "%s is not looked at", m.country)
		}
	}
}

// An SKU is one product, and the parts of its options are told apart.
func TestProductsAreToldApart(t *testing.T) {
	t.Parallel()
	skus := map[string]bool{}
	for _, p := range slices.Concat(scooters, accessories, virtuals) {
		require.False(t, skus[p.sku], p.sku)
		skus[p.sku] = true
		require.NotEmpty(t, p.name)
		require.Positive(t, p.price)
		for _, o := range p.options {
			require.False(t, skus[p.sku+"-"+o.sku], o.sku)
			skus[p.sku+"-"+o.sku] = true
			require.NotEmpty(t, o.name)
		}
	}
	for _, p := range virtuals {
		require.True(t, p.virtual)
	}
	require.Less(t, 2, maxItemsOfOrder)
}

// Each shop counts its own orders from 1 without a gap, so shops have orders of the same number.
func TestShopsCountTheirOwnOrders(t *testing.T) {
	t.Parallel()
	counted := map[*shop]int{}
	for n := range 1_000 {
		s, number := turn(n)
		counted[s]++
		require.Equal(t, counted[s], number, "order %d", n)
	}
	require.Len(t, counted, 3)
	require.Equal(t, []int{600, 200, 200}, []int{counted[&main], counted[&world], counted[&outlet]})
}

// An order's number says which seed made it.
func TestNumbersSayTheirSeed(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{0, 7, 999_999, 1<<64 - 1} {
		for _, n := range []int{0, 1, 9, 10, MaxOrders - 1} {
			story := tell(seed, n)
			_, number := turn(n)
			require.Equal(t, fmt.Sprintf("%d%05d", seed, number), story[0].Ref.IncrementID)
			for _, s := range story {
				require.True(t, strings.HasPrefix(s.ID, fmt.Sprintf("demo-%d-%d-", seed, number)), s.ID)
				require.NoError(t, s.Ref.Validate())
				require.GreaterOrEqual(t, s.at, n)
			}
		}
	}
}
