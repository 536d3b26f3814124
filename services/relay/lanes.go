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

// keysLimit is how many rows are looked at, without their contents, for those of a lane that is behind.
const keysLimit = 20_000

// pass takes the rows out of a batch that go to Kafka now. The others are of lanes that are held, or behind: they are passed
// over, and the position tells.
func (s *session) pass(rows []outbox.Row, read checkpoint.Position) (now []outbox.Row, at checkpoint.Position) {
	behind := read.Behind
	if len(behind) == 0 && !s.r.lanes.Any() {
		return rows, s.positionAt(rows[len(rows)-1], nil)
	}
	for _, row := range rows {
		lane := s.laneOf(row)
		if _, is := behind[lane]; !is && s.r.lanes.IsHeld(lane) {
			behind = maps.Clone(behind) // the one before may be on its way to Kafka
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

// catchUp brings lanes that are behind on, each by one transaction, if their partitions take records again. Nothing else is
// under way meanwhile.
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

// isOf reports whether the partition is of the lane: of keyed topics that of its number, of another topic any.
func (s *session) isOf(lane string, tp kafka.TopicPartition) bool {
	name := tp.Topic[len(s.r.p.Kafka.Prefix):]
	if kafka.IsKeyed(name) {
		return lane == checkpoint.LaneOfPartition(tp.Partition)
	}
	return lane == name
}

// catchUpOne relays the lane's next rows that were passed over, and moves the lane on.
func (s *session) catchUpOne(ctx context.Context, read checkpoint.Position, lane string) (checkpoint.Position, error) {
	keys, err := s.reader.Keys(ctx, read.Behind[lane], read.LastID, keysLimit)
	if err != nil {
		return read, err
	}
	upTo := read.LastID
	if len(keys) == keysLimit {
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
