// Package deadletter keeps records that their consumers cannot read. The record goes to the dead-letter topic, byte for byte, with
// the reason and its place in the log. A table lists what is in the topic, for operators.
package deadletter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// maxReason bounds the reason header in bytes.
const maxReason = 1 << 10

// Writer says who could not use a record: one of our services, or the group of a subscriber.
type Writer string

// The services that write dead letters.
const (
	BySyncer    Writer = "syncer"
	ByDelayer   Writer = "delayer"
	ByProjector Writer = "projector"
	ByRelay     Writer = "relay"
)

// Cause is why a record becomes a dead letter.
type Cause struct {
	By     Writer
	Reason string
	// Ended says that the terminal event of the record's generation is written in the same transaction. Without it, the dead
	// letter of a chain record is the only trace of how the generation ended.
	Ended bool
}

// Record makes the dead letter of a record that was read from the cluster.
func Record(cfg kafka.Config, original *kgo.Record, c Cause) *kgo.Record {
	headers := []struct{ key, value string }{
		{event.HeaderReason, shorten(c.Reason, maxReason)},
		{event.HeaderOriginTopic, original.Topic},
		{event.HeaderOriginPartition, strconv.Itoa(int(original.Partition))},
		{event.HeaderOriginOffset, strconv.FormatInt(original.Offset, 10)},
		{event.HeaderDeadLetterBy, string(c.By)},
	}
	if c.Ended {
		headers = append(headers, struct{ key, value string }{event.HeaderDeadLetterEnded, "true"})
	}
	r := &kgo.Record{Topic: cfg.Topic(event.TopicDeadLetter), Key: original.Key, Value: original.Value, Headers: originalHeaders(original)}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.key, Value: []byte(h.value)})
	}
	return r
}

// Reference makes the dead letter of a record that the brokers take no second time, as it is too large. It says where the record
// is in the log, and keeps its short headers and nothing of its content. It cannot be sent back.
func Reference(cfg kafka.Config, original *kgo.Record, c Cause) *kgo.Record {
	without := *original
	without.Value = nil
	without.Headers = slices.DeleteFunc(slices.Clone(original.Headers), func(h kgo.RecordHeader) bool { return len(h.Value) > maxKeptHeader })
	without.Headers = without.Headers[:min(len(without.Headers), maxKeptHeaders)]
	r := Record(cfg, &without, c)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: event.HeaderDeadLetterReference, Value: []byte("true")})
	return r
}

// Limits of the headers that a reference keeps.
const (
	maxKeptHeader  = 1 << 10
	maxKeptHeaders = 20
)

// Unrelayed makes the dead letter of a row of erp_outbox that no broker takes. It names the row, which stays in the table.
func Unrelayed(cfg kafka.Config, topic, key string, id int64, reason string) *kgo.Record {
	r := &kgo.Record{Topic: cfg.Topic(event.TopicDeadLetter), Key: []byte(key)}
	for _, h := range []struct{ key, value string }{
		{event.HeaderReason, shorten(reason, maxReason)},
		{event.HeaderOriginTopic, cfg.Topic(topic)},
		{event.HeaderOriginRow, strconv.FormatInt(id, 10)},
		{event.HeaderDeadLetterBy, string(ByRelay)},
		{event.HeaderDeadLetterReference, "true"},
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.key, Value: []byte(h.value)})
	}
	return r
}

// originalHeaders are the headers that the record had before it became a dead letter.
func originalHeaders(r *kgo.Record) []kgo.RecordHeader {
	return slices.DeleteFunc(slices.Clone(r.Headers), func(h kgo.RecordHeader) bool {
		return strings.HasPrefix(h.Key, event.HeaderDeadLetterPrefix)
	})
}

// shorten cuts a text to at most so many bytes, and makes it one that Postgres can keep.
func shorten(text string, maxBytes int) string {
	text = domain.KeepableText(text)
	return strings.ToValidUTF8(text[:min(maxBytes, len(text))], "")
}

// Hook returns a function that writes dead letters of what a pubsub.Subscriber cannot read, for SubscriberConfig.Refused. It writes
// with the client, which the caller closes. group is that of the subscriber.
func Hook(cfg kafka.Config, client *kgo.Client, group string) func(context.Context, *kgo.Record, error) error {
	return func(ctx context.Context, r *kgo.Record, why error) error {
		letter := Record(cfg, r, Cause{By: Writer(group), Reason: why.Error()})
		if err := client.ProduceSync(ctx, letter).FirstErr(); err != nil {
			return fmt.Errorf("writing the dead letter of %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		return nil
	}
}
