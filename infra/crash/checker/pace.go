package checker

import (
	"cmp"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// recoveryDelay is how long after a broker, Postgres or the only process of a service is back its absence still shows: sessions
// run out, transactions are timed out, groups gather.
const recoveryDelay = 15 * time.Second

// checkPace is promise 12, by the measures below. What the death of one process among several costs is held against the
// limits where there are any; what a broker, Postgres, a stopped process (SIGSTOP) or the only process of a service costs
// is a figure, as nothing is promised of it. Only services that move an order on are looked at: relay, syncer, delayer and
// processes that are all in one.
func (c *checker) checkPace() {
	c.measureStalls()
	for _, o := range c.inOrder() {
		c.measureTakeOvers(o)
	}
	c.measureRecovery()
}

// Disturbed is a duration, what it was measured on, and the disturbance that it is laid to.
type Disturbed struct {
	Took  time.Duration
	What  string // a topic, or an order
	After string // the disturbance; empty: none came before
}

// measureStalls takes the stall of a record to be the time from its append, or from the last death of a process before it
// was seen when that came later, to its sighting by the live reader.
func (c *checker) measureStalls() {
	worst := map[string]Disturbed{} // by topic
	for i := range c.h.Records {
		r := &c.h.Records[i]
		seen, ok := c.seen[coordinates{topicPartition{r.Topic, r.Partition}, r.Offset}]
		if !ok {
			c.figures.Unseen++
			continue
		}
		d := c.lastDeath(seen.At)
		from := r.Timestamp
		if d != nil && d.At.After(from) {
			from = d.At
		}
		took := seen.At.Sub(from)
		switch {
		case c.outage(r.Timestamp, seen.At):
			c.figures.StallInOutage = max(c.figures.StallInOutage, seen.At.Sub(r.Timestamp))
		case d == nil:
			c.figures.StallUndisturbed = max(c.figures.StallUndisturbed, took)
		case took > worst[r.Topic].Took:
			worst[r.Topic] = Disturbed{took, r.Topic, describe(d)}
		}
	}
	for _, topic := range sortedTopics(worst) {
		w := worst[topic]
		c.figures.Stall = c.figures.Stall.longer(w)
		if limit := c.h.Limits.Stall; limit > 0 && w.Took > limit {
			c.violate(12, "readers that stalled too long", nil, "%s for %s after %s; the limit is %s", topic, w.Took.Round(time.Millisecond), w.After, limit)
		}
	}
}

func sortedTopics(worst map[string]Disturbed) []string {
	topics := make([]string, 0, len(worst))
	for topic := range worst {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	return topics
}

// measureTakeOvers looks at each step of an order's chain: a first call that was requested, or a retry, from when it was
// ready, which a retry is once it is due. How long one waited for its call at most is a figure. When a process dies, the
// steps that are in the hands of its service then are to be taken over: of the relay those that are accepted and not in
// Kafka, of the delayer those that are due and not in the due topic, of the syncer those that are there. They are taken over
// when they come to the next topic, or when the next call arrives or the outcome is written; the take-over is the time from
// the death to that. Retries that are not due are left out, and so is a step whose call was running at the death and went
// on after it, as it was in the hands of another process, and one that met an ERP that is down or a connector that is off.
//
// Which process of the service held which step is not known from outside, so the work of the others counts too, and so
// does what waits for a slot: the limit holds for a load that the others carry without a backlog. It holds for a death that
// is the only one of its service for a while; what deaths in a series cost is a figure.
func (c *checker) measureTakeOvers(o *order) {
	for _, g := range o.generations() {
		for _, s := range steps(g) {
			if on, ok := o.continuedAt(s, s.ready); ok && on.Sub(s.ready) > c.figures.Wait.Took && !c.connectorOff(s.ready, on) {
				c.figures.Wait = Disturbed{Took: on.Sub(s.ready), What: o.key}
			}
			for i := range c.h.Disturbances {
				if d := &c.h.Disturbances[i]; hasSurvivors(d) {
					c.measureTakeOver(o, g, s, d)
				}
			}
		}
	}
}

func (c *checker) measureTakeOver(o *order, g *generation, s step, d *history.Disturbance) {
	from, to := s.ownedDuring(d.Service)
	if d.At.Before(from) || !d.At.Before(to) {
		return
	}
	on, ok := to, true
	if to.Equal(s.done) {
		on, ok = o.continuedAt(s, d.At)
	}
	if !ok || c.outage(d.At, on) || c.erpDown(d.At, on) || c.connectorOff(d.At, on) {
		return
	}
	took := on.Sub(d.At)
	if c.inSeries(d, on) {
		c.figures.TakeOverInSeries = c.figures.TakeOverInSeries.longer(Disturbed{took, o.key, describe(d)})
		return
	}
	c.figures.TakeOver = c.figures.TakeOver.longer(Disturbed{took, o.key, describe(d)})
	if limit := c.h.Limits.TakeOver; limit > 0 && took > limit {
		c.violate(12, "work that was taken over too late", o, "generation %d continued %s after %s; the limit is %s", g.number, took.Round(time.Millisecond), describe(d), limit)
	}
}

// seriesWindow is how long before a death no other of its service may have been, for it to be no series. Limits.TakeOver counts
// when it is longer.
const seriesWindow = 10 * time.Second

// inSeries reports whether another process of the service died shortly before, or until the work went on.
func (c *checker) inSeries(d *history.Disturbance, on time.Time) bool {
	from := d.At.Add(-max(seriesWindow, c.h.Limits.TakeOver))
	for i := range c.h.Disturbances {
		o := &c.h.Disturbances[i]
		if o != d && o.Kind != "stop" && o.Service == d.Service && o.At.After(from) && o.At.Before(on) {
			return true
		}
	}
	return false
}

// longer is the longer one of two.
func (d Disturbed) longer(o Disturbed) Disturbed {
	if o.Took > d.Took {
		return o
	}
	return d
}

// step is one record of the chain: when it was ready to be worked on, when it came to the topic that the syncer reads (zero:
// not known, as the record was trimmed), and when its outcome was written.
type step struct {
	first                bool
	ready, arrived, done time.Time
}

// ownedDuring is the time in which a step is a service's to move on; a service that is not known is all of them in one.
func (s step) ownedDuring(service string) (from, to time.Time) {
	switch {
	case service == "relay" && s.first, service == "delayer" && !s.first:
		return s.ready, s.arrived
	case service == "relay", service == "delayer":
		return s.done, s.done
	case service == "syncer" && s.arrived.After(s.ready):
		return s.arrived, s.done
	default:
		return s.ready, s.done
	}
}

// steps are those of a generation that came to an end.
func steps(g *generation) []step {
	var out []step
	s := firstStep(g)
	for n := 1; !s.ready.IsZero(); n++ {
		next := step{}
		var done *fact
		switch {
		case len(g.after[n]) > 0:
			done = g.after[n][0]
			if done.sync.Status == "queued" && done.sync.NextAttemptAt != nil {
				next = step{ready: *done.sync.NextAttemptAt, arrived: dueAt(g, n)}
			}
		case len(g.terminal) > 0:
			done = g.terminal[0]
		default:
			return out
		}
		s.done = done.Timestamp
		out = append(out, s)
		s = next
	}
	return out
}

// firstStep is the request that let the generation go; its ready time is zero when nothing did.
func firstStep(g *generation) step {
	for _, f := range g.requested {
		if f.sync.Released != nil && *f.sync.Released {
			return step{first: true, ready: f.at, arrived: f.Timestamp}
		}
	}
	return step{}
}

// dueAt is when the retry behind an attempt came to the due topic.
func dueAt(g *generation, attempt int) time.Time {
	for _, f := range g.parked[attempt] {
		if f.Topic == topicDue {
			return f.Timestamp
		}
	}
	return time.Time{}
}

// continuedAt is when a step goes on after a time; ok is false when it was in the hands of somebody who lived on.
func (o *order) continuedAt(s step, death time.Time) (on time.Time, ok bool) {
	on = s.done
	for _, call := range o.calls {
		switch {
		case !call.Began.After(death) && (call.Ended.After(death.Add(maxDisconnectLag)) || (call.Ended.After(death) && call.Status != 0)):
			return on, false
		case call.Began.After(death) && call.Began.Before(on):
			on = call.Began
		}
	}
	return on, true
}

// movesOrders reports whether processes of the service move orders on.
func movesOrders(service string) bool {
	return !slices.Contains([]string{"", "ingest", "api", "scheduler", "projector", "mockerp"}, service)
}

// lastDeath is the last death of one of several before a time, nil when there was none.
func (c *checker) lastDeath(before time.Time) *history.Disturbance {
	n, _ := slices.BinarySearchFunc(c.h.Disturbances, before, func(d history.Disturbance, t time.Time) int { return d.At.Compare(t) })
	for n--; n >= 0; n-- {
		if d := &c.h.Disturbances[n]; hasSurvivors(d) {
			return d
		}
	}
	return nil
}

// hasSurvivors reports whether a process died whose service lived on and moves orders on.
func hasSurvivors(d *history.Disturbance) bool {
	return d.Kind != "stop" && movesOrders(d.Service) && d.Survivors > 0
}

// outage reports whether something that nothing is promised of fell into the time.
func (c *checker) outage(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return withoutBound(d) && d.At.Before(to) && c.endOf(d).Add(recoveryDelay).After(from)
	})
}

// withoutBound reports whether nothing is promised of how fast the product goes on after the disturbance.
func withoutBound(d history.Disturbance) bool {
	server := d.Service == "" && !isERP(d)
	return server || d.Kind == "stop" || (d.Survivors == 0 && movesOrders(d.Service))
}

// disturbed reports whether anything was disturbed in the time, or shortly before.
func (c *checker) disturbed(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return d.At.Before(to) && c.endOf(d).Add(recoveryDelay).After(from)
	})
}

// measureRecovery is the time from when a broker, Postgres or the only process of a service was ready again to the next
// terminal event.
func (c *checker) measureRecovery() {
	var ends []time.Time
	for _, f := range c.facts {
		if f.Topic == topicSuccess || f.Topic == topicFailed {
			ends = append(ends, f.Timestamp)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for i := range c.h.Disturbances {
		d := &c.h.Disturbances[i]
		if d.Ready.IsZero() || d.Kind == "stop" || !withoutBound(*d) {
			continue
		}
		n, _ := slices.BinarySearchFunc(ends, d.Ready, time.Time.Compare)
		if n < len(ends) && ends[n].Sub(d.Ready) > c.figures.Recovery.Took {
			c.figures.Recovery = Disturbed{ends[n].Sub(d.Ready), "", describe(d)}
		}
	}
}

func describe(d *history.Disturbance) string {
	return cmp.Or(d.Kind, "disturbance") + " of " + d.Target + " at " + clock(d.At)
}
