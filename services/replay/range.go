package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Range says what is to be read: of each partition, what stands from the first record that is not older than From to the
// first that is not older than To. So ranges that follow on each other hold each record once, also where the clocks of
// those who wrote them differ.
type Range struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"` // zero: what is there when the replay begins
	Topics []string  `json:"topics"`
}

// Validate tells of all that is wrong.
func (r Range) Validate() error {
	var problems []error
	if !r.To.IsZero() && !r.From.Before(r.To) {
		problems = append(problems, fmt.Errorf("the range ends at %s, which is not after its start", r.To.Format(time.RFC3339)))
	}
	log := LogTopics()
	for _, topic := range r.Topics {
		if !slices.Contains(log, topic) {
			problems = append(problems, fmt.Errorf("%q is no topic of the log; there are %s", topic, strings.Join(log, ", ")))
		}
	}
	return errors.Join(problems...)
}

// LogTopics are the topics of the log, without the prefix.
func LogTopics() []string {
	var topics []string
	for _, t := range event.Topics() {
		if t.Keyed && t.Retention == event.KeepForever {
			topics = append(topics, t.Name)
		}
	}
	return topics
}

// Locate asks the brokers where the range stands. Records of transactions that are still open are in it: Read waits for
// the transactions' ends.
func Locate(ctx context.Context, cfg kafka.Config, r Range) (*Progress, error) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	adm, topics := kadm.NewClient(client), cfg.Topics(r.Topics)
	starts, err := listed(adm.ListStartOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	from, err := listed(adm.ListOffsetsAfterMilli(ctx, sinceEpoch(r.From), topics...))
	if err != nil {
		return nil, fmt.Errorf("looking up the range's start: %w", err)
	}
	var to kadm.ListedOffsets
	if r.To.IsZero() {
		to, err = listed(adm.ListEndOffsets(ctx, topics...))
	} else {
		to, err = listed(adm.ListOffsetsAfterMilli(ctx, sinceEpoch(r.To), topics...))
	}
	if err != nil {
		return nil, fmt.Errorf("looking up the range's end: %w", err)
	}
	p := &Progress{Range: r}
	for _, start := range starts.Offsets().Sorted() {
		first, _ := from.Lookup(start.Topic, start.Partition)
		last, _ := to.Lookup(start.Topic, start.Partition)
		next := min(max(first.Offset, start.At), last.Offset)
		p.Spans = append(p.Spans, &Span{Topic: start.Topic[len(cfg.Prefix):], Partition: start.Partition, First: next, Next: next, End: last.Offset})
	}
	return p, nil
}

// sinceEpoch is the time as the brokers take it, to whom negative numbers mean something else.
func sinceEpoch(t time.Time) int64 { return max(0, t.UnixMilli()) }

// Read gives what is left of the range to the sink: of each partition in the order of its offsets; partitions and topics
// come side by side. So records of one order that stand in one topic keep their order. After each batch that the sink took,
// moved is called; what it keeps of the progress is where a later Read goes on. More are options of the client that reads.
func Read(ctx context.Context, cfg kafka.Config, p *Progress, sink Sink, moved func() error, more ...kgo.Opt) error {
	left := map[partition]*Span{}
	from := map[partition]int64{}
	for _, s := range p.Spans {
		if s.Next < s.End {
			at := partition{cfg.Topic(s.Topic), s.Partition}
			left[at], from[at] = s, s.Next
		}
	}
	if len(left) == 0 {
		return nil
	}
	client, err := open(cfg, from, more...)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(left) > 0 {
		records, err := poll(ctx, client)
		if err != nil {
			return err
		}
		wanted, next := within(left, records)
		if err := sink.Take(ctx, wanted); err != nil {
			return err
		}
		done := map[string][]int32{}
		for at, offset := range next {
			if left[at].Next = min(offset, left[at].End); left[at].Next == left[at].End {
				delete(left, at)
				done[at.topic] = append(done[at.topic], at.number)
			}
		}
		client.RemoveConsumePartitions(done)
		if err := moved(); err != nil {
			return err
		}
	}
	return nil
}

// within are the records of the spans, without markers, and up to where the spans were read.
func within(left map[partition]*Span, records []*kgo.Record) (wanted []*kgo.Record, next map[partition]int64) {
	next = map[partition]int64{}
	for _, r := range records {
		at := partition{r.Topic, r.Partition}
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
