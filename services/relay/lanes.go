package relay

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// maxKeys is how many rows are read at once, without their contents, to find those of a lane that is behind.
const maxKeys = 20_000

// split returns the rows of a batch that go to Kafka now, and the position after that. The other rows are of lanes that
// are held or behind. They are passed over, and the position says so. A row that came late, in a gap up to which its
// lane has come, stays in the gap.
func (s *session) split(batch outbox.Batch, read checkpoint.Position) (now []outbox.Row, at checkpoint.Position) {
	if len(read.Behind) == 0 && !s.r.lanes.Any() {
		return batch.Rows, s.positionAfter(batch, read)
	}
	behind := maps.Clone(read.Behind) // read.Behind may be in the transaction that is under way
	var late []int64
	for _, row := range batch.Rows {
		lane := s.laneOf(row)
		if _, is := behind[lane]; !is && s.r.lanes.IsHeld(lane) {
			if behind == nil {
				behind = map[string]int64{}
			}
			behind[lane] = read.LastID
		}
		switch upTo, is := behind[lane]; {
		case !is:
			now = append(now, row)
		case row.ID <= upTo:
			late = append(late, row.ID)
		}
	}
	s.late = s.late.And(outbox.GapsOf(late...))
	at = s.positionAfter(batch, read)
	at.Behind = behind
	return now, at
}

// catchUp relays rows of lanes that are behind and whose partitions take records again, in one transaction for each
// lane. No other transaction may be under way.
func (s *session) catchUp(ctx context.Context, read checkpoint.Position) (checkpoint.Position, error) {
	if s.r.lanes.Any() {
		s.r.lanes.Recheck(ctx, s.health, func(lane string, tp kafka.TopicPartition) bool { return s.isOf(lane, tp) })
	}
	for _, lane := range slices.Sorted(maps.Keys(read.Behind)) {
		if s.r.lanes.IsHeld(lane) {
			continue
		}
		var err error
		if read, err = s.catchUpOne(ctx, read, lane); err != nil {
			return read, err
		}
	}
	return read, nil
}

// isOf reports whether a partition belongs to the lane: in keyed topics the partition of that number, in another topic
// every partition.
func (s *session) isOf(lane string, tp kafka.TopicPartition) bool {
	name := tp.Topic[len(s.r.p.Kafka.Prefix):]
	if kafka.IsKeyed(name) {
		return lane == checkpoint.LaneOfPartition(tp.Partition)
	}
	return lane == name
}

// catchUpOne relays the next rows of the lane that were passed over, or came late in a gap up to which it has come, and
// returns the position after that.
func (s *session) catchUpOne(ctx context.Context, read checkpoint.Position, lane string) (checkpoint.Position, error) {
	from := read.Behind[lane]
	parts := read.Open.UpTo(from)
	if from < read.LastID {
		parts = parts.And(outbox.Gaps{{First: from + 1, Last: read.LastID}})
	}
	keys, err := s.reader.Keys(ctx, parts, maxKeys)
	if err != nil {
		return read, err
	}
	upTo := read.LastID
	if len(keys) == maxKeys {
		upTo = keys[len(keys)-1].ID
	}
	var ids []int64
	for _, k := range keys {
		if checkpoint.Lane(s.r.p.Kafka, k.Topic, k.Key, s.partitions) == lane {
			ids = append(ids, k.ID)
		}
	}
	rows, err := s.reader.Rows(ctx, ids)
	if err != nil {
		return read, err
	}
	if len(rows) < len(ids) {
		upTo = rows[len(rows)-1].ID
	}
	written := outbox.GapsOf(idsOf(rows)...)
	at := read
	at.At, at.Behind, at.Open = time.Now(), maps.Clone(read.Behind), read.Open.Without(written)
	at.Behind[lane] = max(from, upTo)
	if upTo == read.LastID {
		delete(at.Behind, lane)
	}
	if len(rows) > 0 {
		if err := <-s.commit(ctx, rows, at); err != nil {
			return read, err
		}
		s.last, s.committed = at, true
		s.late = s.late.Without(written)
	}
	return at, nil
}

func idsOf(rows []outbox.Row) []int64 {
	ids := make([]int64, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	return ids
}
