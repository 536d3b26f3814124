package txn

import (
	"context"
	"fmt"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// diagnose finds out why records are not written: their partitions take none, or the id's last transaction has not
// ended everywhere. It returns nil when it finds no reason.
func (p *Producer) diagnose(ctx context.Context, b Batch, waiting []int) error {
	if stuck, err := p.identity.checkEnding(ctx, p.client); err == nil && stuck {
		return errStuck
	}
	var topics []string
	seen := map[string]bool{}
	for _, index := range waiting {
		if topic := b.Records[index].Topic; !seen[topic] {
			seen[topic] = true
			topics = append(topics, topic)
		}
	}
	found, err := p.health.Unavailable(ctx, topics)
	if err != nil {
		return nil //nolint:nilerr // the caller has a deadline too
	}
	u := &UnavailableError{}
	for _, index := range waiting {
		r := b.Records[index]
		to := kafka.TopicPartition{Topic: r.Topic, Partition: p.cfg.PartitionOf(r.Topic, r.Key, found.Partitions[r.Topic])}
		if reason, is := found.Reasons[to]; is {
			u.Records = append(u.Records, index)
			u.Err = fmt.Errorf("%s partition %d: %s", to.Topic, to.Partition, reason)
		}
	}
	if len(u.Records) == 0 {
		return nil
	}
	return u
}
