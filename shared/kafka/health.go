package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicPartition names a partition; the topic carries the prefix.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// AllPartitions stands for the partitions of a topic that does not exist.
const AllPartitions int32 = -1

// Health asks the brokers which partitions take no records at the moment.
type Health struct {
	adm *kadm.Client

	mu     sync.Mutex
	minISR map[string]int // by topic
}

// NewHealth returns a Health that asks through the client.
func NewHealth(client *kgo.Client) *Health {
	return &Health{adm: kadm.NewClient(client), minISR: map[string]int{}}
}

// Unavailability is the result of Health.Unavailable.
type Unavailability struct {
	Reasons    map[TopicPartition]string // why a partition takes no records; one that takes them is missing here
	Partitions map[string]int            // how many each topic has
}

// Unavailable finds the partitions of the topics that have no leader, or fewer in-sync replicas than
// min.insync.replicas. They refuse records until a replica is back.
func (h *Health) Unavailable(ctx context.Context, topics []string) (*Unavailability, error) {
	details, err := h.adm.ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("reading topics: %w", err)
	}
	required, err := h.required(ctx, topics)
	if err != nil {
		return nil, err
	}
	found := &Unavailability{Reasons: map[TopicPartition]string{}, Partitions: map[string]int{}}
	for _, topic := range details {
		if errors.Is(topic.Err, kerr.UnknownTopicOrPartition) {
			found.Reasons[TopicPartition{topic.Topic, AllPartitions}] = "the topic does not exist"
		}
		found.Partitions[topic.Topic] = len(topic.Partitions)
		for _, p := range topic.Partitions {
			switch {
			case p.Leader < 0:
				found.Reasons[TopicPartition{topic.Topic, p.Partition}] = "it has no leader"
			case len(p.ISR) < required[topic.Topic]:
				found.Reasons[TopicPartition{topic.Topic, p.Partition}] = fmt.Sprintf("%d of %d replicas are in sync, and min.insync.replicas is %d",
					len(p.ISR), len(p.Replicas), required[topic.Topic])
			}
		}
	}
	return found, nil
}

// required returns min.insync.replicas of each topic. Without the right to read configurations it is taken for 1.
func (h *Health) required(ctx context.Context, topics []string) (map[string]int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var unknown []string
	for _, topic := range topics {
		if _, known := h.minISR[topic]; !known {
			unknown = append(unknown, topic)
		}
	}
	if len(unknown) == 0 {
		return h.minISR, nil
	}
	configs, err := h.adm.DescribeTopicConfigs(ctx, unknown...)
	if err != nil {
		return nil, fmt.Errorf("reading topic configurations: %w", err)
	}
	for _, topic := range configs {
		if topic.Err != nil && kerr.IsRetriable(topic.Err) {
			continue
		}
		h.minISR[topic.Name] = 1
		for _, entry := range topic.Configs {
			if n, err := strconv.Atoi(entry.MaybeValue()); err == nil && entry.Key == "min.insync.replicas" {
				h.minISR[topic.Name] = n
			}
		}
	}
	return h.minISR, nil
}
