// Package pubsub implements Watermill's publisher and subscriber on franz-go, for the connector's topics and for others.
package pubsub

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Marshal makes a record of a message. The metadata and the uuid become headers, and the metadata
// event.MetadataPartitionKey becomes the record's key. Without it, or when it is empty, the record has no key and may
// go to any partition. The topic carries no prefix.
func Marshal(c kafka.Config, topic string, msg *message.Message) (*kgo.Record, error) {
	if _, taken := msg.Metadata[event.HeaderUUID]; taken {
		return nil, fmt.Errorf("message %s: metadata %s is reserved for its uuid", msg.UUID, event.HeaderUUID)
	}
	headers := make(map[string]string, len(msg.Metadata))
	for name, value := range msg.Metadata {
		if name != event.MetadataPartitionKey {
			headers[name] = value
		}
	}
	key := msg.Metadata.Get(event.MetadataPartitionKey)
	record := c.Record(event.Record{Topic: topic, Key: key, UUID: msg.UUID, Headers: headers, Value: msg.Payload})
	if key == "" {
		record.Key = nil
	}
	return record, nil
}

// Unmarshal is the reverse of Marshal. It takes any record. Of headers with the same name the last one counts. A record
// without a uuid gives a message without one.
func Unmarshal(r *kgo.Record) (*message.Message, error) {
	msg := message.NewMessage("", r.Value)
	for _, h := range r.Headers {
		if h.Key == event.HeaderUUID {
			msg.UUID = string(h.Value)
			continue
		}
		msg.Metadata.Set(h.Key, string(h.Value))
	}
	if r.Key != nil {
		msg.Metadata.Set(event.MetadataPartitionKey, string(r.Key))
	}
	return msg, nil
}

type recordKey struct{}

// RecordFrom returns the Kafka record of a message of Subscriber, by the message's context. It has the partition,
// offset and time. It must not be changed.
func RecordFrom(ctx context.Context) (*kgo.Record, bool) {
	r, ok := ctx.Value(recordKey{}).(*kgo.Record)
	return r, ok
}
