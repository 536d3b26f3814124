package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// positionKey is the key of the relay's records in the position topic.
const positionKey = "relay"

// positionTimeout covers the transaction timeout of others who write to the position topic (10 s), whose open
// transactions hide what comes after them, and the broker's search for expired ones.
const positionTimeout = 30 * time.Second

// tail is how many records are read first, from the end; ten times as many when the position is not among them.
const tail = 2000

type position struct {
	LastID int64     `json:"last_id"`
	At     time.Time `json:"at"`
}

func encodePosition(lastID int64, at time.Time) (*kgo.Record, error) {
	value, err := domain.EncodeJSON(position{LastID: lastID, At: at.UTC()})
	if err != nil {
		return nil, fmt.Errorf("encoding the position %d: %w", lastID, err)
	}
	return &kgo.Record{Key: []byte(positionKey), Value: value}, nil
}

// readPosition is the last relayed id, to be called after fencing. Without any committed record in the topic nothing
// was ever relayed, and it is 0. A topic in which others have written but the relay has not has lost the position.
//
// It reads to the high watermark, not to the last stable offset: an open transaction of another service holds the
// latter below a position that has committed, and starting from the one before would relay rows twice.
func readPosition(ctx context.Context, p Params) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, positionTimeout,
		fmt.Errorf("no end within %s: is a transaction open on %s?", positionTimeout, p.Prefix+event.TopicPosition))
	defer cancel()
	found, others, err := scanPositions(ctx, p)
	switch {
	case ctx.Err() != nil && context.Cause(ctx) != nil:
		return 0, fmt.Errorf("reading the relay's position: %w", context.Cause(ctx))
	case err != nil:
		return 0, fmt.Errorf("reading the relay's position: %w", err)
	case found == nil && others:
		return 0, fmt.Errorf("%w: topic %s has records but none of key %q; starting over would relay the whole outbox again. "+
			"Write {\"last_id\": N} under that key to go on after row N", errPosition, p.Prefix+event.TopicPosition, positionKey)
	case found == nil:
		return 0, nil
	}
	return found.LastID, nil
}

func scanPositions(ctx context.Context, p Params) (found *position, others bool, err error) {
	topic := p.Prefix + event.TopicPosition
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Brokers...), kgo.ClientID(p.ClientID))
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
		latest, more, err := latestOf(ctx, p, window{topic, partition, start.Offset, end.Offset})
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
func latestOf(ctx context.Context, p Params, all window) (found *position, others bool, err error) {
	for size := int64(tail); ; size *= 10 {
		w := all
		w.start = max(all.start, all.end-size)
		if w.start >= w.end {
			return nil, false, nil
		}
		found, others, err = scan(ctx, p, w)
		if err != nil || found != nil || w.start == all.start {
			return found, others, err
		}
	}
}

// scan reads the window to its end. Control records are kept, as the last offset usually is a commit marker.
func scan(ctx context.Context, p Params, w window) (found *position, others bool, err error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(p.Brokers...), kgo.ClientID(p.ClientID),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(250*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.topic: {w.partition: kgo.NewOffset().At(w.start)}}),
	)
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
			case string(record.Key) != positionKey:
				others = true
			default:
				found = &position{}
				if err := json.Unmarshal(record.Value, found); err != nil {
					return nil, false, fmt.Errorf("%w: offset %d of %s: %w", errPosition, record.Offset, w.topic, err)
				}
			}
		}
	}
	return found, others, nil
}
