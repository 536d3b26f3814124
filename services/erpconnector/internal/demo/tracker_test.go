package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo/internal/shop"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

var noon = time.Date(2024, 1, 15, 12, 0, 0, 0, time.UTC)

func refOf(id string) domain.OrderRef {
	return domain.OrderRef{Source: domain.DefaultSource, IncrementID: id}
}

// invoiced is a tracker with an order whose invoice was accepted at noon, and which the mock ERP treats as told.
func invoiced(f orderFault) *tracker {
	b := newTracker()
	if f.times > 0 {
		b.arm(refOf("1"), f)
	}
	b.took(shop.Event{ID: "i", Ref: refOf("1"), Type: event.InvoiceCreated}, verdict{Result: "accepted"}, noon)
	return b
}

// What a shop is answered is counted by what it means.
func TestAnswersAreCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		e    shop.Event
		v    verdict
		want counts
	}{
		"accepted":           {shop.Event{Type: event.OrderUpdated}, verdict{Result: "accepted"}, counts{published: 1, accepted: 1}},
		"sent_twice":         {shop.Event{Type: event.OrderUpdated, Kind: shop.Again}, verdict{Result: "duplicate"}, counts{published: 1, again: 1}},
		"of_an_earlier_run":  {shop.Event{Type: event.OrderUpdated}, verdict{Result: "duplicate"}, counts{published: 1, known: 1}},
		"of_another_version": {shop.Event{Type: event.OrderUpdated}, verdict{Result: "duplicate", Differs: true}, counts{published: 1, known: 1, differ: 1}},
		"a_shops_bug": {
			shop.Event{Ref: refOf("7"), Kind: shop.Mistake},
			verdict{Result: "refused", reasons: "no"},
			counts{published: 1, refused: 1, refusals: []refusal{{"7", "no", true}}},
		},
		"refused_unasked": {
			shop.Event{Ref: domain.OrderRef{Source: "outlet", IncrementID: "7"}},
			verdict{Result: "refused", reasons: "no"},
			counts{published: 1, refused: 1, refusals: []refusal{{"outlet/7", "no", false}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTracker()
			require.Equal(t, c.want.known == 1, b.took(c.e, c.v, noon), "the first one of an earlier run is worth a word")
			require.Equal(t, c.want, b.counts())
			require.Empty(t, b.invoiced, "only an invoice makes an order that is waited for")
		})
	}
	b := newTracker()
	require.True(t, b.took(shop.Event{Ref: refOf("1"), Type: event.OrderPlaced}, verdict{Result: "duplicate"}, noon))
	require.False(t, b.took(shop.Event{Ref: refOf("2"), Type: event.OrderPlaced}, verdict{Result: "duplicate"}, noon), "that was said before")
	require.True(t, b.knownBefore(refOf("1")))
	require.False(t, b.knownBefore(refOf("3")))
	b.took(shop.Event{Ref: refOf("3"), Type: event.OrderPlaced}, verdict{Result: "accepted"}, noon)
	b.took(shop.Event{Ref: refOf("3"), Type: event.OrderPlaced, Kind: shop.Again}, verdict{Result: "duplicate"}, noon)
	require.False(t, b.knownBefore(refOf("3")), "its repetition says nothing of an earlier run")
}

// An order is asked about again the sooner the younger it is, and one that waits for a retry not before that.
func TestWhenAnOrderIsAskedAbout(t *testing.T) {
	t.Parallel()
	b := invoiced(orderFault{})
	ask := func(at time.Duration) bool { _, ok := b.due(noon.Add(at)); return ok }
	require.True(t, ask(0))
	b.learn(refOf("1"), status{Status: domain.InProgress}, noon)
	require.False(t, ask(49*time.Millisecond))
	require.True(t, ask(50*time.Millisecond))
	b.learn(refOf("1"), status{Status: domain.InProgress}, noon.Add(5*time.Second))
	require.False(t, ask(5499*time.Millisecond))
	require.True(t, ask(5500*time.Millisecond))
	b.learn(refOf("1"), status{Status: domain.InProgress}, noon.Add(time.Hour))
	require.True(t, ask(time.Hour+2*time.Second), "2 s at most")
	b.learn(refOf("1"), status{Status: domain.Queued, NextAttemptAt: "2024-01-15T14:00:00Z"}, noon.Add(time.Hour))
	require.False(t, ask(2*time.Hour-time.Second))
	require.True(t, ask(2*time.Hour))
	b.learn(refOf("1"), status{Status: domain.Success, ErpReference: "E"}, noon.Add(2*time.Hour))
	require.False(t, ask(3*time.Hour), "it has ended")
	_, ok := newTracker().due(noon)
	require.False(t, ok)
}

// Each thing that goes wrong with an order is shown once, in words; what is ordinary is not.
func TestWhatIsWorthShowing(t *testing.T) {
	t.Parallel()
	const later = 1500 * time.Millisecond
	local := noon.Add(time.Minute).Local().Format(time.TimeOnly)
	for name, c := range map[string]struct {
		fault orderFault
		got   status
		kind  string
		text  string
	}{
		"under_way":  {orderFault{}, status{Status: domain.InProgress}, "", ""},
		"failed":     {orderFault{}, status{Status: domain.Failed, Attempts: 5, LastError: "HTTP 400"}, "failed", "order 1 at attempt 5: HTTP 400"},
		"long":       {orderFault{}, status{Status: domain.Failed, Attempts: 5, LastError: strings.Repeat("ä", 200)}, "failed", "order 1 at attempt 5: " + strings.Repeat("ä", 120) + "…"},
		"on_purpose": {orderFault{times: 1, words: "we did it"}, status{Status: domain.Failed, Attempts: 1, LastError: "HTTP 422"}, "failed", "order 1 at attempt 1: we did it"},
		"held":       {orderFault{}, status{Status: domain.Pending}, "held", "order 1: the connector is off, or leaves it to the cron"},
		"mended":     {orderFault{}, status{Status: domain.Success, Attempts: 2, ErpReference: "E"}, "mended", "order 1 is in the ERP at attempt 2, 1.5s after its invoice"},
		"slow":       {orderFault{}, status{Status: domain.Success, Attempts: 1, ErpReference: "E"}, "slow", "order 1 is in the ERP 1.5s after its invoice"},
		"made_slow":  {orderFault{times: 1, words: "it slept"}, status{Status: domain.Success, Attempts: 1, ErpReference: "E"}, "slow", "order 1 is in the ERP 1.5s after its invoice: it slept, and other orders did not wait for it"},
		"retry": {
			orderFault{},
			status{Status: domain.Queued, Attempts: 1, MaxAttempts: 5, NextAttemptAt: "2024-01-15T12:01:00Z", LastError: "HTTP 503"},
			"retry", "order 1: HTTP 503; attempt 2 of 5 follows at " + local + ", in 59s",
		},
		"no_time_yet": {orderFault{}, status{Status: domain.Queued, Attempts: 1, NextAttemptAt: "soon"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := invoiced(c.fault)
			kind, text := b.learn(refOf("1"), c.got, noon.Add(later))
			require.Equal(t, []string{c.kind, c.text}, []string{kind, text})
			kind, _ = b.learn(refOf("1"), c.got, noon.Add(later))
			require.Empty(t, kind, "once")
		})
	}
	quick := invoiced(orderFault{})
	kind, _ := quick.learn(refOf("1"), status{Status: domain.Success, Attempts: 1, ErpReference: "E"}, noon.Add(time.Second))
	require.Empty(t, kind, "most go like that")

	known := newTracker() // an earlier run has published it: that it failed then is no news
	known.took(shop.Event{Ref: refOf("1"), Type: event.InvoiceCreated}, verdict{Result: "duplicate"}, noon)
	kind, _ = known.learn(refOf("1"), status{Status: domain.Failed, Attempts: 1, LastError: "x"}, noon)
	require.Empty(t, kind)
	require.Equal(t, 1, known.tally().Failed)
}

// An end that is told before how it came about is asked for again, ten times at most.
func TestAStatusThatIsAheadOfItsRow(t *testing.T) {
	t.Parallel()
	for _, got := range []status{{Status: domain.Success}, {Status: domain.Failed}} {
		b := invoiced(orderFault{})
		for range 10 {
			b.learn(refOf("1"), got, noon)
			require.Equal(t, 1, b.tally().UnderWay)
		}
		b.learn(refOf("1"), got, noon)
		require.Zero(t, b.tally().UnderWay)
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	b := newTracker()
	for id, got := range map[string]status{
		"1": {Status: domain.Success, Attempts: 1, ErpReference: "E"}, "2": {Status: domain.Success, Attempts: 3, ErpReference: "E"}, "3": {Status: domain.Failed, Attempts: 5, LastError: "x"},
		"4": {Status: domain.Pending}, "5": {Status: domain.InProgress, Attempts: 1}, "6": {Status: domain.Queued, Attempts: 2, NextAttemptAt: "2024-01-15T13:00:00Z"}, "7": {Status: domain.Queued},
	} {
		b.took(shop.Event{Ref: refOf(id), Type: event.InvoiceCreated}, verdict{Result: "accepted"}, noon)
		b.learn(refOf(id), got, noon)
	}
	require.Equal(t, Tally{Success: 2, Failed: 1, Retried: 1, Waiting: 1, Held: 1, UnderWay: 2, Attempts: 12}, b.tally())
	require.False(t, b.settled(noon.Add(time.Hour)), "two are under way")
	for _, id := range []string{"5", "7"} {
		b.learn(refOf(id), status{Status: domain.Failed, LastError: "x"}, noon)
	}
	require.True(t, b.settled(noon.Add(time.Minute)), "the retry comes later")
	require.False(t, b.settled(noon.Add(2*time.Hour)), "the retry is waited for")
}

func TestNamesAndTimesForPeople(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1", name(refOf("1")))
	require.Equal(t, "outlet/1", name(domain.OrderRef{Source: "outlet", IncrementID: "1"}))
	for d, want := range map[time.Duration]string{
		0: "0s", 1499 * time.Microsecond: "1ms", 999 * time.Millisecond: "999ms", 1240 * time.Millisecond: "1.2s", 61 * time.Second: "1m1s",
	} {
		require.Equal(t, want, round(d).String())
	}
}
