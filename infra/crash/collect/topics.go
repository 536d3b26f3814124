package collect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// positionTopic is left out: it is compacted, and contains nothing about an order.
const positionTopic = "vendor_erp_sync_position"

// offsetsByPartition are offsets by topic, with prefix, and partition.
type offsetsByPartition map[string]map[int32]int64

// ranges are the offsets to read: from starts up to ends, without ends.
type ranges struct{ starts, ends offsetsByPartition }

// readTopics reads the records of every topic, sorted by topic, partition and offset.
func readTopics(ctx context.Context, brokers []string, prefix string, h *history.History) error {
	s, err := findRanges(ctx, brokers, prefix)
	if err != nil {
		return fmt.Errorf("finding the topics: %w", err)
	}
	h.Starts = s.startsOf(prefix)
	records, err := s.read(ctx, brokers)
	if err != nil {
		return err
	}
	h.Records = nil
	for _, r := range records {
		h.Records = append(h.Records, recordOf(r, prefix))
	}
	slices.SortFunc(h.Records, func(a, b history.Record) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return nil
}

// findRanges lists the topics of the product with their offsets. Committed ends are those that a reader of committed records
// can reach.
func findRanges(ctx context.Context, brokers []string, prefix string) (ranges, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return ranges{}, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	all, err := admin.ListTopics(ctx)
	if err != nil {
		return ranges{}, err
	}
	names := slices.DeleteFunc(all.Names(), func(name string) bool {
		bare, ours := strings.CutPrefix(name, prefix)
		return !ours || bare == positionTopic || (!strings.HasPrefix(bare, "vendor_erp_sync_") && bare != "sales_order_event")
	})
	if len(names) == 0 {
		return ranges{}, fmt.Errorf("none begins with %q", prefix)
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return ranges{}, err
	}
	ends, err := admin.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return ranges{}, err
	}
	s := ranges{}
	if s.starts, err = byPartition(starts); err != nil {
		return ranges{}, err
	}
	s.ends, err = byPartition(ends)
	return s, err
}

// byPartition sorts listed offsets. One partition that could not be listed fails the whole: it would be missing otherwise.
func byPartition(listed kadm.ListedOffsets) (offsetsByPartition, error) {
	if err := listed.Error(); err != nil {
		return nil, err
	}
	out := offsetsByPartition{}
	listed.Each(func(o kadm.ListedOffset) {
		if out[o.Topic] == nil {
			out[o.Topic] = map[int32]int64{}
		}
		out[o.Topic][o.Partition] = o.Offset
	})
	return out, nil
}

// startsOf returns the starts as a history has them.
func (s ranges) startsOf(prefix string) []history.Start {
	var out []history.Start
	for _, topic := range slices.Sorted(maps.Keys(s.starts)) {
		for _, p := range slices.Sorted(maps.Keys(s.starts[topic])) {
			out = append(out, history.Start{Topic: topic[len(prefix):], Partition: p, Offset: s.starts[topic][p]})
		}
	}
	return out
}

// read reads until every partition is at its end. It also asks for the markers of transactions: the last offset before the
// end may be a marker, or belong to an aborted record, which only the marker behind it shows.
func (s ranges) read(ctx context.Context, brokers []string) ([]*kgo.Record, error) {
	left := offsetsByPartition{}
	from := map[string]map[int32]kgo.Offset{}
	for topic, ends := range s.ends {
		for p, end := range ends {
			if start := s.starts[topic][p]; start < end {
				if left[topic] == nil {
					left[topic], from[topic] = map[int32]int64{}, map[int32]kgo.Offset{}
				}
				left[topic][p], from[topic][p] = end, kgo.NewOffset().At(start)
			}
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.ConsumePartitions(from))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var out []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("reading the topics; the ends of %v are missing: %w", slices.Sorted(maps.Keys(left)), err)
		}
		out = append(out, left.take(fetches)...)
	}
	return out, nil
}

// take returns the records before the ends, and removes the partitions that are at their end.
func (left offsetsByPartition) take(fetches kgo.Fetches) (out []*kgo.Record) {
	fetches.EachRecord(func(r *kgo.Record) {
		end, open := left[r.Topic][r.Partition]
		if !open {
			return
		}
		if r.Offset < end && !r.Attrs.IsControl() {
			out = append(out, r)
		}
		if r.Offset < end-1 {
			return
		}
		delete(left[r.Topic], r.Partition)
		if len(left[r.Topic]) == 0 {
			delete(left, r.Topic)
		}
	})
	return out
}

// recordOf returns the record as a history has it. A value that is not JSON becomes a JSON string: the checker then reports a
// record that cannot be read, and the history can still be saved.
func recordOf(r *kgo.Record, prefix string) history.Record {
	out := history.Record{
		Topic: r.Topic[len(prefix):], Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC(),
		Key: string(r.Key), Headers: map[string]string{}, Value: r.Value,
	}
	for _, h := range r.Headers {
		out.Headers[h.Key] = string(h.Value)
	}
	if !json.Valid(r.Value) {
		out.Value, _ = json.Marshal(string(r.Value)) // a string always encodes
	}
	return out
}
