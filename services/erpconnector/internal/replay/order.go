package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

const orderPage = 500 // facts of a timeline that are read at once

// Order gives the records of an order's facts to the sink, in the order of its timeline: by when they occurred, and within
// a millisecond by their versions. An order without a sync is timeline.ErrUnknown; a fact whose record the log does not
// hold is an error, after those before it were given. So is a timeline that was deleted (timeline_retention).
func Order(ctx context.Context, cfg kafka.Config, pool *pgxpool.Pool, ref domain.OrderRef, sink logreader.Sink) error {
	var after timeline.Cursor
	for {
		page, err := timeline.Read(ctx, pool, ref, after, orderPage)
		if err != nil {
			return err
		}
		if len(page.Facts) == 0 && after == (timeline.Cursor{}) && !page.KeptFrom.IsZero() {
			return fmt.Errorf("order %s has no timeline; facts of before %s have been deleted (timeline_retention): `erpconnector replay --from … --to-time …` reads the log itself",
				ref.Key(), page.KeptFrom.Format(time.RFC3339))
		}
		records, err := recordsOf(ctx, cfg, ref.Key(), page.Facts)
		if takeErr := sink.Take(ctx, records); takeErr != nil {
			return takeErr
		}
		if err != nil || page.Next == nil {
			return err
		}
		after = *page.Next
	}
}

// recordsOf are the records of an order's facts, up to the first that is missing, or is another order's: in a topic that was
// made anew other records are at the same coordinates.
func recordsOf(ctx context.Context, cfg kafka.Config, key string, facts []timeline.Fact) ([]*kgo.Record, error) {
	wanted := map[kafka.TopicPartition][]int64{}
	for _, f := range facts {
		p := kafka.TopicPartition{Topic: cfg.Topic(f.Topic), Partition: f.Partition}
		wanted[p] = append(wanted[p], f.Offset)
	}
	if err := strikeBeyondEnds(ctx, cfg, wanted); err != nil {
		return nil, err
	}
	found, err := logreader.Fetch(ctx, cfg, wanted)
	if err != nil {
		return nil, err
	}
	records := make([]*kgo.Record, 0, len(facts))
	for _, f := range facts {
		r := found[kafka.TopicPartition{Topic: cfg.Topic(f.Topic), Partition: f.Partition}][f.Offset]
		if r == nil || string(r.Key) != key {
			return records, fmt.Errorf("the timeline names %s partition %d offset %d, where the log does not hold a record of order %s: "+
				"was the topic trimmed or made anew, or is KAFKA_BROKERS another cluster than the projector's?", cfg.Topic(f.Topic), f.Partition, f.Offset, key)
		}
		records = append(records, r)
	}
	return records, nil
}

// strikeBeyondEnds removes offsets outside of the log: the reader would wait for them without end.
func strikeBeyondEnds(ctx context.Context, cfg kafka.Config, wanted map[kafka.TopicPartition][]int64) error {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	topics := map[string]bool{}
	for p := range wanted {
		topics[p.Topic] = true
	}
	starts, ends, err := bounds(ctx, kadm.NewClient(client), names(topics))
	if err != nil {
		return err
	}
	for p, offsets := range wanted {
		start, _ := starts.Lookup(p.Topic, p.Partition)
		end, _ := ends.Lookup(p.Topic, p.Partition)
		var inside []int64
		for _, o := range offsets {
			if o >= start.Offset && o < end.Offset {
				inside = append(inside, o)
			}
		}
		wanted[p] = inside
		if len(inside) == 0 {
			delete(wanted, p)
		}
	}
	return nil
}
