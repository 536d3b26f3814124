package projector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Whatever comes of the partitions, in whatever pieces, and whatever times the records say: each record is due once, those of a partition in
// their order, and none before a record of the same or an earlier time is known of all others. What all wait for is fetched on.
func TestMergeGivesEachRecordOnceInItsPartitionsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, left, all := newMerge(), map[kafka.TopicPartition]int64{}, map[kafka.TopicPartition][]*entry{}
		for n := range int32(rapid.IntRange(1, 4).Draw(t, "partitions")) {
			at := kafka.TopicPartition{Topic: event.TopicSuccess, Partition: n}
			for i := range rapid.Int64Range(1, 20).Draw(t, "records") {
				r := &kgo.Record{
					Offset: i, Timestamp: time.Unix(i+rapid.Int64Range(-3, 3).Draw(t, "skew"), 0),
					Value: make([]byte, rapid.SampledFrom([]int{1, maxWaiting / 2}).Draw(t, "bytes")),
				}
				all[at] = append(all[at], &entry{at: at, record: r})
			}
			left[at] = int64(len(all[at]))
		}
		came, given := map[kafka.TopicPartition]int{}, map[kafka.TopicPartition]int{}
		for len(left) > 0 {
			ahead := m.ahead(left)
			require.Less(t, len(ahead), len(left), "somebody is fetched")
			for at := range left {
				if ahead[at] {
					continue
				}
				for range rapid.IntRange(0, 3).Draw(t, "come") {
					if _, more := left[at]; !more {
						break
					}
					m.add(all[at][came[at]])
					if came[at]++; came[at] == len(all[at]) {
						delete(left, at)
					}
				}
			}
			until := m.until(left)
			for _, e := range m.due(left) {
				require.Same(t, all[e.at][given[e.at]], e)
				given[e.at]++
				require.True(t, len(left) == 0 || !e.record.Timestamp.After(until))
			}
		}
		require.Equal(t, came, given)
		require.Zero(t, m.bytes)
		require.Empty(t, m.waiting)
	})
}
