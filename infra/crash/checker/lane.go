package checker

import (
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

const (
	// maxFoundOutDelay is how long it may take everybody to find out that a partition takes no records: the brokers' own session of
	// 6 s, in which the one that died counts as in sync everywhere, some seconds to see why nothing comes on, and what a busy
	// machine adds. Until then all may wait.
	maxFoundOutDelay = 12 * time.Second
	// maxSilence is a silence in another partition that so many orders a second do not leave by chance.
	maxSilence = 6 * time.Second
)

// checkLanes is promise 4 where a partition takes no records for want of replicas: the orders of other partitions go on.
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

func (c *checker) checkLane(partition int32, d history.Disturbance) {
	for _, gap := range c.silences(partition, d.At.Add(maxFoundOutDelay), d.Restarted) {
		c.figures.LaneSilence = max(c.figures.LaneSilence, gap.to.Sub(gap.from))
		if gap.to.Sub(gap.from) > maxSilence {
			c.violate(4, "orders that wait for another partition", nil,
				"no order of partition %d came on from %s to %s, while partition %d took no records (from %s to %s)",
				partition, clock(gap.from), clock(gap.to), c.h.ThinPartition, clock(d.At), clock(d.Restarted))
		}
	}
}

type silence struct{ from, to time.Time }

// silences are the times between two outcomes in a partition, unless something else explains them.
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
		if !c.erpDown(s.from, s.to) && !c.connectorOff(s.from, s.to) && !c.disturbedOtherwise(s) {
			out = append(out, s)
		}
	}
	return out
}

// disturbedOtherwise reports whether something else than a starved partition was under way.
func (c *checker) disturbedOtherwise(s silence) bool {
	return slices.ContainsFunc(c.h.Disturbances, func(d history.Disturbance) bool {
		return d.Kind != "starve" && d.At.Before(s.to) && c.endOf(d).Add(recoveryDelay).After(s.from)
	})
}
