// Package position is where the relay stands: how far it has brought the outbox to Kafka. Its position lives in the
// position topic alone, so that it commits with the records it speaks of.
package position

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// ErrUnfit marks what no retry can mend: the outbox and Kafka do not belong together.
var ErrUnfit = errors.New("the relay's position does not fit the outbox")

// key is the key of the relay's records in the position topic.
const key = "relay"

// readWithin covers the transaction timeout of others who write to the position topic (10 s), whose open
// transactions hide what comes after them, and the broker's search for expired ones.
const readWithin = 30 * time.Second

// tail is how many records are read first, from the end; ten times as many when the position is not among them.
const tail = 2000

type position struct {
	LastID int64     `json:"last_id"`
	At     time.Time `json:"at"`
}

// Record is the record, without its topic, that says how far the relay has come.
func Record(lastID int64, at time.Time) (*kgo.Record, error) {
	value, err := domain.EncodeJSON(position{LastID: lastID, At: at.UTC()})
	if err != nil {
		return nil, fmt.Errorf("encoding the position %d: %w", lastID, err)
	}
	return &kgo.Record{Key: []byte(key), Value: value}, nil
}

// Read is the last relayed id. The relay calls it after fencing. Without any committed record in the topic nothing
// was ever relayed, and it is 0. A topic in which others have written but the relay has not has lost the position.
//
// It reads to the high watermark, not to the last stable offset: an open transaction of another service holds the
// latter below a position that has committed, and starting from the one before would relay rows twice.
func Read(ctx context.Context, cfg kafka.Config) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readWithin,
		fmt.Errorf("no end within %s: is a transaction open on %s?", readWithin, cfg.Topic(event.TopicPosition)))
	defer cancel()
	found, others, err := scanAll(ctx, cfg)
	switch {
	case ctx.Err() != nil && context.Cause(ctx) != nil:
		return 0, fmt.Errorf("reading the relay's position: %w", context.Cause(ctx))
	case err != nil:
		return 0, fmt.Errorf("reading the relay's position: %w", err)
	case found == nil && others:
		return 0, fmt.Errorf("%w: topic %s has records but none of key %q; starting over would relay the whole outbox again. "+
			"Write {\"last_id\": N} under that key to go on after row N", ErrUnfit, cfg.Topic(event.TopicPosition), key)
	case found == nil:
		return 0, nil
	}
	return found.LastID, nil
}

func scanAll(ctx context.Context, cfg kafka.Config) (found *position, others bool, err error) {
	topic := cfg.Topic(event.TopicPosition)
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return nil, false, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, false, err
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, false, err
	}
	for partition, end := range ends[topic] {
		start, _ := starts.Lookup(topic, partition)
		latest, more, err := latestOf(ctx, cfg, window{topic, partition, start.Offset, end.Offset})
		if err != nil {
			return nil, false, err
		}
		others = others || more
		// The key belongs to one partition; should the count have changed, the highest is the latest.
		if latest != nil && (found == nil || latest.LastID > found.LastID) {
			found = latest
		}
	}
	return found, others, nil
}

// window is a part of a partition, end exclusive.
type window struct {
	topic      string
	partition  int32
	start, end int64
}

// latestOf looks for the relay's last record from the end backwards: the topic is compacted late, the position is near.
func latestOf(ctx context.Context, cfg kafka.Config, all window) (found *position, others bool, err error) {
	for size := int64(tail); ; size *= 10 {
		w := all
		w.start = max(all.start, all.end-size)
		if w.start >= w.end {
			return nil, false, nil
		}
		found, others, err = scan(ctx, cfg, w)
		if err != nil || found != nil || w.start == all.start {
			return found, others, err
		}
	}
}

// scan reads the window to its end. Control records are kept, as the last offset usually is a commit marker.
func scan(ctx context.Context, cfg kafka.Config, w window) (found *position, others bool, err error) {
	client, err := kgo.NewClient(append(cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.topic: {w.partition: kgo.NewOffset().At(w.start)}}))...)
	if err != nil {
		return nil, false, err
	}
	defer client.Close()
	for next := w.start; next < w.end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, false, err
		}
		for _, record := range fetches.Records() {
			next = record.Offset + 1
			switch {
			case record.Attrs.IsControl():
			case string(record.Key) != key:
				others = true
			default:
				found = &position{}
				if err := json.Unmarshal(record.Value, found); err != nil {
					return nil, false, fmt.Errorf("%w: offset %d of %s: %w", ErrUnfit, record.Offset, w.topic, err)
				}
			}
		}
	}
	return found, others, nil
}
