package checker

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"
)

// checkChain is promise 3 as the log alone shows it. A generation has its requests, the attempts 1 to n, and at most one
// terminal event that follows from them. An attempt has its before_send, one after_send and, when it says so, its retry.
// checkEnds requires that there is a terminal event.
func (c *checker) checkChain(o *order) {
	for _, g := range o.generations() {
		c.checkRequested(o, g)
		for _, n := range slices.Sorted(maps.Keys(g.before)) {
			c.checkIntents(o, g, n, g.before[n])
		}
		for _, n := range slices.Sorted(maps.Keys(g.after)) {
			c.checkAfter(o, g, n)
		}
		for _, n := range slices.Sorted(maps.Keys(g.parked)) {
			c.checkParked(o, g, n)
		}
		if len(g.terminal) > 1 {
			c.figures.TerminalTwice++
			c.violate(3, "a generation with two terminal events", o, "generation %d: %s and %s", g.number, g.terminal[0].where(), g.terminal[1].where())
		}
		if len(g.terminal) == 1 {
			c.checkTerminal(o, g, g.terminal[0])
		}
	}
}

// checkRequested requires that a generation which is held, or was never requested, is not sent.
func (c *checker) checkRequested(o *order, g *generation) {
	if g.released() || o.lost {
		return
	}
	if len(g.before)+len(g.after)+len(g.terminal)+len(g.parked) > 0 {
		c.violate(3, "a generation that was sent and never released", o, "generation %d has %d requests, and none releases it", g.number, len(g.requested))
	}
}

// checkIntents requires that a repeated before_send has the same content, except for the time.
func (c *checker) checkIntents(o *order, g *generation, n int, intents []*fact) {
	for _, f := range intents[1:] {
		if !reflect.DeepEqual(timeless(intents[0].Value), timeless(f.Value)) {
			c.violate(3, "a repeated intent with different content", o, "generation %d, attempt %d: %s and %s",
				g.number, n, intents[0].where(), f.where())
		}
	}
}

// timeless returns a record's value without the time at which it was written.
func timeless(value json.RawMessage) map[string]any {
	var v map[string]any
	if json.Unmarshal(value, &v) != nil {
		return nil
	}
	if s, ok := v["sync"].(map[string]any); ok {
		delete(s, "updated_at")
	}
	return v
}

// checkAfter looks at the outcome of one attempt and at what must be before it.
func (c *checker) checkAfter(o *order, g *generation, n int) {
	first := g.after[n][0]
	if more := len(g.after[n]); more > 1 {
		c.violate(3, "an attempt with two after_send", o, "generation %d, attempt %d: %s and %s", g.number, n, first.where(), g.after[n][1].where())
	}
	if n > 1 && len(g.after[n-1]) == 0 {
		c.violate(3, "a gap in the attempts", o, "generation %d has an attempt %d and none before it", g.number, n)
	}
	if len(g.before[n]) == 0 {
		c.violate(3, "an attempt without before_send", o, "generation %d, attempt %d: %s", g.number, n, first.where())
	} else if late := earliest(g.before[n]); isAfter(late, first.corrected) {
		c.violate(3, "an intent after the outcome", o, "generation %d, attempt %d: stated at %s, %s says %s", g.number, n, clock(late), first.where(), clock(first.corrected))
	}
	if first.sync.Status == "queued" && len(g.parked[n]) == 0 && !c.trimmed(first.Partition) {
		c.violate(3, "a retry that is announced and not in a retry topic", o, "generation %d, attempt %d: %s", g.number, n, first.where())
	}
	c.checkAnswer(o, g, first)
}

// earliest returns when the first of the records was appended.
func earliest(facts []*fact) time.Time {
	return slices.MinFunc(facts, func(a, b *fact) int { return a.Timestamp.Compare(b.Timestamp) }).Timestamp
}

// trimmed reports whether retries of the partition may have been deleted after they were consumed.
func (c *checker) trimmed(partition int32) bool {
	for tp, start := range c.starts {
		if tp.partition == partition && isRetryTopic(tp.topic) && start > 0 {
			return true
		}
	}
	return false
}

// checkParked looks at the copies of one retry. It may be several times in a retry tier, becomes due once, and is processed
// only after that.
func (c *checker) checkParked(o *order, g *generation, n int) {
	var due []*fact
	for _, f := range g.parked[n] {
		if f.Topic == topicDue {
			due = append(due, f)
		}
	}
	if len(due) > 1 {
		c.violate(3, "a retry that became due twice", o, "generation %d, attempt %d: %s and %s", g.number, n, due[0].where(), due[1].where())
	}
	if worked := len(g.before[n+1])+len(g.after[n+1])+len(g.terminal) > 0; worked && len(due) == 0 && !c.trimmed(g.parked[n][0].Partition) {
		c.violate(3, "a retry that was processed and never due", o, "generation %d, attempt %d: %s", g.number, n, g.parked[n][0].where())
	}
	if len(g.after[n]) == 0 || g.after[n][0].sync.Status != "queued" {
		c.violate(3, "a retry without after_send", o, "generation %d, attempt %d: %s", g.number, n, g.parked[n][0].where())
		return
	}
	next := g.after[n][0].sync.NextAttemptAt
	for _, f := range g.parked[n] {
		if next == nil || f.sync.NextAttemptAt == nil || !f.sync.NextAttemptAt.Equal(*next) || !f.due.Equal(next.Truncate(time.Millisecond)) {
			c.violate(5, "a retry whose record contradicts its after_send", o, "generation %d, attempt %d: %s is due at %s, its after_send says %s",
				g.number, n, f.where(), clock(f.due), clockOr(next))
			return
		}
	}
}

// checkTerminal requires that the terminal event follows from the last answer, or from what it names in closed_by.
func (c *checker) checkTerminal(o *order, g *generation, end *fact) {
	if made := g.attempts(); end.sync.Attempts != made {
		c.violate(3, "a terminal event with a wrong number of attempts", o, "%s says %d attempts, %d have an after_send", end.where(), end.sync.Attempts, made)
		return
	}
	switch by := end.sync.ClosedBy; by {
	case "":
		c.checkAnswered(o, g, end)
	case "superseded":
		if o.newest() == g {
			c.violate(3, "a terminal event without a cause", o, "%s says superseded, and there is no newer generation", end.where())
		}
	default:
		if !g.settledBy(by) && !o.blamed[2] {
			c.violate(3, "a terminal event without a cause", o, "%s says closed by %s, and no callback of generation %d does", end.where(), by, g.number)
		}
	}
}

// checkAnswered requires that a terminal event which nobody else caused is what the last attempt was answered. A payload
// that cannot be built ends a generation without a call.
func (c *checker) checkAnswered(o *order, g *generation, end *fact) {
	if end.sync.ErrorCode == "payload_invalid" {
		return
	}
	last := g.after[end.sync.Attempts]
	switch {
	case len(last) == 0:
		c.violate(3, "a terminal event without an answer", o, "%s, and generation %d has no after_send", end.where(), g.number)
	case last[0].answeredWithSuccess() != (end.Topic == topicSuccess):
		c.violate(3, "a terminal event that contradicts the answer", o, "%s, and %s has status %d", end.where(), last[0].where(), last[0].status())
	case last[0].sync.Status == "queued" && end.sync.ErrorCode != "given_up":
		c.violate(3, "a terminal event that contradicts the answer", o, "%s, and %s says that a retry follows", end.where(), last[0].where())
	default:
		c.checkFailure(o, g, end, last[0])
	}
}
