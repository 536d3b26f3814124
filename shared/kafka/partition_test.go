package kafka_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Somebody adds partitions while the connector runs: an order's records still go to the partition of its earlier ones. Other
// people's topics use all the partitions they have.
func TestAddedPartitionsDoNotMoveAnOrdersRecords(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		cfg.Partitions = 3
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		defer client.Close()
		adm := kadm.NewClient(client)
		ours, other := cfg.Topic(event.TopicRequested), cfg.Topic("mails")
		_, err = adm.CreateTopics(t.Context(), 3, 1, nil, ours, other)
		require.NoError(t, err)
		written := func(topic string) (partitions map[string]int32) {
			partitions = map[string]int32{}
			for i := range 40 {
				key := fmt.Sprint("order ", i)
				r, err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key)}).First()
				require.NoError(t, err)
				partitions[key] = r.Partition
			}
			return partitions
		}
		before := written(ours)
		for key, partition := range before {
			require.Equal(t, cfg.PartitionOf(ours, []byte(key), 7), partition)
		}
		responses, err := adm.UpdatePartitions(t.Context(), 7, ours, other)
		require.NoError(t, err)
		require.NoError(t, responses.Error())
		require.Eventually(t, func() bool {
			client.ForceMetadataRefresh()
			for _, partition := range written(other) {
				if partition > 2 {
					return true
				}
			}
			return false
		}, testkit.Patience, 1)
		require.Equal(t, before, written(ours))
	})
}
