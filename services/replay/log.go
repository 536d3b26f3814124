// Package replay reads records of the log again: those of one order, by the coordinates that its timeline keeps, or those
// of a range of time, by the brokers' index. It scans nothing that was not asked for, reads what was committed only, and
// gives the records to a Sink, which prints them or publishes them once more.
package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Sink takes records in the order in which they are to be seen.
type Sink interface {
	Take(ctx context.Context, records []*kgo.Record) error
}

const (
	answerWithin = 30 * time.Second // for the next records of a partition that holds some
	pollMost     = 1000             // records of one batch
	soughtBytes  = 64 << 10         // that are asked for to find one record; a larger one comes whole
)

// partition is one of the cluster, the topic with its prefix.
type partition struct {
	topic  string
	number int32
}

// open is a client that reads committed records of partitions from their offsets. Markers are kept: the last offset of a
// span may be one, or a record that was aborted, of which nothing but the marker behind it tells.
func open(cfg kafka.Config, from map[partition]int64, more ...kgo.Opt) (*kgo.Client, error) {
	start := map[string]map[int32]kgo.Offset{}
	for p, offset := range from {
		if start[p.topic] == nil {
			start[p.topic] = map[int32]kgo.Offset{}
		}
		start[p.topic][p.number] = kgo.NewOffset().At(offset)
	}
	options := append(cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.ConsumePartitions(start))
	client, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	return client, nil
}

// poll is the next records, markers among them.
func poll(ctx context.Context, client *kgo.Client) ([]*kgo.Record, error) {
	within, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	fetches := client.PollRecords(within, pollMost)
	var failed error
	fetches.EachError(func(topic string, number int32, err error) {
		switch {
		case ctx.Err() != nil:
			failed = ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			failed = fmt.Errorf("no records came from Kafka within %s: look whether the brokers are well and no transaction is left open, and begin again", answerWithin)
		case errors.Is(err, kerr.OffsetOutOfRange):
			failed = fmt.Errorf("%s partition %d does not hold what is to be read (any more): was the topic trimmed or made anew? "+
				"`erpconnector topics check` looks at it: %w", topic, number, err)
		default:
			failed = fmt.Errorf("reading %s partition %d: %w", topic, number, err)
		}
	})
	return fetches.Records(), failed
}

// fetch is the records at these offsets, each sought: what lies between them is not asked for, beyond what a broker sends
// along with the one before. A record that is not there is left out.
func fetch(ctx context.Context, cfg kafka.Config, wanted map[partition][]int64, more ...kgo.Opt) (map[partition]map[int64]*kgo.Record, error) {
	found := map[partition]map[int64]*kgo.Record{}
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

// seek reads from the first wanted offset of each partition, and strikes out what came or was passed.
func seek(ctx context.Context, cfg kafka.Config, wanted map[partition][]int64, found map[partition]map[int64]*kgo.Record, more ...kgo.Opt) error {
	from := map[partition]int64{}
	for p, offsets := range wanted {
		from[p] = offsets[0]
	}
	client, err := open(cfg, from, append([]kgo.Opt{kgo.FetchMaxPartitionBytes(soughtBytes)}, more...)...)
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
			p := partition{r.Topic, r.Partition}
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
