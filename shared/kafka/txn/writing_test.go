package txn

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// A request costs a broker about the same for one record as for hundreds.
func TestTheRecordsOfATransactionGoInOneRequest(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, "t"))
	require.NoError(t, err)
	defer cluster.Close()
	var requests atomic.Int32
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		requests.Add(1)
		return nil, nil, false
	})
	p := NewProducer(kafka.Config{Brokers: cluster.ListenAddrs()}, "p")
	defer p.Close()
	batch := Batch{}
	for i := range 2000 {
		batch.Records = append(batch.Records, &kgo.Record{Topic: "t", Key: fmt.Append(nil, i), Value: make([]byte, 1024)})
	}
	require.NoError(t, p.Commit(t.Context(), batch)) // while the client does not know the topic's partitions
	for range 3 {
		before := requests.Load()
		require.NoError(t, p.Commit(t.Context(), batch))
		require.Equal(t, before+1, requests.Load())
	}
}
