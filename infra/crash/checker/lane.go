package checker

import (
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

const (
	// maxFoundOutDelay is how long all orders may wait until the product knows that a partition takes no records. The brokers'
	// own session takes 6 s, in which the dead broker still counts as in sync. The rest is for the product's timeout and a busy
	// machine.
	maxFoundOutDelay = 12 * time.Second
	// maxSilence is the longest time without an outcome in another partition, until the broker is back. The harness lets the broker be
	// away until all of them go on, so a longer one is no chance. A silence that ends before was slow, and a figure.
	maxSilence = 6 * time.Second
)

// checkLanes is promise 4 while a partition takes no records because too few replicas are in sync: the orders of other
// partitions continue.
func (c *checker) checkLanes() {
	for _, d := range c.h.Disturbances {
		if d.Kind != "starve" {
			continue
		}
		for partition := range int32(c.h.Partitions) { //nolint:gosec // few
			if partition != c.h.ThinPartition {
				c.checkLane(partition, d)
			}
		}
	}
}

// checkLane looks at one other partition during one starvation.
func (c *checker) checkLane(partition int32, d history.Disturbance) {
	for _, gap := range c.silences(partition, d.At.Add(maxFoundOutDelay), d.Restarted) {
		c.figures.LaneSilence = max(c.figures.LaneSilence, gap.to.Sub(gap.from))
		if gap.to.Equal(d.Restarted) && gap.to.Sub(gap.from) > maxSilence {
			c.violate(4, "orders that wait for another partition", nil,
				"no order of partition %d made progress from %s to %s, while partition %d took no records (from %s to %s)",
				partition, clock(gap.from), clock(gap.to), c.h.ThinPartition, clock(d.At), clock(d.Restarted))
		}
	}
}

// silence is a time without an outcome.
type silence struct{ from, to time.Time }

// silences returns the times between two outcomes in a partition that nothing else explains.
func (c *checker) silences(partition int32, from, to time.Time) (out []silence) {
	if !from.Before(to) {
		return nil
	}
	times := []time.Time{from}
	for _, r := range c.h.Records {
		if r.Topic == topicAfter && r.Partition == partition && r.Timestamp.After(from) && r.Timestamp.Before(to) {
			times = append(times, r.Timestamp)
		}
	}
	times = append(times, to)
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		s := silence{times[i-1], times[i]}
		if !c.erpDown(s.from, s.to) && !c.notSent(s.from, s.to) && !c.disturbedOtherwise(s) {
			out = append(out, s)
		}
	}
	return out
}

// disturbedOtherwise reports whether another disturbance may explain the silence.
func (c *checker) disturbedOtherwise(s silence) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return d.Kind != "starve" && d.At.Before(s.to) && c.endOf(d).Add(recoveryDelay).After(s.from)
	})
}
