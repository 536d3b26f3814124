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
// are held or behind. They are passed over, and the position says so.
func (s *session) split(rows []outbox.Row, read checkpoint.Position) (now []outbox.Row, at checkpoint.Position) {
	behind := read.Behind
	if len(behind) == 0 && !s.r.lanes.Any() {
		return rows, s.positionAt(rows[len(rows)-1], nil)
	}
	for _, row := range rows {
		lane := s.laneOf(row)
		if _, is := behind[lane]; !is && s.r.lanes.IsHeld(lane) {
			behind = maps.Clone(behind) // read.Behind may be in the transaction that is under way
			if behind == nil {
				behind = map[string]int64{}
			}
			behind[lane] = read.LastID
		}
		if _, is := behind[lane]; !is {
			now = append(now, row)
		}
	}
	return now, s.positionAt(rows[len(rows)-1], behind)
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

// catchUpOne relays the next rows of the lane that were passed over, and returns the position after that.
func (s *session) catchUpOne(ctx context.Context, read checkpoint.Position, lane string) (checkpoint.Position, error) {
	keys, err := s.reader.Keys(ctx, read.Behind[lane], read.LastID, maxKeys)
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
	at := read
	at.At, at.Behind = time.Now(), maps.Clone(read.Behind)
	at.Behind[lane] = upTo
	if upTo == read.LastID {
		delete(at.Behind, lane)
	}
	if len(rows) == 0 {
		return at, nil
	}
	if err := <-s.commit(ctx, rows, at); err != nil {
		return read, err
	}
	s.last, s.committed = at, true
	return at, nil
}
