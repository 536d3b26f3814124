package topics

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/erpconnector/erpconnector/shared/event"
)

// segmentBytes bounds the files of the topics that are trimmed. A broker frees whole files, and never the one it writes to, so
// each partition keeps up to this much of what is consumed: by default 1 GiB. It holds a few batches of the largest size. Less
// would be many files when a million retries are parked, three open ones each. Their age (segment.ms) need not be bounded: what
// stays is small.
const segmentBytes = 4 * event.MaxRecordBytes

// Warnings lists what services can work with and should be mended all the same, each with what mends it. Topics that are missing
// are no matter of it.
func (a *Admin) Warnings(ctx context.Context) (warnings []string, err error) {
	configs, err := a.configs(ctx)
	if err != nil {
		return nil, err
	}
	details, err := a.topics(ctx)
	if err != nil {
		return nil, err
	}
	brokers, err := a.adm.ListBrokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing brokers: %w", err)
	}
	var large, added, thin, trusting []string
	for _, t := range event.Topics() {
		name := a.cfg.Topic(t.Name)
		config, known := configs[name]
		if !known {
			continue
		}
		d := details[name]
		if t.Retention == event.KeepConsumed && config.number("segment.bytes") > segmentBytes {
			large = append(large, name)
		}
		if len(d.Partitions) > int(a.count(t)) {
			added = append(added, name)
		}
		switch fewest := fewestReplicas(d); {
		case fewest < 3 && len(brokers) >= 3:
			thin = append(thin, name)
		case fewest >= 3 && config.number("min.insync.replicas") < 2:
			trusting = append(trusting, name)
		}
	}
	for _, w := range []struct {
		topics []string
		says   func(topics string) string
	}{
		{large, func(topics string) string {
			return fmt.Sprintf("segment.bytes is above %[1]d: each partition of %[2]s keeps a file of that size of what is consumed. "+
				"Lower it, at any time, for each: `kafka-configs.sh --bootstrap-server %[3]s --alter --entity-type topics --entity-name %[4]s --add-config segment.bytes=%[1]d`",
				segmentBytes, topics, a.cfg.Brokers[0], large[0])
		}},
		{added, func(topics string) string {
			return fmt.Sprintf("%s: partitions were added beyond KAFKA_PARTITIONS=%d. They stay unused, as an order's records must stay where they are; leave the setting as it is", topics, a.partitions)
		}},
		{thin, func(topics string) string {
			return fmt.Sprintf("%s: fewer than three replicas, though there are %d brokers. What was confirmed can vanish with a broker: give them three, with min.insync.replicas=2", topics, len(brokers))
		}},
		{trusting, func(topics string) string {
			return fmt.Sprintf("%s: min.insync.replicas is below 2. What was confirmed can vanish with a broker: set it to 2", topics)
		}},
	} {
		if len(w.topics) > 0 {
			warnings = append(warnings, w.says(strings.Join(w.topics, ", ")))
		}
	}
	return warnings, nil
}

func fewestReplicas(d kadm.TopicDetail) int {
	var replicas []int
	for _, p := range d.Partitions {
		replicas = append(replicas, len(p.Replicas))
	}
	if len(replicas) == 0 {
		return 0
	}
	return slices.Min(replicas)
}
