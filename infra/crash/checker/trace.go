package checker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// line is one thing that happened to an order.
type line struct {
	at   time.Time
	text string
}

// trace returns everything known of the order in time order, one line each, with the disturbances of that time.
func (c *checker) trace(o *order) []string {
	if o.trace != nil {
		return o.trace
	}
	var lines []line
	for _, p := range o.publications {
		lines = append(lines, line{p.First, fmt.Sprintf("publication %s %s by %s: %s%s", p.Type, eventID(p), p.Door, p.Outcome, until(p.First, p.Last))})
	}
	for _, r := range o.requests {
		text := fmt.Sprintf("request %s%s%s: %s", r.Kind, underKey(r.Key), asReference(r.Reference), r.Outcome)
		if r.HTTPCode != 0 {
			text += fmt.Sprintf(" %d", r.HTTPCode)
		}
		lines = append(lines, line{r.Began, text + until(r.Began, r.Ended)})
	}
	for _, call := range o.calls {
		lines = append(lines, line{call.Began, callLine(call)})
	}
	for _, f := range o.records() {
		lines = append(lines, line{f.Timestamp, c.recordLine(f)})
	}
	lines = append(lines, c.disturbancesIn(lines)...)
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	for _, l := range lines {
		o.trace = append(o.trace, clock(l.at)+" "+l.text)
	}
	return o.trace
}

// records returns all records of the order, retries too.
func (o *order) records() []*fact {
	out := append(slices.Clone(o.events), o.facts...)
	for _, g := range o.generations() {
		for _, parked := range g.parked {
			out = append(out, parked...)
		}
	}
	slices.SortStableFunc(out, func(a, b *fact) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		return byOffset(a, b)
	})
	return out
}

// callLine describes a call of the ERP.
func callLine(call *erpCall) string {
	text := fmt.Sprintf("call %d%s %s", call.Number, underKey(call.Key), call.Behaviour)
	if call.Status == 0 {
		text += ": no answer"
	} else {
		text += fmt.Sprintf(": %d", call.Status)
	}
	if call.Booked {
		text += " booked"
	}
	if call.Reference != "" {
		text += " " + call.Reference
	}
	if call.Problem != "" {
		text += " (" + call.Problem + ")"
	}
	return text + until(call.Began, call.Ended)
}

// recordLine describes a record with what the rules look at.
func (c *checker) recordLine(f *fact) string {
	text := fmt.Sprintf("record %s %s", f.where(), f.id)
	if f.Topic != topicEvent {
		s := f.sync
		text += fmt.Sprintf(" %s, attempts %d, generation %d%s", s.Status, s.Attempts, s.Generation, underKey(s.IdempotencyKey))
		if f.response != nil && f.Topic != topicCallback {
			text += fmt.Sprintf(", answered %d", f.status())
		}
		for _, extra := range []struct{ name, value string }{{"error", s.ErrorCode}, {"closed by", s.ClosedBy}, {"cause", s.Cause}} {
			if extra.value != "" {
				text += ", " + extra.name + " " + extra.value
			}
		}
		if s.Released != nil && !*s.Released {
			text += ", held"
		}
		if s.NextAttemptAt != nil {
			text += ", next " + clock(*s.NextAttemptAt)
		}
	}
	if !f.at.Equal(f.Timestamp) {
		text += ", of " + clock(f.at)
	}
	if seen, ok := c.seen[coordinates{topicPartition{f.Topic, f.Partition}, f.Offset}]; ok {
		text += ", seen " + clock(seen.At)
	}
	return text
}

// disturbancesIn returns the disturbances that overlap the time of the lines.
func (c *checker) disturbancesIn(lines []line) []line {
	if len(lines) == 0 {
		return nil
	}
	first, last := lines[0].at, lines[0].at
	for _, l := range lines {
		if l.at.Before(first) {
			first = l.at
		}
		if l.at.After(last) {
			last = l.at
		}
	}
	var out []line
	for _, d := range c.h.Disturbances {
		if !d.At.After(last) && !c.endOf(d).Before(first) {
			out = append(out, line{d.At, disturbanceLine(d)})
		}
	}
	for _, s := range c.h.Switches {
		if !s.OffRequested.After(last) && (s.On.IsZero() || !s.On.Before(first)) {
			out = append(out, line{s.OffRequested, fmt.Sprintf("--- %s is changed, answered %s, changed back %s", s.Setting, clock(s.Off), clock(s.On))})
		}
	}
	return out
}

// disturbanceLine describes a disturbance.
func disturbanceLine(d history.Disturbance) string {
	text := fmt.Sprintf("--- %s %s", d.Kind, d.Target)
	if d.Service != "" {
		text += fmt.Sprintf(", %d others of %s live", d.Survivors, d.Service)
	}
	if !d.Restarted.IsZero() {
		text += ", back " + clock(d.Restarted)
	}
	if !d.Ready.IsZero() {
		text += ", ready " + clock(d.Ready)
	}
	return text
}

func underKey(key string) string {
	if key == "" {
		return ""
	}
	return " under " + key
}

func asReference(reference string) string {
	if reference == "" {
		return ""
	}
	return " as " + reference
}

// until describes an end that differs from the beginning.
func until(from, to time.Time) string {
	if to.IsZero() || to.Equal(from) {
		return ""
	}
	return ", until " + clock(to)
}

// clock returns the time of day. A run is shorter than a day.
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000000") }

func clockOr(t *time.Time) string {
	if t == nil {
		return "no time"
	}
	return clock(*t)
}
