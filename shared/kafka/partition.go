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
	return pinned{kgo.StickyKeyPartitioner(nil), c}
}

type pinned struct {
	kgo.Partitioner

	cfg Config
}

func (p pinned) ForTopic(topic string) kgo.TopicPartitioner {
	spread := p.Partitioner.ForTopic(topic)
	if !p.cfg.isPinned(topic) {
		return spread
	}
	return pinnedTopic{spread: spread, partitions: p.cfg.Partitions}
}

type pinnedTopic struct {
	spread     kgo.TopicPartitioner
	partitions int
}

func (pinnedTopic) RequiresConsistency(*kgo.Record) bool { return true }

func (p pinnedTopic) Partition(r *kgo.Record, n int) int {
	return p.spread.Partition(r, min(n, p.partitions))
}

// byKey is the partitioner of all writers of keyed topics. For records with a key it has no state, so one does for all; to make one costs ten
// times as much as to use it.
var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")

// PartitionOfKey returns where all writers of a keyed topic of n partitions put the records of a key.
func PartitionOfKey(key []byte, n int) int32 {
	if n <= 1 || key == nil { // a record without a key may go anywhere
		return 0
	}
	return int32(byKey.Partition(&kgo.Record{Key: key}, n)) //nolint:gosec // below n
}

// PartitionOf returns the partition of a record with the key, in a topic of n partitions. The topic carries the prefix.
func (c Config) PartitionOf(topic string, key []byte, n int) int32 {
	if c.isPinned(topic) {
		n = min(n, c.Partitions)
	}
	return PartitionOfKey(key, n)
}

// isPinned reports whether a topic, with the prefix, has the configured count of partitions whatever somebody adds.
func (c Config) isPinned(topic string) bool {
	name, ours := strings.CutPrefix(topic, c.Prefix)
	return c.Partitions > 0 && ours && keyedTopics[name]
}
