package replay

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Headers that a record published once more has beside its own.
const (
	HeaderReplay    = "replay" // "true"
	HeaderTopic     = "replay_topic"
	HeaderPartition = "replay_partition"
	HeaderOffset    = "replay_offset"
)

// Publisher publishes records once more, for a subscriber that lost what it had. It is a Sink, and its owner's to close.
type Publisher struct {
	client *kgo.Client
	topic  string
}

// NewPublisher publishes to a topic of a subscriber, which must exist. A topic that a connector reads or writes, this one
// or another on the same brokers, is refused: its services would take the records for new ones.
func NewPublisher(ctx context.Context, cfg kafka.Config, topic string) (*Publisher, error) {
	for _, t := range event.Topics() {
		if strings.HasSuffix(topic, t.Name) {
			return nil, fmt.Errorf("%s is, by its name, a topic of a connector, which would take the records for new ones: "+
				"name a topic of the subscriber's own, which does not end in %s", topic, t.Name)
		}
	}
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	details, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err == nil {
		err = details[topic].Err
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("topic %s: %w: create it first, with max.message.bytes of at least %d", topic, err, event.MaxRecordBytes)
	}
	return &Publisher{client, topic}, nil
}

// Close ends the connection.
func (p *Publisher) Close() { p.client.Close() }

// Take publishes the records, key, value and headers as they are, and returns once the brokers have them. They keep the
// order of their keys. Their time is now, as the topic may delete by age; when the fact occurred is ce_time.
func (p *Publisher) Take(ctx context.Context, records []*kgo.Record) error {
	again := make([]*kgo.Record, 0, len(records))
	for _, r := range records {
		headers := append(append([]kgo.RecordHeader{}, r.Headers...),
			kgo.RecordHeader{Key: HeaderReplay, Value: []byte("true")},
			kgo.RecordHeader{Key: HeaderTopic, Value: []byte(r.Topic)},
			kgo.RecordHeader{Key: HeaderPartition, Value: []byte(strconv.Itoa(int(r.Partition)))},
			kgo.RecordHeader{Key: HeaderOffset, Value: []byte(strconv.FormatInt(r.Offset, 10))})
		again = append(again, &kgo.Record{Topic: p.topic, Key: r.Key, Value: r.Value, Headers: headers})
	}
	if err := p.client.ProduceSync(ctx, again...).FirstErr(); err != nil {
		return fmt.Errorf("publishing to %s: %w", p.topic, err)
	}
	return nil
}
