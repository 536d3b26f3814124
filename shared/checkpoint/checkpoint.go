// Package checkpoint keeps the relay's position: how far it has brought the outbox to Kafka, and on which server that
// outbox is. The position is only in the position topic, so that it commits in one transaction with the records it
// counts.
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
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// key is the key of the relay's records in the position topic.
const key = "relay"

// TransactionalID is the id under which positions are written, without the prefix. Opening it ends a former user's
// transaction. Only a holder of Lease may open it, in the database that is relayed.
const TransactionalID = "erpconnector-relay"

// FormerHolderTimeout is how long a relay that has lost its lease may need to notice that and to end its transaction. A
// new relay waits for it when the former one cannot be fenced (see txn.Producer.IsStuck).
const FormerHolderTimeout = 10 * time.Second

// Lease returns the name of the relay's lease.
func Lease(cfg kafka.Config) string { return cfg.Prefix + "relay" }

// readTimeout is longer than an open transaction of another service can hide the end of the position topic: its
// time-out of 10 s, and the broker's search for expired transactions.
const readTimeout = 30 * time.Second

// Position says that every row up to LastID is in Kafka, each once, except for rows in open gaps and of lanes that are
// behind. The zero value means that nothing was ever relayed.
type Position struct {
	LastID int64     `json:"last_id"`
	At     time.Time `json:"at"`

	// Open are ids up to LastID of which no row was visible yet. A row that comes there is to be relayed.
	Open outbox.Gaps `json:"open,omitempty"`

	// Behind holds, for each lane whose partition took no records, the id up to which all of its rows are in Kafka, but
	// for those in gaps. A lane is the number of a partition, or the name of a topic without keys (see Lane).
	Behind map[string]int64 `json:"behind,omitempty"`

	// The history that LastID belongs to. Records of earlier versions lack these three.
	UUID     string `json:"uuid,omitempty"`   // of the row LastID
	System   string `json:"system,omitempty"` // see outbox.Server
	Timeline int    `json:"timeline,omitempty"`
}

// UpTo returns the id up to which every row of the lane is in Kafka, but for those in gaps.
func (p Position) UpTo(lane string) int64 {
	if id, behind := p.Behind[lane]; behind {
		return id
	}
	return p.LastID
}

// Whole returns the id up to which every row is in Kafka.
func (p Position) Whole() int64 {
	id := p.LastID
	for _, upTo := range p.Behind {
		id = min(id, upTo)
	}
	if len(p.Open) > 0 {
		id = min(id, p.Open[0].First-1)
	}
	return id
}

// Waits reports whether a row was passed over, as its lane is behind, or came late, in a gap: it is not in Kafka yet.
func (p Position) Waits(cfg kafka.Config, topic, key string, id int64, partitions int) bool {
	if id > p.LastID {
		return false
	}
	return p.Open.Has(id) || len(p.Behind) > 0 && id > p.UpTo(Lane(cfg, topic, key, partitions))
}

// Lane returns the lane of a row, by its topic (without the prefix) and key. For a keyed topic of the connector it is
// the number of the partition, which is the same in all of these topics. For another topic it is the topic's name.
func Lane(cfg kafka.Config, topic, key string, partitions int) string {
	if !kafka.IsKeyed(topic) {
		return topic
	}
	return LaneOfPartition(cfg.PartitionOf(cfg.Topic(topic), []byte(key), partitions))
}

// LaneOfPartition returns the lane of a partition of the keyed topics.
func LaneOfPartition(partition int32) string { return strconv.Itoa(int(partition)) }

// Record makes the record of the position, without its topic.
func (p Position) Record() (*kgo.Record, error) {
	p.At = p.At.UTC()
	value, err := domain.EncodeJSON(p)
	if err != nil {
		return nil, fmt.Errorf("encoding the position %d: %w", p.LastID, err)
	}
	return &kgo.Record{Key: []byte(key), Value: value}, nil
}

// Read returns the last position. The relay calls it after fencing. When the topic is empty, nothing was ever relayed,
// and the position is zero. When other services have written there but the relay has not, the position is lost, and
// Read fails.
//
// It reads to the high watermark. The last stable offset would not do: an open transaction of another service may keep
// it below a position that is committed, and the relay would start from an older one and relay rows twice.
func Read(ctx context.Context, cfg kafka.Config) (Position, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout,
		fmt.Errorf("the end was not reached within %s: is a transaction open on %s?", readTimeout, cfg.Topic(event.TopicPosition)))
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

// scanAll finds the latest position in all partitions. others reports whether there are records with other keys.
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
		// The key belongs to one partition. If the count of partitions was changed, the latest time decides: a repair
		// may set the id back.
		if latest != nil && (found == nil || latest.At.After(found.At)) {
			found = latest
		}
	}
	return found, others, nil
}

// window is a part of a partition; its end is exclusive.
type window struct {
	topic      string
	partition  int32
	start, end int64
}

// minWindow is how many records are read first, from the end.
const minWindow = 2000

// latestOf looks for the relay's last record from the end backwards, in windows that grow tenfold: the topic is
// compacted late, but the last position is near its end.
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

// scan reads the window to its end. It also reads transaction markers, as the last offset usually is one.
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
