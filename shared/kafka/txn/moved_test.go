package txn

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Symptom: a broker had come back at another address, and records that were passed over waited for minutes: the client that reads them
// again still knew the old one.
func TestRecordsAreReadAgainFromABrokerThatHasMoved(t *testing.T) {
	t.Parallel()
	const moves = 1 // the broker
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	b := benchOf(t, kafka.Config{Brokers: cluster.ListenAddrs()[:1]})
	b.input(1, 1)
	require.NoError(t, cluster.MoveTopicPartition("in", 0, moves))
	m := b.join()
	b.read(m, 1)
	readAgain := func() bool {
		records, _, err := m.fetch(b.Ctx, kafka.TopicPartition{Topic: "in"}, 0)
		return err == nil && len(records) == 1
	}
	b.Within("the record is read again", readAgain)

	require.NoError(t, cluster.RemoveNode(moves))
	_, _, err = cluster.AddNode(moves, 0)
	require.NoError(t, err)
	require.NoError(t, cluster.MoveTopicPartition("in", 0, moves))
	b.Within("the record is read again", readAgain)
}
