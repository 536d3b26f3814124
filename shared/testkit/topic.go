package testkit

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
)

// Topic makes a topic of one partition and returns its name with the prefix.
func Topic(t *testing.T, cfg kafka.Config, name string) string {
	t.Helper()
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	forever := map[string]*string{"retention.ms": kadm.StringPtr("-1"), "retention.bytes": kadm.StringPtr("-1")}
	return CreateTopic(t, client, 1, forever, cfg.Topic(name))
}

// CreateTopic makes a topic and returns its name once the brokers know it: Apache Kafka confirms it a moment before.
func CreateTopic(t testing.TB, client *kgo.Client, partitions int32, configs map[string]*string, name string) string {
	t.Helper()
	adm := kadm.NewClient(client)
	_, err := adm.CreateTopic(t.Context(), partitions, 1, configs, name)
	require.NoError(t, err)
	Eventually(t, func() bool {
		ends, err := adm.ListEndOffsets(t.Context(), name)
		return err == nil && ends.Error() == nil && len(ends[name]) == int(partitions)
	}, "the brokers do not know topic %s", name)
	return name
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

// WithTopics is an embedded broker that has the connector's topics, and a client of it.
func WithTopics(t *testing.T, partitions int) (kafka.Config, *kgo.Client) {
	t.Helper()
	cfg := EmbeddedBroker(t)
	admin, err := topics.NewAdmin(cfg, partitions)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return cfg, client
}
