package pubsub

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// NewTopic says how a Publisher or Subscriber creates a missing topic. Do not use it for the connector's own topics: only
// `erpconnector topics ensure` creates them with the settings they need.
type NewTopic struct {
	Partitions  int32 // the broker's default when 0
	Replication int16 // the broker's default when 0
	Config      map[string]string
}

// ensureTopic creates the topic when it is missing and how is not nil. Without how a missing topic is an error.
func ensureTopic(ctx context.Context, adm *kadm.Client, topic string, how *NewTopic) error {
	if how == nil {
		err := kafka.TopicsKnown(ctx, adm, []string{topic})
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("topic %s is missing: make it, or set Create: %w", topic, err)
		}
		return err
	}
	if err := how.create(ctx, adm, topic); err != nil {
		return fmt.Errorf("creating topic %s: %w", topic, err)
	}
	return kafka.Settle(ctx, func() error { return kafka.TopicsKnown(ctx, adm, []string{topic}) })
}

func (n NewTopic) create(ctx context.Context, adm *kadm.Client, topic string) error {
	config := make(map[string]*string, len(n.Config))
	for name, value := range n.Config {
		config[name] = kadm.StringPtr(value)
	}
	partitions, replication := n.Partitions, n.Replication
	if partitions == 0 {
		partitions = -1
	}
	if replication == 0 {
		replication = -1
	}
	_, err := adm.CreateTopic(ctx, partitions, replication, config, topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}
