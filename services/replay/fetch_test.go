package replay

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// counter counts the records that came from the brokers.
type counter struct{ records atomic.Int64 }

func (c *counter) OnFetchRecordBuffered(*kgo.Record) { c.records.Add(1) }

// topic makes a topic of one partition.
func topic(t *testing.T, cfg kafka.Config, name string) partition {
	t.Helper()
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, cfg.Topic(name))
	require.NoError(t, err)
	return partition{cfg.Topic(name), 0}
}

// fill writes records of 1 KiB in transactions of ten, of which each third is aborted: of eleven offsets, ten are records
// and the last is the transaction's marker.
func fill(t *testing.T, cfg kafka.Config, p partition, transactions int) {
	t.Helper()
	client, err := kgo.NewClient(append(cfg.Options(), kgo.TransactionalID(cfg.Prefix+"fill"), kgo.DefaultProduceTopic(p.topic))...)
	require.NoError(t, err)
	defer client.Close()
	padding := make([]byte, 1<<10)
	for i := range transactions {
		require.NoError(t, client.BeginTransaction())
		for range 10 {
			client.Produce(t.Context(), &kgo.Record{Key: []byte("k"), Value: append([]byte(fmt.Sprintf("%d ", i)), padding...)}, nil)
		}
		require.NoError(t, client.Flush(t.Context()))
		require.NoError(t, client.EndTransaction(t.Context(), kgo.TransactionEndTry(i%3 != 2)))
	}
}

func TestFetchSeeksWhatIsWanted(t *testing.T) {
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		p := topic(t, cfg, "facts")
		fill(t, cfg, p, 600)
		var read counter
		marker, aborted := int64(10), int64(11*5+3)
		found, err := fetch(t.Context(), cfg, map[partition][]int64{p: {11*592 + 8, 2, marker, aborted, 3300}}, kgo.WithHooks(&read))
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
