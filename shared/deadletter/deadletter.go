// Package deadletter builds the record that keeps what nobody can decode: the original, byte for byte, with the reason
// and where it came from.
package deadletter

import (
	"context"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// maxReason bounds the reason header in bytes.
const maxReason = 1 << 10

// Reference is the dead letter of a record that cannot be kept as a whole: it says where the record stands, and nothing of
// what is in it.
func Reference(cfg kafka.Config, original *kgo.Record, reason string) *kgo.Record {
	letter := Record(cfg, original, reason)
	letter.Value, letter.Headers = nil, letter.Headers[len(original.Headers):]
	return letter
}

// Unrelayed is the dead letter of a row of erp_outbox that the brokers take nowhere: it names the row, which stays there.
func Unrelayed(cfg kafka.Config, topic, key string, id int64, reason string) *kgo.Record {
	return &kgo.Record{Topic: cfg.Topic(event.TopicDeadLetter), Key: []byte(key), Headers: []kgo.RecordHeader{
		{Key: event.HeaderReason, Value: []byte(domain.Truncate(reason, maxReason))},
		{Key: event.HeaderOriginTopic, Value: []byte(cfg.Topic(topic))},
		{Key: event.HeaderOriginRow, Value: []byte(strconv.FormatInt(id, 10))},
	}}
}

// Record is the dead letter of a record that was read from the cluster.
func Record(cfg kafka.Config, original *kgo.Record, reason string) *kgo.Record {
	reason = domain.Truncate(reason, maxReason)
	headers := append([]kgo.RecordHeader{}, original.Headers...)
	for _, h := range []struct{ key, value string }{
		{event.HeaderReason, reason},
		{event.HeaderOriginTopic, original.Topic},
		{event.HeaderOriginPartition, strconv.Itoa(int(original.Partition))},
		{event.HeaderOriginOffset, strconv.FormatInt(original.Offset, 10)},
	} {
		headers = append(headers, kgo.RecordHeader{Key: h.key, Value: []byte(h.value)})
	}
	return &kgo.Record{Topic: cfg.Topic(event.TopicDeadLetter), Key: original.Key, Value: original.Value, Headers: headers}
}

// Hook sets aside what a pubsub.Subscriber cannot read (SubscriberConfig.Refused): its dead letter is written with the
// client, which is the caller's to close.
func Hook(cfg kafka.Config, client *kgo.Client) func(context.Context, *kgo.Record, error) error {
	return func(ctx context.Context, r *kgo.Record, why error) error {
		if err := client.ProduceSync(ctx, Record(cfg, r, why.Error())).FirstErr(); err != nil {
			return fmt.Errorf("writing the dead letter of %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		return nil
	}
}
