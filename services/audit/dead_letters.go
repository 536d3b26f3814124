package audit

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

// deadLetter names a chain record among the dead letters.
type deadLetter struct {
	key        string
	generation int
}

type deadLetters map[deadLetter]bool

// deadLettersOnce reads the dead letters of these orders at the first call: all up to then. Whatever took the place of a record that was
// consumed before is among them.
func deadLettersOnce(a *auditor, of []*order) func(context.Context) (deadLetters, error) {
	var found deadLetters
	return func(ctx context.Context) (_ deadLetters, err error) {
		if found == nil {
			keys := map[string]bool{}
			for _, o := range of {
				keys[o.key] = true
			}
			found, err = a.deadLetters(ctx, keys)
		}
		return found, err
	}
}

// deadLetters reads the whole topic, and keeps what is said of these orders. A chain record that became a dead letter was consumed, and has
// no end; it is not lost.
func (a *auditor) deadLetters(ctx context.Context, keys map[string]bool) (deadLetters, error) {
	topic := a.Kafka.Topic(event.TopicDeadLetter)
	ends, err := a.ends(ctx, []string{topic})
	if err != nil {
		return nil, err
	}
	starts, err := kafka.Listed(a.admin.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, fmt.Errorf("reading the start of %s: %w", topic, err)
	}
	var spans []*logreader.Span
	for _, end := range ends.Offsets().Sorted() {
		start, _ := starts.Lookup(topic, end.Partition)
		spans = append(spans, &logreader.Span{Topic: event.TopicDeadLetter, Partition: end.Partition, First: start.Offset, Next: start.Offset, End: end.At})
	}
	found := deadLetters{}
	err = logreader.Read(ctx, a.Kafka, spans, deadLetterSink{found, keys, a.Kafka}, func() error { return nil })
	return found, err
}

type deadLetterSink struct {
	found deadLetters
	keys  map[string]bool // of the orders that are asked for
	cfg   kafka.Config
}

// Take keeps the dead letters of chain records by their ce_id, as nobody may be able to read their values.
func (s deadLetterSink) Take(_ context.Context, records []*kgo.Record) error {
	for _, r := range records {
		origin := strings.TrimPrefix(string(kafka.Header(r, event.HeaderOriginTopic)), s.cfg.Prefix)
		if _, chain := chains[origin]; !chain || !s.keys[string(r.Key)] {
			continue
		}
		if v, ok := s.cfg.Event(r).Version(); ok {
			s.found[deadLetter{string(r.Key), v.Generation()}] = true
		}
	}
	return nil
}
