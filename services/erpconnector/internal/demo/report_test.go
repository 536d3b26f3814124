package demo

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo/internal/shop"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// summary is a report as it is printed.
func summary(r Report) string {
	var out bytes.Buffer
	r.write(Options{Out: &out, Seed: 7, URL: "http://host", TokenShell: "$API_TOKEN", Self: "erpconnector"})
	return out.String()
}

func TestASummaryOfAGoodRun(t *testing.T) {
	t.Parallel()
	require.Equal(t, `
events        10 published, with seed 7
  accepted    7
  duplicates  2, all sent twice on purpose, as by a shop that missed the answer
  refused     1, all on purpose, to show what a shop with a bug is told
              outlet/7  no
orders        4, of which 3 have an invoice and go to the ERP; 4 attempts so far
  success     3, 1 of them after a retry
  failed      0
time          from invoice accepted to success: median 120ms, slowest 1.5s
ERP           4 calls, 3 bookings, 0 doubles
              told to treat 1 orders badly; calls that went wrong: 1

outlet/7, which failed:
  curl -sS 'http://host`+httpapi.BasePath+`/sync-status/7?source=outlet' -H "Authorization: Bearer $API_TOKEN"
What the mock ERP was sent for outlet/7, and what it answered:
  curl -sS 'http://host/mockerp/calls?order=7'
`, summary(Report{
		Published: 10, Accepted: 7, Again: 2, Refused: 1, Orders: 4, Tally: Tally{Success: 3, Retried: 1, Attempts: 4}, Mock: true, Armed: 1,
		ERP: mockerp.Stats{Calls: 4, Bookings: 3, Faults: 1}, Median: 120*time.Millisecond + 1, Slowest: 1501 * time.Millisecond,
		refusals: []refusal{{"outlet/7", "no", true}}, look: []look{{domain.OrderRef{Source: "outlet", IncrementID: "7"}, "failed"}},
	}))
}

// Each thing that is not as usual has its words, and what is as usual has none.
func TestWhatASummarySays(t *testing.T) {
	t.Parallel()
	usual := summary(Report{Published: 1, Accepted: 1, Mock: true, Tally: Tally{Success: 1}, ERP: mockerp.Stats{Calls: 1, Bookings: 1}})
	next := time.Now().Add(time.Hour)
	for want, r := range map[string]Report{
		"with seed 7; stopped before the end\n":                                                                                                {Stopped: true},
		"  failed      2: rejected by the ERP, or out of attempts\n":                                                                           {Tally: Tally{Failed: 2}},
		"  waiting     1 for a retry, the next at " + next.Local().Format(time.TimeOnly):                                                       {Tally: Tally{Waiting: 1}, next: next},
		"\n  RETRY_BASE_DELAY=1s erpconnector up\n":                                                                                            {Tally: Tally{Waiting: 1}, next: next},
		"  held        1: the connector is off (CONNECTOR_ENABLED) or leaves them to the cron (IMMEDIATE_SYNC)\n":                              {Tally: Tally{Held: 1}},
		"  on the way  1, still\n":                                                                                                             {Tally: Tally{UnderWay: 1}},
		"ERP           not the mock one: look there for the orders\n":                                                                          {},
		"ERP           the mock ERP was not called: the connector sends to another ERP, see its ERP_BASE_URL\n":                                {Mock: true, Accepted: 1, Tally: Tally{Success: 1}},
		"0 doubles, since it was restarted during the run\n":                                                                                   {Mock: true, Restarted: true},
		"calls that went wrong: 0; not yet, and taken back: 2\n":                                                                               {Mock: true, Armed: 3, TakenBack: 2},
		"  duplicates  3, all accepted before this run: they start nothing anew\n":                                                             {Known: 3},
		"  duplicates  3: 1 accepted before this run: they start nothing anew; 2 sent twice on purpose, as by a shop that missed the answer\n": {Known: 1, Again: 2},
		"              1 with other content than then: another version of this demo made it\n":                                                 {Differ: 1},
		"  refused     2, all that should have been accepted\n":                                                                                {Refused: 2, RefusedUnasked: 2},
		"  refused     2: 1 that should have been accepted; 1 on purpose, to show what a shop with a bug is told\n":                            {Refused: 2, RefusedUnasked: 1},
	} {
		require.Contains(t, summary(r), want)
		require.NotContains(t, usual, want)
	}
	soonest := summary(Report{Tally: Tally{Waiting: 1}, next: time.Now().Add(5 * time.Second)})
	require.NotContains(t, soonest, "RETRY_BASE_DELAY", "what comes soon needs no advice")
}

// Three reasons are enough; what stands in them was written by others.
func TestRefusalsInASummary(t *testing.T) {
	t.Parallel()
	r := Report{Refused: 4, refusals: []refusal{{"1", "a", true}, {"outlet/22", "b\x1b[2J", true}, {"3", "c", true}, {"4", "d", true}}}
	require.Contains(t, summary(r), "              1          a\n              outlet/22  "+`b\x1b[2J`+"\n              3          c\n              …\n")
	r.refusals = r.refusals[:3]
	require.NotContains(t, summary(r), "…")
}

func TestSomeAndParts(t *testing.T) {
	t.Parallel()
	require.Empty(t, some(0, ": %d"))
	require.Equal(t, ": 2", some(2, ": %d"))
	require.Equal(t, ": text", some(2, ": text"))
	require.Empty(t, parts(0, "a", 0, "b"))
	require.Equal(t, ", all a", parts(1, "a", 0, "b"))
	require.Equal(t, ", all b", parts(0, "a", 1, "b"))
	require.Equal(t, ": 1 a; 2 b", parts(1, "a", 2, "b"))
}

func TestWhatTheMockErpCountedMeanwhile(t *testing.T) {
	t.Parallel()
	before := mockerp.Stats{Calls: 10, Bookings: 5, Doubles: 1, Refused: 2, Faults: 3}
	got, restarted := since(before, mockerp.Stats{Calls: 15, Bookings: 9, Doubles: 1, Refused: 4, Faults: 6})
	require.Equal(t, mockerp.Stats{Calls: 5, Bookings: 4, Refused: 2, Faults: 3}, got)
	require.False(t, restarted)
	got, restarted = since(before, mockerp.Stats{Calls: 3, Bookings: 2})
	require.Equal(t, mockerp.Stats{Calls: 3, Bookings: 2}, got, "all since it was restarted")
	require.True(t, restarted)
	_, restarted = since(before, before)
	require.False(t, restarted)
}

// Which run is an error, and which only has something to say.
func TestProblem(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Report{
		"": {Published: 1, Accepted: 1, Tally: Tally{Failed: 1}},
		"2 orders are in the ERP twice: this must never happen, please report it with the seed and the connector's log": {Published: 1, Accepted: 1, ERP: mockerp.Stats{Doubles: 2}},
		"no event was accepted: the reasons stand above":                                                                {Published: 3, Refused: 3},
		"nothing was published": {},
	} {
		err := r.problem()
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, want)
	}
	require.NoError(t, Report{Published: 2, Known: 2}.problem(), "an earlier run was here")
}

// The orders to look at are those that show most, three at most.
func TestOrdersWorthALook(t *testing.T) {
	t.Parallel()
	order := func(id string, s domain.Status, attempts int, f orderFault) *tracked {
		return &tracked{ref: refOf(id), status: status{Status: s, Attempts: attempts}, fault: f}
	}
	plain, later := order("plain", domain.Success, 1, orderFault{}), order("later", domain.Success, 1, orderFault{})
	mended := order("mended", domain.Success, 2, orderFault{kind: shop.Unavailable, times: 1, words: "503"})
	lost := order("lost", domain.Success, 2, orderFault{kind: shop.Lost, times: 1, words: "lost"})
	failed := order("failed", domain.Failed, 1, orderFault{kind: shop.Rejected, times: 1, words: "422"})
	waiting := order("waiting", domain.Queued, 1, orderFault{})
	waiting.next = noon
	slow := order("slow", domain.Success, 1, orderFault{kind: shop.Slow, times: 1})
	for name, c := range map[string]struct {
		all  []*tracked
		want []look
	}{
		"none":         {nil, nil},
		"none_to_show": {[]*tracked{slow}, nil},
		"the_later":    {[]*tracked{plain, later}, []look{{refOf("later"), "went straight through"}}},
		"a_retry":      {[]*tracked{mended, plain}, []look{{refOf("mended"), "needed more than one attempt (503)"}, {refOf("plain"), "went straight through"}}},
		"a_lost_one":   {[]*tracked{lost, mended}, []look{{refOf("lost"), "needed more than one attempt (lost)"}}},
		"all": {[]*tracked{plain, waiting, failed, mended, lost}, []look{
			{refOf("lost"), "needed more than one attempt (lost)"}, {refOf("waiting"), "waits for its next attempt"}, {refOf("failed"), "failed (422)"},
		}},
	} {
		require.Equal(t, c.want, worthALook(c.all), name)
	}
}

// The times are of the orders of this run that have succeeded; half are quicker than the median.
func TestTimesInAReport(t *testing.T) {
	t.Parallel()
	b := newTracker()
	for id, took := range map[string]time.Duration{"1": time.Second, "2": 2 * time.Second, "3": 9 * time.Second} {
		b.took(shop.Event{Ref: refOf(id), Type: event.OrderPlaced}, verdict{Result: "accepted"}, noon)
		b.took(shop.Event{Ref: refOf(id), Type: event.InvoiceCreated}, verdict{Result: "accepted"}, noon)
		b.learn(refOf(id), status{Status: domain.Success, ErpReference: "E"}, noon.Add(took))
	}
	for id, next := range map[string]string{"4": "2024-01-15T14:00:00Z", "5": "2024-01-15T13:00:00Z"} {
		b.took(shop.Event{Ref: refOf(id), Type: event.InvoiceCreated}, verdict{Result: "accepted"}, noon)
		b.learn(refOf(id), status{Status: domain.Queued, NextAttemptAt: next}, noon)
	}
	var r Report
	b.sumUp(&r)
	require.Equal(t, []any{2 * time.Second, 9 * time.Second, 3, 0}, []any{r.Median, r.Slowest, r.Orders, r.Armed})
	require.True(t, r.next.Equal(noon.Add(time.Hour)), "the first of the retries")
	require.Len(t, r.look, 2)
	var empty Report
	newTracker().sumUp(&empty)
	require.Equal(t, Report{}, empty)
}

func TestPagesObeyNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := page{&out}
	p.row("label", "a\n%s", "\x1b[2J")
	p.line("b\n%s", "\x1b[2J")
	p.rowIf(0, "never", "x")
	require.Equal(t, "label         "+`a\n\x1b[2J`+"\nb\n"+`\x1b[2J`+"\n", out.String())
	require.NotContains(t, out.String(), "never")
}
