// Package topics creates, checks and trims the connector's topics, and gives its groups their first offsets.
//
// An operator meets it as `erpconnector topics ensure` and `topics check`; services run Check before they start, and the delayer
// Trim while it works. The topics themselves are listed in shared/event.
//
// Two rules are worth more than convenience here:
//
//   - Nothing that exists is changed. A count of partitions that differs from the setting is a problem to report, never one to mend:
//     with another count an order's records would be in two partitions, and lose their order.
//   - A group gets its first offset when its topic is made, and never by a reader that finds none. So a missing offset is always a loss,
//     and is told instead of being read over.
package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Admin creates and checks topics, and the positions of groups.
type Admin struct {
	cfg        kafka.Config
	partitions int32
	client     *kgo.Client
	adm        *kadm.Client
}

// NewAdmin returns an Admin. partitions is the common count of the keyed topics.
func NewAdmin(cfg kafka.Config, partitions int) (*Admin, error) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	return &Admin{cfg: cfg, partitions: int32(partitions), client: client, adm: kadm.NewClient(client)}, nil
}

// Close ends the connection.
func (a *Admin) Close() { a.client.Close() }

// groups are the groups whose positions are in Kafka. The projector's are in Postgres.
var groups = []event.Group{event.GroupSyncer, event.GroupDelayer}

// Ensure creates the missing topics, and commits offset 0 for our groups in topics that it created. It changes no topic
// and no offset that exists. With resetMissing it commits the start of the log for groups that have lost their offset.
func (a *Admin) Ensure(ctx context.Context, resetMissing bool) (created []string, err error) {
	for _, t := range event.Topics() {
		name := a.cfg.Topic(t.Name)
		err := a.create(ctx, name, t)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists):
			continue
		case err != nil:
			return created, fmt.Errorf("creating topic %s: %w", name, err)
		}
		created = append(created, name)
	}
	if err := kafka.Settle(ctx, func() error { return kafka.TopicsKnown(ctx, a.adm, created) }); err != nil {
		return created, err
	}
	for _, g := range groups {
		err := kafka.Settle(ctx, func() error { return a.ensureOffsets(ctx, g, created, resetMissing) })
		if err != nil {
			return created, err
		}
	}
	return created, nil
}

// registerTimeout is how long new brokers may take to register with their controller. Until then the controller refuses
// every topic, as no broker could hold a replica.
const registerTimeout = 10 * time.Second

func (a *Admin) create(ctx context.Context, name string, t event.Topic) error {
	began := time.Now()
	return kafka.Settle(ctx, func() error {
		_, err := a.adm.CreateTopic(ctx, a.count(t), -1, topicConfig(t), name)
		switch {
		case !errors.Is(err, kerr.InvalidReplicationFactor):
			return err
		case time.Since(began) < registerTimeout:
			return fmt.Errorf("%w: %w", kerr.LeaderNotAvailable, err) // kafka.Settle retries this error
		}
		return fmt.Errorf("%w: are as many brokers up as the brokers' default.replication.factor says?", err)
	})
}

// ensureOffsets commits the log's start where a group has no offset: in new topics, in empty ones (an earlier Ensure
// may have been killed after creating them), and in all topics when all is true.
func (a *Admin) ensureOffsets(ctx context.Context, g event.Group, created []string, all bool) error {
	lost, err := kafka.LostOffsets(ctx, a.adm, a.cfg.Group(string(g)), a.cfg.Topics(event.TopicsOf(g)))
	if err != nil {
		return err
	}
	commit := kadm.Offsets{}
	for _, l := range lost {
		if all || (l.Missing && (slices.Contains(created, l.Topic) || l.End == 0)) {
			commit.AddOffset(l.Topic, l.Partition, l.Start, -1)
		}
	}
	if len(commit) == 0 {
		return nil
	}
	if err := a.adm.CommitAllOffsets(ctx, a.cfg.Group(string(g)), commit); err != nil {
		return fmt.Errorf("committing the first offsets of group %s (stop its members first): %w", g, err)
	}
	return nil
}

// count is how many partitions a topic has. Topics without keys need no more than one: they hold little, and one is read in order.
func (a *Admin) count(t event.Topic) int32 {
	if t.Keyed {
		return a.partitions
	}
	return 1
}

// topicConfig sets what the connector depends on, whatever the brokers' defaults are. The rest, replicas among it, is the operator's.
func topicConfig(t event.Topic) map[string]*string {
	config := map[string]*string{
		"max.message.bytes": kadm.StringPtr(strconv.Itoa(event.MaxRecordBytes)),
		"retention.ms":      kadm.StringPtr("-1"),
		"retention.bytes":   kadm.StringPtr("-1"),
		"cleanup.policy":    kadm.StringPtr("delete"),
	}
	switch t.Retention {
	case event.KeepLatestKey:
		config["cleanup.policy"] = kadm.StringPtr("compact")
	case event.KeepConsumed:
		config["segment.bytes"] = kadm.StringPtr(strconv.Itoa(segmentBytes))
	case event.KeepForever:
	}
	return config
}
