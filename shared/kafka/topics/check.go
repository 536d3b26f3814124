package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Check returns the problems of brokers, topics and positions, each with its remedy. Without problems services may start.
func (a *Admin) Check(ctx context.Context) ([]string, error) {
	problems, err := a.checkBrokers(ctx)
	if err != nil || len(problems) > 0 {
		return problems, err
	}
	details, err := a.topics(ctx)
	if err != nil {
		return nil, err
	}
	if problems, err = a.checkCounts(ctx, details); err != nil || len(problems) > 0 {
		return problems, err
	}
	if problems, err = a.checkConfigs(ctx, details); err != nil {
		return nil, err
	}
	for _, g := range groups {
		var lost []kafka.LostOffset
		err := kafka.Settle(ctx, func() (err error) {
			lost, err = kafka.LostOffsets(ctx, a.adm, a.cfg.Group(string(g)), a.cfg.Topics(event.TopicsOf(g)))
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, l := range lost {
			if l.Partition < a.partitions { // partitions that were added stay unused
				problems = append(problems, problemOf(l, g))
			}
		}
	}
	return problems, nil
}

// topics returns what the brokers know of our topics. One that is missing has an error of its own.
func (a *Admin) topics(ctx context.Context) (kadm.TopicDetails, error) {
	var names []string
	for _, t := range event.Topics() {
		names = append(names, a.cfg.Topic(t.Name))
	}
	details, err := a.adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("reading topics: %w", err)
	}
	return details, nil
}

// needs are the requests that the connector depends on, with their minimum versions. Without them the ERP would be
// called, and the outcomes never committed.
var needs = []struct {
	key     kmsg.Key
	version int16
	what    string
}{
	{kmsg.TxnOffsetCommit, 3, "offsets in a transaction with their member"},
	{kmsg.DescribeTransactions, 0, "the description of transactions"},
	{kmsg.ListTransactions, 0, "the list of transactions"},
	{kmsg.DeleteRecords, 0, "the trimming of topics"},
}

// checkBrokers finds brokers that cannot do what the connector needs. Apache Kafka 3.0 is the first release that can.
func (a *Admin) checkBrokers(ctx context.Context) (problems []string, err error) {
	versions, err := a.adm.ApiVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the brokers what they can do: %w", err)
	}
	for _, b := range versions.Sorted() {
		if b.Err != nil {
			continue // it is down; a later check asks it
		}
		var missing []string
		for _, n := range needs {
			if version, known := b.KeyMaxVersion(int16(n.key)); !known || version < n.version {
				missing = append(missing, n.what)
			}
		}
		if len(missing) > 0 {
			problems = append(problems, fmt.Sprintf("broker %d (%s) does not know %s: use Apache Kafka 3.0 or later, or what is compatible with it",
				b.NodeID, b.VersionGuess(), strings.Join(missing, ", ")))
		}
	}
	return problems, nil
}

// checkCounts finds topics that are missing, and topics that were created with another count than the setting.
func (a *Admin) checkCounts(ctx context.Context, details kadm.TopicDetails) (problems []string, err error) {
	for _, t := range event.Topics() {
		name := a.cfg.Topic(t.Name)
		d, want := details[name], int(a.count(t))
		used := 0
		if len(d.Partitions) > want {
			if used, err = a.usedPartitions(ctx, name); err != nil {
				return nil, err
			}
		}
		switch {
		case d.Err != nil || len(d.Partitions) == 0:
			problems = append(problems, missingTopic(name))
		case len(d.Partitions) < want, used > want:
			problems = append(problems, fmt.Sprintf("topic %s has %d partitions, not %d: set KAFKA_PARTITIONS=%d; "+
				"a changed count would break the order of an order's records", name, len(d.Partitions), want, len(d.Partitions)))
		}
	}
	return problems, nil
}

// usedPartitions returns how many partitions of a topic are in use: up to the last one that ever had a record.
func (a *Admin) usedPartitions(ctx context.Context, topic string) (used int, err error) {
	ends, err := kafka.Listed(a.adm.ListEndOffsets(ctx, topic))
	if err != nil {
		return 0, fmt.Errorf("reading the ends of topic %s: %w", topic, err)
	}
	for partition, end := range ends[topic] {
		if end.Offset > 0 {
			used = max(used, int(partition)+1)
		}
	}
	return used, nil
}

// checkConfigs finds settings that would delete records which are not consumed or which the log must keep, that would
// lose records with a broker, or that refuse the largest records.
func (a *Admin) checkConfigs(ctx context.Context, details kadm.TopicDetails) (problems []string, err error) {
	configs, err := a.configs(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range event.Topics() {
		name := a.cfg.Topic(t.Name)
		config, known := configs[name]
		if !known { // deleted a moment ago
			problems = append(problems, missingTopic(name))
			continue
		}
		for _, problem := range []string{config.retention(t), config.largest(), config.replicas(details[name])} {
			if problem != "" {
				problems = append(problems, "topic "+name+" "+problem)
			}
		}
	}
	return problems, nil
}

// configs returns the configurations of the topics that exist.
func (a *Admin) configs(ctx context.Context) (map[string]topicConfigs, error) {
	var names []string
	for _, t := range event.Topics() {
		names = append(names, a.cfg.Topic(t.Name))
	}
	described, err := a.adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("reading topic configurations: %w", err)
	}
	out := map[string]topicConfigs{}
	for _, resource := range described {
		switch {
		case errors.Is(resource.Err, kerr.UnknownTopicOrPartition):
			continue
		case resource.Err != nil:
			return nil, fmt.Errorf("reading the configuration of topic %s: %w", resource.Name, resource.Err)
		}
		c := topicConfigs{}
		for _, entry := range resource.Configs {
			c[entry.Key] = entry.MaybeValue()
		}
		out[resource.Name] = c
	}
	return out, nil
}

// topicConfigs is a topic's configuration, by name. What the broker does not report is missing.
type topicConfigs map[string]string

// number returns a numeric setting, or 0 when the broker does not report it.
func (c topicConfigs) number(name string) int64 {
	n, _ := strconv.ParseInt(c[name], 10, 64)
	return n
}

// retention returns the problem with how long records are kept, or "".
func (c topicConfigs) retention(t event.Topic) string {
	policy := c["cleanup.policy"]
	if policy == "" {
		policy = "delete"
	}
	forever := slices.Contains([]string{"", "-1"}, c["retention.ms"]) && slices.Contains([]string{"", "-1"}, c["retention.bytes"])
	switch {
	case strings.Contains(policy, "delete") && !forever:
		return "deletes by time or size: set its retention.ms and retention.bytes to -1; what is not consumed would be lost"
	case strings.Contains(policy, "compact") && t.Retention != event.KeepLatestKey:
		return "is compacted: set its cleanup.policy to delete; all records of an order but the last would be lost"
	default:
		return ""
	}
}

// largest returns the problem with the largest record that the topic takes, or "".
func (c topicConfigs) largest() string {
	limit := c.number("max.message.bytes")
	if limit == 0 || limit >= event.MaxRecordBytes {
		return ""
	}
	return fmt.Sprintf("takes records of at most %d bytes, and an order may need %[2]d: set its max.message.bytes to %[2]d; "+
		"larger orders would fail with record_refused", limit, event.MaxRecordBytes)
}

// replicas returns the problem with the topic's replicas, or "".
func (c topicConfigs) replicas(d kadm.TopicDetail) string {
	required := int(c.number("min.insync.replicas"))
	for _, p := range d.Partitions.Sorted() {
		if len(p.Replicas) < required {
			return fmt.Sprintf("takes no record in partition %d: it has %d replicas, and min.insync.replicas is %d; give it more, or lower that",
				p.Partition, len(p.Replicas), required)
		}
	}
	if c["unclean.leader.election.enable"] == "true" {
		return "can lose records with a broker: set its unclean.leader.election.enable to false"
	}
	return ""
}

// missingTopic is the same problem wherever it is found.
func missingTopic(name string) string {
	return fmt.Sprintf("topic %s is missing: run `erpconnector topics ensure`", name)
}

// problemOf describes a lost offset and its remedy.
func problemOf(l kafka.LostOffset, g event.Group) string {
	what := fmt.Sprintf("group %s has no offset for %s partition %d", g, l.Topic, l.Partition)
	if !l.Missing {
		what = fmt.Sprintf("group %s is at offset %d of %s partition %d, which holds %d to %d", g, l.Committed, l.Topic, l.Partition, l.Start, l.End)
	}
	return what + ": run `erpconnector topics ensure`; if the topic has or had records, they are repeated or lost: " +
		"find out who deleted them or the offset, then add --reset-missing-offsets"
}
