package topics

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/erpconnector/erpconnector/shared/event"
)

// segmentBytes limits the files of trimmed topics. A broker deletes whole files, and never the one it writes to. So
// each partition keeps up to this much of consumed records; the default would be 1 GiB. A file has room for a few
// batches of the largest size. Smaller files would be too many when a million retries are parked, as each is open three
// times. The age of a file (segment.ms) needs no limit, as little stays in it.
const segmentBytes = 4 * event.MaxRecordBytes

// Warnings returns problems that services can work with, but that should be solved, each with its remedy. It ignores
// missing topics, which Check reports.
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
	var largeSegments, addedPartitions, fewReplicas, lowMinISR []string
	for _, t := range event.Topics() {
		name := a.cfg.Topic(t.Name)
		config, known := configs[name]
		if !known {
			continue
		}
		d := details[name]
		if t.Retention == event.KeepConsumed && config.number("segment.bytes") > segmentBytes {
			largeSegments = append(largeSegments, name)
		}
		if len(d.Partitions) > int(a.count(t)) {
			addedPartitions = append(addedPartitions, name)
		}
		switch fewest := fewestReplicas(d); {
		case fewest < 3 && len(brokers) >= 3:
			fewReplicas = append(fewReplicas, name)
		case fewest >= 3 && config.number("min.insync.replicas") < 2:
			lowMinISR = append(lowMinISR, name)
		}
	}
	for _, w := range []struct {
		topics []string
		text   func(topics string) string
	}{
		{largeSegments, func(topics string) string {
			return fmt.Sprintf("segment.bytes is above %[1]d: each partition of %[2]s keeps a file of that size of consumed records. "+
				"Lower it, at any time, for each: `kafka-configs.sh --bootstrap-server %[3]s --alter --entity-type topics --entity-name %[4]s "+
				"--add-config segment.bytes=%[1]d`", segmentBytes, topics, a.cfg.Brokers[0], largeSegments[0])
		}},
		{addedPartitions, func(topics string) string {
			return fmt.Sprintf("%s: partitions were added beyond KAFKA_PARTITIONS=%d. They stay unused, as an order's records must stay where they are; "+
				"leave the setting as it is", topics, a.partitions)
		}},
		{fewReplicas, func(topics string) string {
			return fmt.Sprintf("%s: fewer than three replicas, though there are %d brokers. Confirmed records can vanish with a broker: "+
				"give them three, with min.insync.replicas=2", topics, len(brokers))
		}},
		{lowMinISR, func(topics string) string {
			return fmt.Sprintf("%s: min.insync.replicas is below 2. Confirmed records can vanish with a broker: set it to 2", topics)
		}},
	} {
		if len(w.topics) > 0 {
			warnings = append(warnings, w.text(strings.Join(w.topics, ", ")))
		}
	}
	return warnings, nil
}

// fewestReplicas returns those of the worst partition, as one is enough to lose an order. It is 0 for a topic without partitions.
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
