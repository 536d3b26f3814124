package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Headers that replay adds to a record.
const (
	HeaderReplay    = "replay" // "true"
	HeaderTopic     = "replay_topic"
	HeaderPartition = "replay_partition"
	HeaderOffset    = "replay_offset"
)

// Publisher publishes records once more, for a subscriber that lost what it had. It implements logreader.Sink. Close it at the end.
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
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	limit, err := limitOf(ctx, cfg, topic)
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w: create it first, with max.message.bytes of at least %d", topic, err, publishedBytes)
	}
	client, err := kgo.NewClient(append(cfg.Options(), kgo.ProducerBatchMaxBytes(max(limit, event.MaxRecordBytes)))...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	return &Publisher{client, topic}, nil
}

// publishedBytes is room for the largest record of the log and the headers that replay adds.
const publishedBytes = event.MaxRecordBytes + 64<<10

// limitOf is the max.message.bytes of a topic.
func limitOf(ctx context.Context, cfg kafka.Config, topic string) (int32, error) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	details, err := adm.ListTopics(ctx, topic)
	if err == nil {
		err = details[topic].Err
	}
	if err != nil {
		return 0, err
	}
	configs, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return 0, err
	}
	described, err := configs.On(topic, nil)
	if err = errors.Join(err, described.Err); err != nil {
		return 0, err
	}
	for _, c := range described.Configs {
		if c.Key == "max.message.bytes" {
			limit, err := strconv.ParseInt(c.MaybeValue(), 10, 32)
			return int32(limit), err
		}
	}
	return 0, nil
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
	err := p.client.ProduceSync(ctx, again...).FirstErr()
	if errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("publishing to %s: %w: set its max.message.bytes to %d, and begin again", p.topic, err, publishedBytes)
	}
	if err != nil {
		return fmt.Errorf("publishing to %s: %w", p.topic, err)
	}
	return nil
}
