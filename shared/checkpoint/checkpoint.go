// Package checkpoint is where the relay stands: how far it has brought the outbox to Kafka, and of which server's outbox
// that was told. Its position lives in the position topic alone, so that it commits with the records it speaks of.
package checkpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// key is the key of the relay's records in the position topic.
const key = "relay"

// TransactionalID is the one under which positions are written, without the prefix: who opens it ends what its former user
// has begun. Whoever does holds Lease's slot, in the database that is relayed from.
const TransactionalID = "erpconnector-relay"

// FormerHolderTimeout is how long who has lost the slot may need to notice that, and to end its transaction. It counts where it
// cannot be fenced (see txn.Producer.IsStuck).
const FormerHolderTimeout = 10 * time.Second

// Lease is the name of the slot of who relays.
func Lease(cfg kafka.Config) string { return cfg.Prefix + "relay" }

// readTimeout covers the transaction timeout of others who write to the position topic (10 s), whose open
// transactions hide what comes after them, and the broker's search for expired ones.
const readTimeout = 30 * time.Second

// minWindow is how many records are read first, from the end; ten times as many when the position is not among them.
const minWindow = 2000

// Position says that every row up to LastID is in Kafka, each once, but for those of lanes that are behind. The zero value:
// nothing was ever relayed.
type Position struct {
	LastID int64     `json:"last_id"`
	At     time.Time `json:"at"`

	// Behind are the lanes of which not all up to LastID is in Kafka, as their partitions took no records: up to which id all of
	// theirs is. A lane is the number of a partition, or the name of a topic without keys (see Lane).
	Behind map[string]int64 `json:"behind,omitempty"`

	// Of which history that is. Records of earlier versions have none of the three.
	UUID     string `json:"uuid,omitempty"`   // of the row LastID
	System   string `json:"system,omitempty"` // see outbox.Server
	Timeline int    `json:"timeline,omitempty"`
}

// UpTo is the id up to which every row of the lane is in Kafka.
func (p Position) UpTo(lane string) int64 {
	if id, behind := p.Behind[lane]; behind {
		return id
	}
	return p.LastID
}

// Waits reports whether a row was passed over: it is of a lane that is behind, and not in Kafka.
func (p Position) Waits(cfg kafka.Config, topic, key string, id int64, partitions int) bool {
	return len(p.Behind) > 0 && id <= p.LastID && id > p.UpTo(Lane(cfg, topic, key, partitions))
}

// Lane is the way that a row takes to Kafka, by its topic (without the prefix) and key: for the connector's keyed topics, each
// of so many partitions, the number of the partition, which is the same in all of them.
func Lane(cfg kafka.Config, topic, key string, partitions int) string {
	if !kafka.IsKeyed(topic) {
		return topic
	}
	return LaneOfPartition(cfg.PartitionOf(cfg.Topic(topic), []byte(key), partitions))
}

// LaneOfPartition is the lane of a partition of the keyed topics.
func LaneOfPartition(partition int32) string { return strconv.Itoa(int(partition)) }

// Record is the record, without its topic, that says so.
func (p Position) Record() (*kgo.Record, error) {
	p.At = p.At.UTC()
	value, err := domain.EncodeJSON(p)
	if err != nil {
		return nil, fmt.Errorf("encoding the position %d: %w", p.LastID, err)
	}
	return &kgo.Record{Key: []byte(key), Value: value}, nil
}

// Read is the last position. The relay calls it after fencing. Without any committed record in the topic nothing was ever
// relayed, and it is zero. A topic in which others have written but the relay has not has lost the position.
//
// It reads to the high watermark, not to the last stable offset: an open transaction of another service holds the
// latter below a position that has committed, and starting from the one before would relay rows twice.
func Read(ctx context.Context, cfg kafka.Config) (Position, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout,
		fmt.Errorf("no end within %s: is a transaction open on %s?", readTimeout, cfg.Topic(event.TopicPosition)))
	defer cancel()
	found, others, err := scanAll(ctx, cfg)
	switch {
	case ctx.Err() != nil && context.Cause(ctx) != nil:
		return Position{}, fmt.Errorf("reading the relay's position: %w", context.Cause(ctx))
	case err != nil:
		return Position{}, fmt.Errorf("reading the relay's position: %w", err)
	case found == nil && others:
		return Position{}, fmt.Errorf("%w: topic %s has records but none of key %q; starting over would relay the whole outbox again. "+
			"Write {\"last_id\": N} under that key to go on after row N", ErrMismatch, cfg.Topic(event.TopicPosition), key)
	case found == nil:
		return Position{}, nil
	}
	return *found, nil
}

func scanAll(ctx context.Context, cfg kafka.Config) (found *Position, others bool, err error) {
	topic := cfg.Topic(event.TopicPosition)
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return nil, false, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, ends, err := kafka.Bounds(ctx, admin, []string{topic})
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
		// The key belongs to one partition; should the count have changed, the time tells. (A repair may set the id back.)
		if latest != nil && (found == nil || latest.At.After(found.At)) {
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
func latestOf(ctx context.Context, cfg kafka.Config, all window) (found *Position, others bool, err error) {
	for size := int64(minWindow); ; size *= 10 {
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
func scan(ctx context.Context, cfg kafka.Config, w window) (found *Position, others bool, err error) {
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
				found = &Position{}
				if err := json.Unmarshal(record.Value, found); err != nil {
					return nil, false, fmt.Errorf("%w: offset %d of %s: %w", ErrMismatch, record.Offset, w.topic, err)
				}
			}
		}
	}
	return found, others, nil
}
