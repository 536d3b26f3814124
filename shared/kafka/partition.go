package kafka

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
)

// keyedTopics are the connector's topics whose records go to partitions by their order's key.
var keyedTopics = func() map[string]bool {
	keyed := map[string]bool{}
	for _, t := range event.Topics() {
		keyed[t.Name] = t.Keyed
	}
	return keyed
}()

// IsKeyed reports whether records of a topic (without the prefix) go to partitions by their order's key.
func IsKeyed(topic string) bool { return keyedTopics[topic] }

// partitioner returns the partitioner of the Java client (murmur2 of the key). All writers of a keyed topic must use
// the same, so that the records of an order keep their sequence. In the connector's own topics it uses the configured
// count of partitions only, even when somebody adds some: the next record of an order must go where its last one went.
func (c Config) partitioner() kgo.Partitioner {
	return pinned{Partitioner: kgo.StickyKeyPartitioner(nil), prefix: c.Prefix, partitions: c.Partitions}
}

type pinned struct {
	kgo.Partitioner

	prefix     string
	partitions int
}

func (p pinned) ForTopic(topic string) kgo.TopicPartitioner {
	spread := p.Partitioner.ForTopic(topic)
	name, ours := strings.CutPrefix(topic, p.prefix)
	if p.partitions <= 0 || !ours || !keyedTopics[name] {
		return spread
	}
	return pinnedTopic{spread: spread, partitions: p.partitions}
}

type pinnedTopic struct {
	spread     kgo.TopicPartitioner
	partitions int
}

func (pinnedTopic) RequiresConsistency(*kgo.Record) bool { return true }

func (p pinnedTopic) Partition(r *kgo.Record, n int) int {
	return p.spread.Partition(r, min(n, p.partitions))
}

// PartitionOf returns the partition of a record with the key, in a topic of n partitions. The topic carries the prefix.
func (c Config) PartitionOf(topic string, key []byte, n int) int32 {
	if n <= 1 {
		return 0
	}
	return int32(c.partitioner().ForTopic(topic).Partition(&kgo.Record{Topic: topic, Key: key}, n))
}
