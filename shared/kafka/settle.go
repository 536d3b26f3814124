package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TopicsKnown is nil once the brokers answer for topics: that a topic was created comes to them a moment later.
func TopicsKnown(ctx context.Context, adm *kadm.Client, topics []string) error {
	if len(topics) == 0 {
		return nil
	}
	details, err := adm.ListTopics(ctx, topics...)
	if err != nil {
		return fmt.Errorf("reading topics: %w", err)
	}
	for _, t := range topics {
		d, known := details[t]
		if !known {
			return fmt.Errorf("topic %s: %w", t, kerr.UnknownTopicOrPartition)
		}
		for _, p := range d.Partitions {
			d.Err = errors.Join(d.Err, p.Err)
		}
		if d.Err != nil {
			return fmt.Errorf("topic %s: %w", t, d.Err)
		}
	}
	return nil
}

// SettleTimeout is how long a fresh cluster may take to know its new topics and to elect the groups' coordinators.
const SettleTimeout = 30 * time.Second

// Settle repeats what fails only because the cluster is not ready yet.
func Settle(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, SettleTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do()
		if err == nil || !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
