// Package logreader reads parts of topics once: spans of offsets, or single records. It reads committed records only,
// and reads nothing outside the given offsets.
package logreader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

const (
	answerTimeout  = 30 * time.Second // for the next records of a partition that holds some
	maxPollRecords = 1000
)

// open returns a client that reads committed records of partitions, each from an offset. It also gives the transaction
// markers. The last offset of a span may be a marker or an aborted record; then only a marker shows that the span is
// read.
func open(cfg kafka.Config, from map[kafka.TopicPartition]int64, more ...kgo.Opt) (*kgo.Client, error) {
	start := map[string]map[int32]kgo.Offset{}
	for p, offset := range from {
		if start[p.Topic] == nil {
			start[p.Topic] = map[int32]kgo.Offset{}
		}
		start[p.Topic][p.Partition] = kgo.NewOffset().At(offset)
	}
	options := append(cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.ConsumePartitions(start))
	client, err := kgo.NewClient(append(options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	return client, nil
}

// poll returns the next records, with markers among them.
func poll(ctx context.Context, client *kgo.Client) ([]*kgo.Record, error) {
	timeout, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	fetches := client.PollRecords(timeout, maxPollRecords)
	var failed error
	fetches.EachError(func(topic string, number int32, err error) {
		switch {
		case ctx.Err() != nil:
			failed = ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			failed = fmt.Errorf("no records came from Kafka within %s: check that the brokers work and no transaction is left open, and start again", answerTimeout)
		case errors.Is(err, kerr.OffsetOutOfRange):
			failed = fmt.Errorf("%s partition %d does not hold the records to read: was the topic trimmed, or deleted and created again? "+
				"Run `erpconnector topics check`: %w", topic, number, err)
		default:
			failed = fmt.Errorf("reading %s partition %d: %w", topic, number, err)
		}
	})
	return fetches.Records(), failed
}
