package logreader

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

const seekBytes = 64 << 10 // fetched to find one record; a larger record comes whole

// Fetch returns the records at the wanted offsets. It seeks to each, so it does not read all that lies between them. A
// record that is not in the log is left out.
func Fetch(ctx context.Context, cfg kafka.Config, wanted map[kafka.TopicPartition][]int64, more ...kgo.Opt) (map[kafka.TopicPartition]map[int64]*kgo.Record, error) {
	found := map[kafka.TopicPartition]map[int64]*kgo.Record{}
	for p := range wanted {
		slices.Sort(wanted[p])
		found[p] = map[int64]*kgo.Record{}
	}
	for len(wanted) > 0 {
		if err := seek(ctx, cfg, wanted, found, more...); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// seek reads each partition once, from its first wanted offset. It removes from wanted the offsets that it has found or
// passed.
func seek(ctx context.Context, cfg kafka.Config, wanted map[kafka.TopicPartition][]int64, found map[kafka.TopicPartition]map[int64]*kgo.Record, more ...kgo.Opt) error {
	from := map[kafka.TopicPartition]int64{}
	for p, offsets := range wanted {
		from[p] = offsets[0]
	}
	client, err := open(cfg, from, append([]kgo.Opt{kgo.FetchMaxPartitionBytes(seekBytes)}, more...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(from) > 0 {
		records, err := poll(ctx, client)
		if err != nil {
			return err
		}
		for _, r := range records {
			p := kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}
			if at, ok := slices.BinarySearch(wanted[p], r.Offset); ok && !r.Attrs.IsControl() {
				found[p][r.Offset] = r
				wanted[p] = wanted[p][at+1:]
			} else {
				wanted[p] = wanted[p][at:] // those before it are not in the log
			}
			delete(from, p)
			if len(wanted[p]) == 0 {
				delete(wanted, p)
			}
		}
	}
	return nil
}
