package logreader

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// counter counts the records that came from the brokers.
type counter struct{ records atomic.Int64 }

func (c *counter) OnFetchRecordBuffered(*kgo.Record) { c.records.Add(1) }

func TestFetchSeeksTheWantedRecords(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		p := kafka.TopicPartition{Topic: testkit.Topic(t, cfg, "facts")}
		testkit.FillWithTransactions(t, cfg, p.Topic, 600)
		var read counter
		marker, aborted := int64(10), int64(11*5+3)
		found, err := Fetch(t.Context(), cfg, map[kafka.TopicPartition][]int64{p: {11*592 + 8, 2, marker, aborted, 3300}}, kgo.WithHooks(&read))
		require.NoError(t, err)
		var offsets []int64
		for _, o := range []int64{2, marker, aborted, 3300, 11*592 + 8} {
			if r := found[p][o]; r != nil {
				require.Equal(t, o, r.Offset)
				require.Equal(t, fmt.Sprint(o/11), string(r.Value[:len(fmt.Sprint(o/11))]))
				offsets = append(offsets, o)
			}
		}
		require.Equal(t, []int64{2, 3300, 11*592 + 8}, offsets, "a marker and an aborted record are no records")
		require.Less(t, read.records.Load(), int64(3300), "of 6600 between the first and the last; the client reads ahead by as much as the machine lets it")
	})
}
