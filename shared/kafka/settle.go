package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TopicsKnown returns nil once the brokers know the topics. A new topic becomes known to them a moment after it is created.
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

// SettleTimeout is how long a new cluster may take to know its topics and to elect the groups' coordinators.
const SettleTimeout = 30 * time.Second

// Settle retries do while its error is one that passes by itself, as in a cluster that is not ready yet.
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
