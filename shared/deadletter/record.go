// Package deadletter keeps what nobody can read. The record goes to the dead-letter topic, byte for byte, with the reason and
// where it came from; what stands there is listed in a table, for operators.
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

// Writer is who could not use a record: one of our services, or a subscriber's group.
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
	// Ended says that the terminal event of the record's generation is written in the same transaction. Without it the letter
	// of a record that kept its generation alive is all that tells of the end.
	Ended bool
}

// Record is the dead letter of a record that was read from the cluster.
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
	letter := &kgo.Record{Topic: cfg.Topic(event.TopicDeadLetter), Key: original.Key, Value: original.Value, Headers: originalHeaders(original)}
	for _, h := range headers {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: h.key, Value: []byte(h.value)})
	}
	return letter
}

// Reference is the dead letter of a record that no broker takes a second time: it says where the record stands, keeps its
// short headers, and nothing of its content. It cannot be sent back.
func Reference(cfg kafka.Config, original *kgo.Record, c Cause) *kgo.Record {
	without := *original
	without.Value = nil
	without.Headers = slices.DeleteFunc(slices.Clone(original.Headers), func(h kgo.RecordHeader) bool { return len(h.Value) > maxKeptHeader })
	without.Headers = without.Headers[:min(len(without.Headers), maxKeptHeaders)]
	letter := Record(cfg, &without, c)
	letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: event.HeaderDeadLetterReference, Value: []byte("true")})
	return letter
}

// Limits of the headers that a reference keeps.
const (
	maxKeptHeader  = 1 << 10
	maxKeptHeaders = 20
)

// Unrelayed is the dead letter of a row of erp_outbox that the brokers take nowhere: it names the row, which stays there.
func Unrelayed(cfg kafka.Config, topic, key string, id int64, reason string) *kgo.Record {
	letter := &kgo.Record{Topic: cfg.Topic(event.TopicDeadLetter), Key: []byte(key)}
	for _, h := range []struct{ key, value string }{
		{event.HeaderReason, shorten(reason, maxReason)},
		{event.HeaderOriginTopic, cfg.Topic(topic)},
		{event.HeaderOriginRow, strconv.FormatInt(id, 10)},
		{event.HeaderDeadLetterBy, string(ByRelay)},
		{event.HeaderDeadLetterReference, "true"},
	} {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: h.key, Value: []byte(h.value)})
	}
	return letter
}

// originalHeaders are those that a letter's record had before it became one.
func originalHeaders(r *kgo.Record) []kgo.RecordHeader {
	return slices.DeleteFunc(slices.Clone(r.Headers), func(h kgo.RecordHeader) bool {
		return strings.HasPrefix(h.Key, event.HeaderDeadLetterPrefix)
	})
}

// shorten makes text that Postgres and people can keep, of at most so many bytes.
func shorten(text string, most int) string {
	text = domain.KeepableText(text)
	return strings.ToValidUTF8(text[:min(most, len(text))], "")
}

// Hook sets aside what a kafka.Subscriber cannot read (SubscriberConfig.Refused): its dead letter is written with the
// client, which is the caller's to close. group is the subscriber's.
func Hook(cfg kafka.Config, client *kgo.Client, group string) func(context.Context, *kgo.Record, error) error {
	return func(ctx context.Context, r *kgo.Record, why error) error {
		letter := Record(cfg, r, Cause{By: Writer(group), Reason: why.Error()})
		if err := client.ProduceSync(ctx, letter).FirstErr(); err != nil {
			return fmt.Errorf("writing the dead letter of %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		return nil
	}
}
