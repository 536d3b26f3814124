package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// LostOffset is a partition for which a group has no usable position.
type LostOffset struct {
	Topic      string // with the prefix
	Partition  int32
	Missing    bool  // otherwise Committed lies outside the log
	Committed  int64 // when not Missing
	Start, End int64 // what the log holds
}

// LostOffsets returns the partitions for which the group has no usable position. Positions and both ends of the log may
// grow meanwhile. Because of the order of reading, no position seems to be outside the log by that.
func LostOffsets(ctx context.Context, adm *kadm.Client, group string, topics []string) ([]LostOffset, error) {
	starts, err := Listed(adm.ListStartOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	committed, err := adm.FetchOffsets(ctx, group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("reading the offsets of group %s: %w", group, err)
	}
	ends, err := Listed(adm.ListEndOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	var lost []LostOffset
	for _, start := range starts.Offsets().Sorted() {
		end, _ := ends.Lookup(start.Topic, start.Partition)
		at, ok := committed.Lookup(start.Topic, start.Partition)
		missing := !ok || at.At < 0
		if missing || at.At < start.At || at.At > end.Offset {
			lost = append(lost, LostOffset{start.Topic, start.Partition, missing, at.At, start.At, end.Offset})
		}
	}
	return lost, nil
}

// Listed joins the errors of a list of offsets. When a topic is unknown, the error says what to check.
func Listed(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	err = errors.Join(err, offsets.Error())
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = fmt.Errorf("%w: are KAFKA_BROKERS and KAFKA_TOPIC_PREFIX those of the connector? `erpconnector topics check` tells", err)
	}
	return offsets, err
}

// Bounds reads the first and the next offset of each partition.
func Bounds(ctx context.Context, adm *kadm.Client, topics []string) (starts, ends kadm.ListedOffsets, err error) {
	if starts, err = Listed(adm.ListStartOffsets(ctx, topics...)); err != nil {
		return nil, nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	if ends, err = Listed(adm.ListEndOffsets(ctx, topics...)); err != nil {
		return nil, nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	return starts, ends, nil
}
