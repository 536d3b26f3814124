package domain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// callsOf makes a record of one letter for each call: g(ood), f(ailing), o(rder's own), b(usy), u(navailable). Each call is of an
// order of its own, a second after the one before; the last began now.
func callsOf(letters string, now time.Time) (r CallRecord) {
	health := map[rune]Health{'g': HealthGood, 'f': HealthFailing, 'o': HealthOrderOwn, 'b': HealthBusy, 'u': HealthUnavailable, '-': HealthUnknown}
	for i, letter := range letters {
		began := now.Add(time.Duration(i+1-len(letters)) * time.Second)
		r = r.With(Call{Order: OrderRef{DefaultSource, fmt.Sprint(i)}, Began: began, Health: health[letter]}, DefaultBreakerPolicy())
	}
	return r
}

func TestWhenTheBreakerOpens(t *testing.T) {
	t.Parallel()
	old := callsOf("ffffffffff", noon.Add(-10*time.Minute-time.Second))
	oneOrder := callsOf("ggggffffffffff", noon)
	for i := range oneOrder[4:] {
		oneOrder[4+i].Order = OrderRef{DefaultSource, "poison"}
	}
	fourOrders := callsOf("ffffffffff", noon)
	for i := range fourOrders {
		fourOrders[i].Order = OrderRef{DefaultSource, fmt.Sprint(i % 4)}
	}
	earlier := callsOf("ffffffffff", noon)
	for i := range earlier {
		earlier[i].Epoch = -1
	}
	for name, c := range map[string]struct {
		calls CallRecord
		want  string
	}{
		"ten of ten":                              {callsOf("ffffffffff", noon), "10 of the newest 10 calls failed, of 10 orders"},
		"nine are too few":                        {callsOf("fffffffff", noon), ""},
		"seven of ten":                            {callsOf("gfgffgffff", noon), "7 of the newest 10 calls failed, of 7 orders"},
		"half of ten may be chance":               {callsOf("gfgfgfgfgf", noon), ""},
		"more than half of fifty":                 {callsOf(strings.Repeat("gf", 22)+"gfffff", noon), "27 of the newest 50 calls failed, of 27 orders"},
		"answers of 503 are an outage":            {callsOf("uuuuuuuuuu", noon), "10 of the newest 10 calls failed, of 10 orders"},
		"a busy ERP works":                        {callsOf("bbbbbbbbbbbbbbb", noon), ""},
		"an ERP that refuses orders works":        {callsOf("ooooooooooooooo", noon), ""},
		"a call that was not made says nothing":   {callsOf("fffffffff-------", noon), ""},
		"one order that the ERP stumbles over":    {oneOrder, ""},
		"four orders":                             {fourOrders, ""},
		"what is long ago":                        {old, ""},
		"calls of before the last outage":         {earlier, ""},
		"nothing":                                 {nil, ""},
		"an outage after many successes":          {callsOf(letters(200, 'g')+letters(10, 'f'), noon), "10 of the newest 10 calls failed, of 10 orders"},
		"and a call less":                         {callsOf(letters(200, 'g')+letters(9, 'f'), noon), ""},
		"an ERP that fails one call of ten works": {callsOf(letters(45, 'g')+letters(5, 'f'), noon), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next, ok := Breaker{}.Trip(c.calls, DefaultBreakerPolicy(), Moment{Now: noon, By: "syncer-1"})
			require.Equal(t, c.want != "", ok)
			require.Equal(t, c.want, next.Why)
			off := DefaultBreakerPolicy()
			off.On = false
			_, ok = Breaker{}.Trip(c.calls, off, Moment{Now: noon})
			require.False(t, ok, "the setting is off")
		})
	}
}

func letters(n int, letter rune) string { return string(slices.Repeat([]rune{letter}, n)) }

// The record is what the newest calls are, however many there were; adding one changes no record that somebody holds.
func TestTheRecordIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := DefaultBreakerPolicy()
		p.MinCalls = rapid.IntRange(1, 4).Draw(t, "calls")
		var all, r CallRecord
		for i := range rapid.IntRange(0, 60).Draw(t, "n") {
			c := Call{Order: OrderRef{DefaultSource, fmt.Sprint(i)}, Began: noon, Health: rapid.SampledFrom([]Health{HealthUnknown, HealthGood, HealthFailing}).Draw(t, "health")}
			before := slices.Clone(r)
			held := r
			r = r.With(c, p)
			kept := slices.Clone(r)
			held.With(Call{Order: OrderRef{DefaultSource, "another"}, Began: noon, Health: HealthBusy}, p)
			require.Equal(t, []CallRecord{before, kept}, []CallRecord{held, r}, "two may go on from one record")
			if c.Health != HealthUnknown {
				all = append(all, c)
			}
		}
		require.Equal(t, slices.Clone(all[max(0, len(all)-5*p.MinCalls):]), slices.Clone(r))
	})
}
