// Package replay reads records of the log again: those of one order, by the coordinates that its timeline keeps, or those
// of a range of time, by the brokers' index. It gives them to a sink, which prints them or publishes them once more.
//
//	progress, err := replay.Locate(ctx, cfg, replay.Range{From: monday, Topics: replay.LogTopics()})
//	…
//	err = logreader.Read(ctx, cfg, progress.Spans, replay.JSON(cfg, os.Stdout), func() error { return progress.Save("positions.json") })
//
// It reads what was committed and changes no order: a record that is published again goes to a topic of a subscriber, never to one
// that a connector reads. A sink has taken all records of a batch before the positions say so, so an interrupted replay may repeat
// its last batch, and leaves out none.
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
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

// Range says what is to be read: of each partition, from the first record that is not older than From up to the first that is not
// older than To. So ranges that follow on each other hold each record once, also where the clocks of the writers differ.
type Range struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"` // zero: what is there when the replay begins
	Topics []string  `json:"topics"`
}

// Validate reports all that is wrong.
func (r Range) Validate() error {
	var problems []error
	if !r.To.IsZero() && !r.From.Before(r.To) {
		problems = append(problems, fmt.Errorf("the range ends at %s, which is not after its start", r.To.Format(time.RFC3339)))
	}
	log := LogTopics()
	if len(r.Topics) == 0 { // the brokers would take it for all the topics they have, other people's among them
		problems = append(problems, fmt.Errorf("no topic is named; there are %s", strings.Join(log, ", ")))
	}
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

const answerTimeout = 30 * time.Second // of the brokers, for offsets

// Locate asks the brokers for the range's offsets. Records of transactions that are still open are in it: Read waits for
// the transactions' ends.
func Locate(ctx context.Context, cfg kafka.Config, r Range) (*Progress, error) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	adm, topics := kadm.NewClient(client), cfg.Topics(r.Topics)
	starts, err := kafka.Listed(adm.ListStartOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	from, err := kafka.Listed(adm.ListOffsetsAfterMilli(ctx, sinceEpoch(r.From), topics...))
	if err != nil {
		return nil, fmt.Errorf("looking up the range's start: %w", err)
	}
	var to kadm.ListedOffsets
	if r.To.IsZero() {
		to, err = kafka.Listed(adm.ListEndOffsets(ctx, topics...))
	} else {
		to, err = kafka.Listed(adm.ListOffsetsAfterMilli(ctx, sinceEpoch(r.To), topics...))
	}
	if err != nil {
		return nil, fmt.Errorf("looking up the range's end: %w", err)
	}
	p := &Progress{Range: r}
	for _, start := range starts.Offsets().Sorted() {
		first, _ := from.Lookup(start.Topic, start.Partition)
		last, _ := to.Lookup(start.Topic, start.Partition)
		next := min(max(first.Offset, start.At), last.Offset)
		p.Spans = append(p.Spans, &logreader.Span{Topic: start.Topic[len(cfg.Prefix):], Partition: start.Partition, First: next, Next: next, End: last.Offset})
	}
	return p, nil
}

// sinceEpoch returns the time in milliseconds. Negative numbers have other meanings for the brokers.
func sinceEpoch(t time.Time) int64 { return max(0, t.UnixMilli()) }
