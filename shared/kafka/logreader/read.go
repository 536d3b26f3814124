package logreader

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Span is a part of one partition: from First to End, which is exclusive. Next is the offset to read next.
type Span struct {
	Topic     string `json:"topic"` // without the prefix
	Partition int32  `json:"partition"`
	First     int64  `json:"first"`
	Next      int64  `json:"next"`
	End       int64  `json:"end"`
}

// Done returns how many offsets were read, and of how many. Markers and aborted records have offsets too.
func Done(spans []*Span) (read, all int64) {
	for _, s := range spans {
		read += s.Next - s.First
		all += s.End - s.First
	}
	return read, all
}

// Sink takes the records that Read reads, in their order.
type Sink interface {
	Take(ctx context.Context, records []*kgo.Record) error
}

// Read gives the rest of the spans to the sink. The records of a partition come in their order; partitions are mixed.
// So records of one topic with one key keep their order. After each batch that the sink took, Read sets Next of the
// spans and calls moved. A later Read goes on from there.
func Read(ctx context.Context, cfg kafka.Config, spans []*Span, sink Sink, moved func() error) error {
	left := map[kafka.TopicPartition]*Span{}
	from := map[kafka.TopicPartition]int64{}
	for _, s := range spans {
		if s.Next < s.End {
			at := kafka.TopicPartition{Topic: cfg.Topic(s.Topic), Partition: s.Partition}
			left[at], from[at] = s, s.Next
		}
	}
	if len(left) == 0 {
		return nil
	}
	client, err := open(cfg, from, kafka.BoundedFetch()...)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(left) > 0 {
		records, err := poll(ctx, client)
		if err != nil {
			return err
		}
		wanted, next := inSpans(left, records)
		if err := sink.Take(ctx, wanted); err != nil {
			return err
		}
		done := map[string][]int32{}
		for at, offset := range next {
			if left[at].Next = min(offset, left[at].End); left[at].Next == left[at].End {
				delete(left, at)
				done[at.Topic] = append(done[at.Topic], at.Partition)
			}
		}
		client.RemoveConsumePartitions(done)
		if err := moved(); err != nil {
			return err
		}
	}
	return nil
}

// inSpans returns the records of the spans, without markers, and the offset after the last one read of each partition.
func inSpans(left map[kafka.TopicPartition]*Span, records []*kgo.Record) (wanted []*kgo.Record, next map[kafka.TopicPartition]int64) {
	next = map[kafka.TopicPartition]int64{}
	for _, r := range records {
		at := kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}
		s := left[at]
		if s == nil {
			continue
		}
		if r.Offset < s.End && !r.Attrs.IsControl() {
			wanted = append(wanted, r)
		}
		next[at] = r.Offset + 1
	}
	return wanted, next
}
