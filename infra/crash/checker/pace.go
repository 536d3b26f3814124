package checker

import (
	"cmp"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// recoveryDelay is how long after its return the absence of a broker, of Postgres or of the only process of a service still
// shows. Sessions and transactions run out in that time, and groups rebalance.
const recoveryDelay = 15 * time.Second

// checkPace is promise 12, by the measures below. The limits bound what the death of one process among several costs. What
// the loss of a broker, of Postgres or of the only process of a service costs is a figure only, and so is a stopped process
// (SIGSTOP): nothing is promised of it. Only services that move an order on are measured: relay, syncer, delayer, and
// processes with all services.
func (c *checker) checkPace() {
	c.measureStalls()
	for _, o := range c.inOrder() {
		c.measureTakeOvers(o)
	}
	c.measureRecovery()
}

// Disturbed is a duration, what it was measured on, and the disturbance that caused it.
type Disturbed struct {
	Took  time.Duration
	What  string // a topic, or an order
	After string // the disturbance; empty: none came before
}

// measureStalls measures how long the live reader waited for each record. The time begins with the append, or with the last
// death of a process when that came later.
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

// sortedTopics returns the topics by name, so that a report is the same each time.
func sortedTopics(worst map[string]Disturbed) []string {
	topics := make([]string, 0, len(worst))
	for topic := range worst {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	return topics
}

// measureTakeOvers looks at each step of an order's chain: a first call from its request, or a retry from its due time.
//
// When a process dies, other processes must take over the steps that its service holds. The relay holds those that are
// accepted and not in Kafka, the delayer those that are due and not in the due topic, the syncer those that are there. The
// take-over is the time from the death until the step comes to the next topic, or until the next call or outcome. A step
// does not count when its call was running at the death and continued, as another process held it. It does not count either
// when the ERP was down, or nothing was to be sent.
//
// Nobody outside knows which process held a step, so the work of the others counts too, and so does waiting for a free call
// slot. The limit is for a load that the others carry without a backlog, and for a death that is the only one of its service
// for a while. Deaths in a series are a figure.
func (c *checker) measureTakeOvers(o *order) {
	for _, g := range o.generations() {
		for _, s := range steps(g) {
			if on, ok := o.continuedAt(s, s.ready); ok && on.Sub(s.ready) > c.figures.Wait.Took && !c.notSent(s.ready, on) {
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

// measureTakeOver measures one step at one death.
func (c *checker) measureTakeOver(o *order, g *generation, s step, d *history.Disturbance) {
	from, to := s.ownedDuring(d.Service)
	if d.At.Before(from) || !d.At.Before(to) {
		return
	}
	on, ok := to, true
	if to.Equal(s.done) {
		on, ok = o.continuedAt(s, d.At)
	}
	if !ok || c.outage(d.At, on) || c.erpDown(d.At, on) || c.notSent(d.At, on) {
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

// seriesWindow is how close two deaths of a service must be to count as a series. A longer Limits.TakeOver counts instead.
const seriesWindow = 10 * time.Second

// inSeries reports whether another process of the service died shortly before, or until the step continued.
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

// longer returns the longer one of two.
func (d Disturbed) longer(o Disturbed) Disturbed {
	if o.Took > d.Took {
		return o
	}
	return d
}

// step is one record of the chain. ready is when it could be processed, arrived when it came to the topic that the syncer
// reads (zero: the record was trimmed), done when its outcome was written.
type step struct {
	first                bool
	ready, arrived, done time.Time
}

// ownedDuring returns the time in which the service has to move the step on. An unknown service means all of them in one
// process.
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

// steps returns the steps of a generation that have an outcome.
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

// firstStep returns the request that released the generation; ready is zero when there is none.
func firstStep(g *generation) step {
	for _, f := range g.requested {
		if f.sync.Released != nil && *f.sync.Released {
			return step{first: true, ready: f.at, arrived: f.Timestamp}
		}
	}
	return step{}
}

// dueAt returns when the retry after an attempt came to the due topic.
func dueAt(g *generation, attempt int) time.Time {
	for _, f := range g.parked[attempt] {
		if f.Topic == topicDue {
			return f.Timestamp
		}
	}
	return time.Time{}
}

// continuedAt returns when a step continued after a death; ok is false when a process that lived on held it.
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

// lastDeath returns the last death with survivors before a time; nil: there was none.
func (c *checker) lastDeath(before time.Time) *history.Disturbance {
	n, _ := slices.BinarySearchFunc(c.h.Disturbances, before, func(d history.Disturbance, t time.Time) int { return d.At.Compare(t) })
	for n--; n >= 0; n-- {
		if d := &c.h.Disturbances[n]; hasSurvivors(d) {
			return d
		}
	}
	return nil
}

// hasSurvivors reports whether a process died, its service moves orders on, and others of it lived on.
func hasSurvivors(d *history.Disturbance) bool {
	return d.Kind != "stop" && movesOrders(d.Service) && d.Survivors > 0
}

// outage reports whether a disturbance without a promised bound fell into the time.
func (c *checker) outage(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return withoutBound(d) && d.At.Before(to) && c.endOf(d).Add(recoveryDelay).After(from)
	})
}

// withoutBound reports whether nothing is promised of how fast the product recovers from the disturbance.
func withoutBound(d history.Disturbance) bool {
	server := d.Service == "" && !isERP(d)
	return server || d.Kind == "stop" || (d.Survivors == 0 && movesOrders(d.Service))
}

// disturbed reports whether there was any disturbance in the time, or shortly before.
func (c *checker) disturbed(from, to time.Time) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return d.At.Before(to) && c.endOf(d).Add(recoveryDelay).After(from)
	})
}

// measureRecovery measures the time from the return of a broker, of Postgres or of the only process of a service to the next
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

// describe returns the disturbance in words.
func describe(d *history.Disturbance) string {
	return cmp.Or(d.Kind, "disturbance") + " of " + d.Target + " at " + clock(d.At)
}
