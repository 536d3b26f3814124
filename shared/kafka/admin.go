package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
)

// Admin creates and checks topics and the positions of groups.
type Admin struct {
	cfg        Config
	partitions int32
	client     *kgo.Client
	adm        *kadm.Client
}

// NewAdmin connects. partitions is the common count of the keyed topics.
func NewAdmin(cfg Config, partitions int) (*Admin, error) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	return &Admin{cfg: cfg, partitions: int32(partitions), client: client, adm: kadm.NewClient(client)}, nil
}

// Close ends the connection.
func (a *Admin) Close() { a.client.Close() }

// groups are those whose positions live in Kafka; the projector's stand in Postgres.
var groups = []event.Group{event.GroupSyncer, event.GroupDelayer}

// Ensure creates the topics that are missing and commits offset 0 for our groups on topics it created. It never touches
// a topic or an offset that exists. resetMissing commits the start of the log for groups that lost their offset.
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
	if err := settle(ctx, func() error { return known(ctx, a.adm, created) }); err != nil {
		return created, err
	}
	for _, g := range groups {
		err := settle(ctx, func() error { return a.ensureOffsets(ctx, g, created, resetMissing) })
		if err != nil {
			return created, err
		}
	}
	return created, nil
}

// known is nil once the brokers answer for topics: that a topic was created comes to them a moment later.
func known(ctx context.Context, adm *kadm.Client, topics []string) error {
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

// settleWithin is how long a fresh cluster may take to know its new topics and to elect the groups' coordinators.
const settleWithin = 30 * time.Second

// settle repeats what fails only because the cluster is not ready yet.
func settle(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
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

// registerWithin is how long brokers that have just started may take to register with their controller. Until then it
// refuses every topic, as no broker could hold a replica.
const registerWithin = 10 * time.Second

func (a *Admin) create(ctx context.Context, name string, t event.Topic) error {
	began := time.Now()
	return settle(ctx, func() error {
		_, err := a.adm.CreateTopic(ctx, a.count(t), -1, topicConfig(t), name)
		switch {
		case !errors.Is(err, kerr.InvalidReplicationFactor):
			return err
		case time.Since(began) < registerWithin:
			return fmt.Errorf("%w: %w", kerr.LeaderNotAvailable, err) // which settle tries again
		}
		return fmt.Errorf("%w: are as many brokers up as the brokers' default.replication.factor says?", err)
	})
}

// ensureOffsets commits the log's start where a group has no offset: on new topics, on empty ones (a run that was
// killed between the two steps), and on all when asked.
func (a *Admin) ensureOffsets(ctx context.Context, g event.Group, created []string, all bool) error {
	lost, err := lostOffsets(ctx, a.adm, a.cfg.Group(string(g)), a.cfg.Topics(event.TopicsOf(g)))
	if err != nil {
		return err
	}
	commit := kadm.Offsets{}
	for _, l := range lost {
		if all || (l.missing && (slices.Contains(created, l.topic) || l.end == 0)) {
			commit.AddOffset(l.topic, l.partition, l.start, -1)
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

// lostOffset is a partition of which a group has no usable position.
type lostOffset struct {
	topic      string
	partition  int32
	missing    bool  // else committed lies outside of the log
	committed  int64 // when not missing
	start, end int64 // what the log holds
}

// problem tells an operator what is wrong and what mends it.
func (l lostOffset) problem(g event.Group) string {
	what := fmt.Sprintf("group %s has no offset for %s partition %d", g, l.topic, l.partition)
	if !l.missing {
		what = fmt.Sprintf("group %s stands at offset %d of %s partition %d, which holds %d to %d", g, l.committed, l.topic, l.partition, l.start, l.end)
	}
	return what + ": run `erpconnector topics ensure`; if the topic has or had records, they are repeated or lost: " +
		"find out who deleted them or the offset, then add --reset-missing-offsets"
}

// lostOffsets are the partitions of which the group has no usable position. While others work, positions and both ends of the
// log only grow: read in this order, none seems to lie outside that does not.
func lostOffsets(ctx context.Context, adm *kadm.Client, group string, topics []string) ([]lostOffset, error) {
	starts, err := offsetsOf(adm.ListStartOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	committed, err := adm.FetchOffsets(ctx, group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("reading the offsets of group %s: %w", group, err)
	}
	ends, err := offsetsOf(adm.ListEndOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	var lost []lostOffset
	for _, start := range starts.Offsets().Sorted() {
		end, _ := ends.Lookup(start.Topic, start.Partition)
		at, ok := committed.Lookup(start.Topic, start.Partition)
		missing := !ok || at.At < 0
		if missing || at.At < start.At || at.At > end.Offset {
			lost = append(lost, lostOffset{start.Topic, start.Partition, missing, at.At, start.At, end.Offset})
		}
	}
	return lost, nil
}

func offsetsOf(listed kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err == nil {
		err = listed.Error()
	}
	return listed, err
}

// bounds are the first and the next offset of each partition.
func bounds(ctx context.Context, adm *kadm.Client, topics []string) (starts, ends kadm.ListedOffsets, err error) {
	if starts, err = offsetsOf(adm.ListStartOffsets(ctx, topics...)); err != nil {
		return nil, nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	if ends, err = offsetsOf(adm.ListEndOffsets(ctx, topics...)); err != nil {
		return nil, nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	return starts, ends, nil
}

// Check lists what is wrong with the topics and positions, each with what mends it; none means that services may start.
func (a *Admin) Check(ctx context.Context) ([]string, error) {
	var names []string
	for _, t := range event.Topics() {
		names = append(names, a.cfg.Topic(t.Name))
	}
	details, err := a.adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("reading topics: %w", err)
	}
	var problems []string
	for _, t := range event.Topics() {
		d, name := details[a.cfg.Topic(t.Name)], a.cfg.Topic(t.Name)
		switch {
		case d.Err != nil || len(d.Partitions) == 0:
			problems = append(problems, missingTopic(name))
		case int32(len(d.Partitions)) != a.count(t):
			problems = append(problems, fmt.Sprintf("topic %s has %d partitions, not %d: set KAFKA_PARTITIONS=%d; "+
				"a changed count would break the order of an order's records", name, len(d.Partitions), a.count(t), len(d.Partitions)))
		}
	}
	if len(problems) > 0 {
		return problems, nil
	}
	problems, err = a.checkRetention(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		lost, err := lostOffsets(ctx, a.adm, a.cfg.Group(string(g)), a.cfg.Topics(event.TopicsOf(g)))
		if err != nil {
			return nil, err
		}
		for _, l := range lost {
			problems = append(problems, l.problem(g))
		}
	}
	return problems, nil
}

// checkRetention refuses limits that would delete what is not consumed or what the log must keep.
func (a *Admin) checkRetention(ctx context.Context, names []string) ([]string, error) {
	configs, err := a.adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("reading topic configurations: %w", err)
	}
	var problems []string
	for _, t := range event.Topics() {
		name := a.cfg.Topic(t.Name)
		config, err := configs.On(name, func(c *kadm.ResourceConfig) error { return c.Err })
		if errors.Is(err, kerr.UnknownTopicOrPartition) { // deleted a moment ago
			problems = append(problems, missingTopic(name))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the configuration of topic %s: %w", name, err)
		}
		if problem := retentionProblem(t, config); problem != "" {
			problems = append(problems, "topic "+name+" "+problem)
		}
	}
	return problems, nil
}

func missingTopic(name string) string {
	return fmt.Sprintf("topic %s is missing: run `erpconnector topics ensure`", name)
}

func retentionProblem(t event.Topic, c kadm.ResourceConfig) string {
	policy, forever := "delete", true
	for _, entry := range c.Configs {
		value := entry.MaybeValue()
		switch entry.Key {
		case "cleanup.policy":
			policy = value
		case "retention.ms", "retention.bytes":
			forever = forever && (value == "-1" || value == "")
		}
	}
	switch {
	case strings.Contains(policy, "delete") && !forever:
		return "deletes by time or size: set its retention.ms and retention.bytes to -1; what is not consumed would be lost"
	case strings.Contains(policy, "compact") && t.Retention != event.KeepLatestKey:
		return "is compacted: set its cleanup.policy to delete; all records of an order but the last would be lost"
	default:
		return ""
	}
}

func (a *Admin) count(t event.Topic) int32 {
	if t.Keyed {
		return a.partitions
	}
	return 1
}

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
