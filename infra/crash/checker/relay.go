package checker

import (
	"cmp"
	"slices"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// checkRelay is promise 2. Each outbox row is in its topic exactly once, and nothing else is. Records of one key in one
// topic have the order of the rows' ids, and are in one partition.
func (c *checker) checkRelay() {
	written, published := map[relayedID][]history.OutboxRow{}, map[relayedID][]*fact{}
	for _, row := range c.h.Outbox {
		id := relayedID{row.Topic, row.UUID}
		written[id] = append(written[id], row)
	}
	for _, f := range c.facts {
		if relayed(f.Topic) {
			id := relayedID{f.Topic, f.uuid}
			published[id] = append(published[id], f)
		}
	}
	c.compareOutbox(written, published)
	ids := idsOf(written)
	for _, o := range c.inOrder() {
		for _, topic := range []string{topicEvent, topicRequested, topicCallback} {
			c.checkRelayOrder(o, topic, ids)
		}
		c.checkPartition(o)
	}
}

// relayedID names a message. Two rows with one uuid are the same message twice.
type relayedID struct{ topic, uuid string }

// compareOutbox counts the rows and the records of each message.
func (c *checker) compareOutbox(written map[relayedID][]history.OutboxRow, published map[relayedID][]*fact) {
	for _, row := range c.h.Outbox {
		id := relayedID{row.Topic, row.UUID}
		o, rows, records := c.order(row.Key), written[id], published[id]
		if row.ID != rows[0].ID {
			continue // reported at its first row
		}
		switch {
		case len(records) < len(rows):
			o.lost = o.lost || row.Topic == topicRequested
			c.figures.Lost += len(rows) - len(records)
			c.violate(2, "an outbox row that is not in Kafka", o, "outbox row %d (%s, %s): %d rows with uuid %s, %d records",
				row.ID, row.Topic, row.EventID, len(rows), row.UUID, len(records))
		case len(records) > len(rows):
			c.figures.Doubled += len(records) - len(rows)
			c.violate(2, "an outbox row that is in Kafka more than once", o, "outbox row %d (%s): %d rows with uuid %s, %d records, the last at %s",
				row.ID, row.Topic, len(rows), row.UUID, len(records), records[len(records)-1].where())
		}
	}
	for _, f := range c.facts {
		if !relayed(f.Topic) {
			continue
		}
		rows := written[relayedID{f.Topic, f.uuid}]
		switch {
		case len(rows) == 0:
			c.violate(2, "a record that is not in the outbox", c.order(f.Key), "%s, uuid %s", f.where(), f.uuid)
		case rows[0].Key != f.Key:
			c.violate(2, "a record under another key than its row", c.order(f.Key), "%s, outbox row %d has %q", f.where(), rows[0].ID, rows[0].Key)
		}
	}
}

// idsOf returns the row ids of each message, smallest first.
func idsOf(written map[relayedID][]history.OutboxRow) map[relayedID][]int64 {
	out := map[relayedID][]int64{}
	for id, rows := range written {
		for _, row := range rows {
			out[id] = append(out[id], row.ID)
		}
		slices.Sort(out[id])
	}
	return out
}

// checkRelayOrder compares the order of the records with that of the rows. It ignores surplus records, which compareOutbox
// reports.
func (c *checker) checkRelayOrder(o *order, topic string, ids map[relayedID][]int64) {
	met := map[relayedID]int{}
	var last int64
	for _, f := range o.recordsOf(topic) {
		id := relayedID{topic, f.uuid}
		if met[id] >= len(ids[id]) {
			continue
		}
		row := ids[id][met[id]]
		met[id]++
		if row < last {
			c.violate(2, "records of one key in another order than the outbox", o, "%s is outbox row %d and is behind row %d", f.where(), row, last)
			return
		}
		last = row
	}
}

// recordsOf returns the order's records in a topic of the log, by partition and offset.
func (o *order) recordsOf(topic string) []*fact {
	var out []*fact
	for _, f := range append(slices.Clone(o.events), o.facts...) {
		if f.Topic == topic {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, byOffset)
	return out
}

// byOffset orders records as a topic has them.
func byOffset(a, b *fact) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// checkPartition requires that all records of an order are in partitions with one number. The order of its records depends
// on that, and that one process at a time works on it.
func (c *checker) checkPartition(o *order) {
	all := append(slices.Clone(o.events), o.facts...)
	for _, g := range o.generations() {
		for _, parked := range g.parked {
			all = append(all, parked...)
		}
	}
	for _, f := range all {
		if f.Partition != all[0].Partition {
			c.violate(2, "an order in two partitions", o, "%s and %s", all[0].where(), f.where())
			return
		}
	}
}
