package checker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Figures are what a run did, and what the disturbances cost.
type Figures struct {
	Seed       uint64
	Broker     string
	Partitions int
	Took       time.Duration

	Orders       int
	Generations  int
	Held         int // generations that wait for their release at the end
	Successes    int
	Failures     int
	GivenUp      int // of the failures: attempts were left, but no time
	Publications int
	Requests     int
	Records      int
	Events       int // records that are events of shops
	OutboxRows   int
	TableRows    int

	Attempts     int
	Calls        int
	Repeated     int // calls beyond one per attempt: made again after a crash, or without an outcome
	Unanswered   int // calls without an answer
	NeverArrived int // attempts that did not reach the ERP
	Bookings     int
	BookedAgain  int // of orders that were booked before, under another key

	Disturbances map[string]int // by what and service: "kill syncer"
	Switches     int            // times in which an operator had a setting off
	Stops        int            // times in which the breaker was not closed
	Stopped      time.Duration  // all of them together
	Spared       int            // times in which the ERP was not to be called
	Failovers    int            // of Postgres, to a standby that lagged
	LostGates    int            // warnings about gates that were missing or behind before a repair
	Violations   map[int]int    // by promise

	Alerts     int
	Notices    int // that a destination was sent
	ToldAgain  int // of the notices: under an id that had come before
	TurnedAway int // of the notices: the destination did not take them

	Lost          int
	Doubled       int
	TerminalTwice int

	Stall              Disturbed // the longest after the death of one of several processes
	StallInOutage      time.Duration
	StallUndisturbed   time.Duration
	Unseen             int       // records that the live reader did not see
	TakeOver           Disturbed // the longest after a death that was the only one of its service for a while
	TakeOverInSeries   Disturbed // the longest after other deaths
	Wait               Disturbed // the longest of work that was ready, whatever the reason
	Recovery           Disturbed // the longest
	LatestRetry        time.Duration
	LatestUndisturbed  time.Duration
	LaneSilence        time.Duration // the longest of other partitions while one took no records
	OverlapsOfStopped  int           // overlapping calls while a process was stopped
	AnsweredKeysReused int           // keys used again although answered, because an outage kept the answer from the gate
}

// count fills in the figures that no rule fills in.
func (c *checker) count() {
	h, f := c.h, &c.figures
	f.Seed, f.Broker, f.Partitions, f.Took = h.Seed, h.Broker, h.Partitions, h.Ended.Sub(h.Began)
	f.Publications, f.Requests, f.Calls, f.Records = len(h.Publications), len(h.Requests), len(h.Calls), len(h.Records)
	f.OutboxRows, f.TableRows, f.Switches, f.Failovers = len(h.Outbox), len(h.Table), len(h.Switches), len(h.Failovers)
	f.Orders = len(c.orders)
	for _, o := range c.orders {
		f.Events += len(o.events)
		f.Generations += len(o.byNumber)
		for _, g := range o.byNumber {
			f.Attempts += len(g.after)
		}
	}
	for _, call := range h.Calls {
		if call.Booked {
			f.Bookings++
		}
		if call.Status == 0 {
			f.Unanswered++
		}
	}
	f.Repeated = max(0, f.Calls-(f.Attempts-f.NeverArrived))
	for _, r := range c.facts {
		switch r.Topic {
		case topicSuccess:
			f.Successes++
		case topicFailed:
			f.Failures++
		}
	}
	f.Disturbances, f.Violations = map[string]int{}, map[int]int{}
	for _, d := range h.Disturbances {
		target := d.Service
		if target == "" {
			target = d.Target
		}
		f.Disturbances[d.Kind+" "+target]++
	}
	for _, v := range c.found {
		f.Violations[v.Promise]++
	}
}

// String returns the figures, one line for each subject.
func (f Figures) String() string {
	var b strings.Builder
	put := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s "+format+"\n", append([]any{name}, args...)...)
	}
	put("run", "seed %d, %s, %d partitions, %s", f.Seed, f.Broker, f.Partitions, f.Took.Round(time.Millisecond))
	put("orders", "%d, %d generations (%d held at the end), %d succeeded, %d failed, %d of them given up",
		f.Orders, f.Generations, f.Held, f.Successes, f.Failures, f.GivenUp)
	put("requests", "%d publications, %d requests", f.Publications, f.Requests)
	put("log", "%d records, %d of them events of shops; %d outbox rows, %d rows in the table", f.Records, f.Events, f.OutboxRows, f.TableRows)
	put("calls", "%d for %d attempts: %d repeated, %d without an answer, %d attempts that did not reach the ERP", f.Calls, f.Attempts, f.Repeated, f.Unanswered, f.NeverArrived)
	put("bookings", "%d, %d of them again under a new key", f.Bookings, f.BookedAgain)
	put("disturbances", "%s; a setting was off %d times, the ERP not to be called %d times", f.disturbances(), f.Switches, f.Spared)
	put("breaker", "opened %d times, not closed for %s", f.Stops, ms(f.Stopped))
	put("alerts", "%d; %d notices, %d of them sent again, %d turned away", f.Alerts, f.Notices, f.ToldAgain, f.TurnedAway)
	put("lost", "%d", f.Lost)
	put("doubled", "%d", f.Doubled)
	put("ended twice", "%d", f.TerminalTwice)
	put("stall", "%s; undisturbed %s, in an outage %s; %d records unseen", f.Stall, ms(f.StallUndisturbed), ms(f.StallInOutage), f.Unseen)
	put("take-over", "%s; in a series of deaths %s", f.TakeOver, f.TakeOverInSeries)
	put("wait", "%s, of an order that was ready to be called", f.Wait)
	put("recovery", "%s", f.Recovery)
	put("latest retry", "%s; undisturbed %s", ms(f.LatestRetry), ms(f.LatestUndisturbed))
	if f.Failovers > 0 {
		put("failovers", "%d to a standby that lagged; %d times a gate was missing or behind until the repair", f.Failovers, f.LostGates)
	}
	if f.LaneSilence > 0 || f.Disturbances["starve broker"] > 0 {
		put("partitions", "the others were silent for %s at most while one partition took no records", ms(f.LaneSilence))
	}
	if f.OverlapsOfStopped > 0 {
		put("overlaps", "%d of processes that were stopped", f.OverlapsOfStopped)
	}
	if f.AnsweredKeysReused > 0 {
		put("keys", "%d used again although answered, because an outage kept the answer from the gate", f.AnsweredKeysReused)
	}
	return b.String()
}

func (f Figures) disturbances() string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(f.Disturbances)) {
		out = append(out, fmt.Sprintf("%s %d", what, f.Disturbances[what]))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// String returns the duration and its cause.
func (d Disturbed) String() string {
	if d.Took == 0 && d.After == "" {
		return "none"
	}
	text := ms(d.Took)
	if d.What != "" {
		text += " (" + d.What + ")"
	}
	if d.After != "" {
		text += " after " + d.After
	}
	return text
}

// ms returns a duration in whole milliseconds.
func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }

// maxTraces bounds the traces in a printed report, as a fault in the product can break a rule for thousands of orders.
const maxTraces = 20

// String returns the figures, then every violation, the first ones with their traces.
func (r Report) String() string {
	var b strings.Builder
	b.WriteString(r.Figures.String())
	if len(r.Violations) == 0 {
		b.WriteString("\nno violation\n")
		return b.String()
	}
	fmt.Fprintf(&b, "\n%d violations\n", len(r.Violations))
	b.WriteString(r.byRule())
	for i, v := range r.Violations {
		b.WriteString("\n" + v.String() + "\n")
		if i == maxTraces {
			fmt.Fprintf(&b, "(the other violations are without their traces)\n")
		}
		if i >= maxTraces {
			continue
		}
		for _, line := range v.Trace {
			b.WriteString("    " + line + "\n")
		}
	}
	return b.String()
}

// byRule counts the violations of each rule, by promise.
func (r Report) byRule() string {
	var b strings.Builder
	counts := map[string]int{}
	for _, v := range r.Violations {
		counts[v.rule()]++
	}
	reported := map[string]bool{}
	for _, v := range r.Violations {
		if rule := v.rule(); !reported[rule] {
			reported[rule] = true
			fmt.Fprintf(&b, "%6d %s\n", counts[rule], rule)
		}
	}
	return b.String()
}

// rule returns the promise and the rule in words.
func (v Violation) rule() string { return fmt.Sprintf("promise %d: %s", v.Promise, v.Rule) }

// String returns the violation without its trace.
func (v Violation) String() string {
	text := v.rule()
	if v.Order != "" {
		text += fmt.Sprintf(": order %s of %s", v.Order, v.Source)
	}
	return text + ": " + v.Text
}
