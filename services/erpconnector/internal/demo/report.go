package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo/internal/shop"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// Report is what a run came to.
type Report struct {
	Published, Accepted     int
	Again, Known, Differ    int // duplicates: sent twice on purpose, known from an earlier run, and of all those with other content
	Refused, RefusedUnasked int // all, and those that were no mistake on purpose
	Orders                  int // placed
	Tally

	ERP       mockerp.Stats // what the mock ERP counted during the run
	Restarted bool          // it counts since it was restarted during the run
	Mock      bool          // there is one
	Armed     int           // orders with a fault
	TakenBack int           // faults that had not happened by the end

	Median, Slowest time.Duration // from an invoice's acceptance to success, as seen by asking

	Stopped bool // before all events were published

	refusals []refusal
	next     time.Time // the first attempt that is waited for
	look     []look
}

// look is an order worth looking at.
type look struct {
	ref domain.OrderRef
	why string
}

// report takes the faults back that have not happened: they would meet the orders of the next run with this seed.
func (r *run) report(ctx context.Context) Report {
	c := r.tracker.counts()
	out := Report{
		Published: c.published, Accepted: c.accepted, Again: c.again, Known: c.known, Differ: c.differ, Refused: c.refused,
		Tally: r.tracker.tally(), Mock: r.mock, Stopped: !r.all, refusals: c.refusals,
	}
	for _, f := range c.refusals {
		if !f.onPurpose {
			out.RefusedUnasked++
		}
	}
	r.tracker.sumUp(&out)
	if !r.mock {
		return out
	}
	if out.Armed > 0 {
		n, err := r.client.disarm(ctx, r.label())
		if err != nil {
			r.screen.print("The mock ERP's faults could not be taken back (%s): it may go on misbehaving with orders of this run.", err)
		}
		out.TakenBack = n
	}
	if after, err := r.client.stats(ctx); err != nil {
		r.screen.print("The mock ERP does not tell what it counted: %s", err)
	} else {
		out.ERP, out.Restarted = since(r.before, after)
	}
	return out
}

// since is what was counted in between; or, as a mock ERP forgets when it is restarted, what it counted since then.
func since(before, after mockerp.Stats) (_ mockerp.Stats, restarted bool) {
	if after.Calls < before.Calls {
		return after, true
	}
	return mockerp.Stats{
		Calls: after.Calls - before.Calls, Bookings: after.Bookings - before.Bookings, Doubles: after.Doubles - before.Doubles,
		Refused: after.Refused - before.Refused, Faults: after.Faults - before.Faults,
	}, false
}

// sumUp adds the times and the orders worth a look.
func (b *tracker) sumUp(out *Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out.Orders, out.Armed = len(b.placed), len(b.armed)
	var took []time.Duration
	all := slices.Concat(b.ended, b.open)
	for _, s := range all {
		if !s.next.IsZero() && (out.next.IsZero() || s.next.Before(out.next)) {
			out.next = s.next
		}
		if s.took > 0 {
			took = append(took, s.took)
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		out.Median, out.Slowest = took[len(took)/2], took[len(took)-1]
	}
	out.look = worthALook(all)
}

// worthALook chooses up to three orders that show most, and of those the later ones.
func worthALook(all []*tracked) []look {
	var lost, mended, waiting, failed, plain *tracked
	for _, s := range all {
		switch succeeded := s.status.Status == domain.Success; {
		case s.status.Status == domain.Failed:
			failed = s
		case !s.next.IsZero():
			waiting = s
		case succeeded && s.fault.kind == shop.Lost: // one key, two calls, one booking
			lost = s
		case succeeded && s.status.Attempts > 1:
			mended = s
		case succeeded && s.fault.times == 0:
			plain = s
		}
	}
	var out []look
	for _, l := range []struct {
		s   *tracked
		why string
	}{
		{cmp.Or(lost, mended), "needed more than one attempt"},
		{waiting, "waits for its next attempt"},
		{failed, "failed"},
		{plain, "went straight through"},
	} {
		if l.s == nil || len(out) == 3 {
			continue
		}
		if l.s.fault.times > 0 {
			l.why += " (" + l.s.fault.words + ")"
		}
		out = append(out, look{l.s.ref, l.why})
	}
	return out
}

// problem is why the run did not show what it should.
func (r Report) problem() error {
	switch {
	case r.ERP.Doubles > 0:
		return fmt.Errorf("%d orders are in the ERP twice: this must never happen, please report it with the seed and the connector's log", r.ERP.Doubles)
	case r.Published > 0 && r.Accepted+r.Known == 0:
		return errors.New("no event was accepted: the reasons stand above")
	case r.Published == 0:
		return errors.New("nothing was published")
	}
	return nil
}

// write prints the summary.
func (r Report) write(o Options) {
	p := page{o.Out}
	p.blank()
	stopped := ""
	if r.Stopped {
		stopped = "; stopped before the end"
	}
	p.row("events", "%d published, with seed %d%s", r.Published, o.Seed, stopped)
	p.row("  accepted", "%d", r.Accepted)
	r.writeDuplicates(p)
	r.writeRefused(p)
	p.row("orders", "%d, of which %d have an invoice and go to the ERP; %d attempts so far",
		r.Orders, r.Success+r.Failed+r.Waiting+r.Held+r.UnderWay, r.Attempts)
	p.row("  success", "%d%s", r.Success, some(r.Retried, ", %d of them after a retry"))
	p.row("  failed", "%d%s", r.Failed, some(r.Failed, ": rejected by the ERP, or out of attempts"))
	p.rowIf(r.Waiting, "  waiting", "%d for a retry, the next at %s", r.Waiting, r.next.Local().Format(time.TimeOnly))
	p.rowIf(r.Held, "  held", "%d: the connector is off (CONNECTOR_ENABLED) or leaves them to the cron (IMMEDIATE_SYNC)", r.Held)
	p.rowIf(r.UnderWay, "  on the way", "%d, still", r.UnderWay)
	if r.Slowest > 0 {
		p.row("time", "from invoice accepted to success: median %s, slowest %s", round(r.Median), round(r.Slowest))
	}
	r.writeERP(p)
	r.writeAdvice(p, o)
	r.writeLooks(p, o)
}

// writeDuplicates says whose doing they are: the demo sends some events twice, and an earlier run may have sent them all.
func (r Report) writeDuplicates(p page) {
	p.row("  duplicates", "%d%s", r.Again+r.Known, parts(
		r.Known, "accepted before this run: they start nothing anew",
		r.Again, "sent twice on purpose, as by a shop that missed the answer"))
	p.rowIf(r.Differ, "", "%d with other content than then: another version of this demo made it", r.Differ)
}

// writeRefused shows three reasons at most. What a shop with a bug is told is worth seeing once.
func (r Report) writeRefused(p page) {
	p.row("  refused", "%d%s", r.Refused, parts(
		r.RefusedUnasked, "that should have been accepted",
		r.Refused-r.RefusedUnasked, "on purpose, to show what a shop with a bug is told"))
	shown := r.refusals[:min(3, len(r.refusals))]
	widest := 0
	for _, f := range shown {
		widest = max(widest, len(f.order))
	}
	for _, f := range shown {
		p.row("", "%-*s  %s", widest, f.order, f.reasons)
	}
	p.rowIf(len(r.refusals)-len(shown), "", "…")
}

// writeERP shows the number that matters most: doubles, which must be 0.
func (r Report) writeERP(p page) {
	switch {
	case !r.Mock:
		p.row("ERP", "not the mock one: look there for the orders")
	case r.ERP.Calls == 0 && r.Success > 0 && r.Accepted > 0:
		p.row("ERP", "the mock ERP was not called: the connector sends to another ERP, see its ERP_BASE_URL")
	default:
		restarted := ""
		if r.Restarted {
			restarted = ", since it was restarted during the run"
		}
		p.row("ERP", "%d calls, %d bookings, %d doubles%s", r.ERP.Calls, r.ERP.Bookings, r.ERP.Doubles, restarted)
		p.rowIf(r.Armed, "", "told to treat %d orders badly; calls that went wrong: %d%s", r.Armed, r.ERP.Faults,
			some(r.TakenBack, "; not yet, and taken back: %d"))
	}
}

// soon is a delay that needs no advice.
const soon = 15 * time.Second

// writeAdvice tells how to see a retry's end, when it comes later than a newcomer waits.
func (r Report) writeAdvice(p page, o Options) {
	if r.Waiting > 0 && time.Until(r.next) > soon {
		p.blank()
		p.line("After attempt n the connector waits 2^n × RETRY_BASE_DELAY, which is 1m0s unless set. To see retries end within the minute:")
		p.line("  RETRY_BASE_DELAY=1s %s up", o.Self)
		p.line("The same run again, with --seed %d, shows what became of these orders by then.", o.Seed)
	}
}

// writeLooks prints commands to copy, for the orders that show most.
func (r Report) writeLooks(p page, o Options) {
	if len(r.look) == 0 {
		return
	}
	p.blank()
	for _, l := range r.look {
		p.line("%s, which %s:", name(l.ref), l.why)
		p.line("  curl -sS '%s%s' -H \"Authorization: Bearer %s\"", o.URL, statusPath(l.ref), o.TokenShell)
	}
	if r.Mock {
		p.line("What the mock ERP was sent for %s, and what it answered:", name(r.look[0].ref))
		p.line("  curl -sS '%s/mockerp/calls?order=%s'", o.URL, r.look[0].ref.IncrementID)
	}
}

// some is the text when there are any; it may hold a %d for how many.
func some(n int, format string) string {
	switch {
	case n == 0:
		return ""
	case strings.Contains(format, "%d"):
		return fmt.Sprintf(format, n)
	}
	return format
}

// parts says what the counts n and m, which are all together, mean.
func parts(n int, first string, m int, second string) string {
	switch {
	case n > 0 && m > 0:
		return fmt.Sprintf(": %d %s; %d %s", n, first, m, second)
	case n > 0:
		return ", all " + first
	case m > 0:
		return ", all " + second
	}
	return ""
}

// page is the summary on its way out.
type page struct{ out io.Writer }

func (p page) blank() { _, _ = fmt.Fprintln(p.out) }
func (p page) line(format string, a ...any) {
	_, _ = fmt.Fprintln(p.out, domain.PrintableLines(fmt.Sprintf(format, a...)))
}

func (p page) row(label, format string, a ...any) {
	_, _ = fmt.Fprintf(p.out, "%-13s %s\n", label, domain.Printable(fmt.Sprintf(format, a...)))
}

func (p page) rowIf(n int, label, format string, a ...any) {
	if n > 0 {
		p.row(label, format, a...)
	}
}
