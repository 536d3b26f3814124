package testkit

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Topic makes a topic of one partition and returns its name with the prefix.
func Topic(t *testing.T, cfg kafka.Config, name string) string {
	t.Helper()
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	forever := map[string]*string{"retention.ms": kadm.StringPtr("-1"), "retention.bytes": kadm.StringPtr("-1")}
	CreateTopic(t, kadm.NewClient(client), 1, forever, cfg.Topic(name))
	return cfg.Topic(name)
}

// CreateTopic makes a topic and waits until the broker knows it: Apache Kafka's controller answers a moment before.
func CreateTopic(t testing.TB, adm *kadm.Client, partitions int32, configs map[string]*string, name string) {
	t.Helper()
	_, err := adm.CreateTopic(t.Context(), partitions, 1, configs, name)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		topics, err := adm.ListTopics(t.Context(), name)
		return err == nil && topics[name].Err == nil && len(topics[name].Partitions) == int(partitions)
	}, AwaitTimeout, 10*time.Millisecond, "topic %s does not appear", name)
}

// FillWithTransactions writes records of 1 KiB in transactions of ten, of which each third is aborted: of eleven offsets,
// ten are records, which begin with their transaction's number, and the last is the transaction's marker.
func FillWithTransactions(t *testing.T, cfg kafka.Config, topic string, transactions int) {
	t.Helper()
	client, err := kgo.NewClient(append(cfg.Options(), kgo.TransactionalID(cfg.Prefix+"fill"), kgo.DefaultProduceTopic(topic))...)
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
