//go:build full

// The relay on three brokers of which too few are there for one partition. It takes half a minute; in the ordinary run the same is
// proven for the transactions (shared/kafka/txn), and for the whole product by the crash harness in the gate.

package relay_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Symptom: a partition without enough replicas stopped the whole relay, which retried the same batch. Now only its rows
// wait, also over a change of the leader. Each row goes out once, in the order of its key.
func TestAnUnavailablePartitionDelaysNoOther(t *testing.T) {
	cluster := testkit.OwnCluster(t)
	cfg := kafka.Config{Brokers: cluster.Addrs(), Prefix: "u.", Partitions: 3}
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 4*testkit.Patience)
	defer cancel()
	b := &bundle{ctx: ctx, pool: testkit.Postgres(t).Pool, brokers: cfg.Brokers, prefix: cfg.Prefix}
	topic := func(name string, replicas ...[]int32) {
		c := kmsg.NewCreateTopicsRequestTopic()
		c.Topic, c.NumPartitions, c.ReplicationFactor = cfg.Topic(name), -1, -1
		for partition, brokers := range replicas {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = int32(partition), brokers
			c.ReplicaAssignment = append(c.ReplicaAssignment, a)
		}
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Topics = []kmsg.CreateTopicsRequestTopic{c}
		resp, err := req.RequestWith(ctx, client)
		require.NoError(t, err)
		require.NoError(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	}
	topic(event.TopicPosition, []int32{1, 2, 3})
	topic(event.TopicRequested, []int32{1, 2}, []int32{1, 3}, []int32{3, 1})
	keys := map[int32]string{} // of each partition
	for i := 0; len(keys) < 3; i++ {
		key := fmt.Sprint("key ", i)
		keys[cfg.PartitionOf(cfg.Topic(event.TopicRequested), []byte(key), 3)] = key
	}
	write := func() {
		for partition := range int32(3) {
			b.add(t, event.Record{Topic: event.TopicRequested, Key: keys[partition], Value: []byte("x")})
		}
	}
	got := &received{t: t, ctx: ctx, client: b.consumer(t), byPartition: map[int32][]string{}}

	stop := b.startWith(t, cfg)
	write() // 1 2 3
	got.await(0, 1)
	got.await(1, 1)
	got.await(2, 1)
	cluster[1].Kill()
	for round := range 30 {
		write()
		began := time.Now()
		got.await(1, round+2)
		got.await(2, round+2)
		if took := time.Since(began); round == 0 || took > time.Second {
			t.Logf("round %d: the other partitions waited %s", round, took.Round(10*time.Millisecond))
		}
		if round == 10 { // another one leads
			require.NoError(t, stop())
			stop = b.startWith(t, cfg)
		}
	}
	require.Len(t, got.byPartition[0], 1)
	cluster[1].Start(t)
	began := time.Now()
	got.await(0, 31)
	t.Logf("the partition has caught up %s after its broker was back", time.Since(began).Round(10*time.Millisecond))
	write()
	for partition := range int32(3) {
		got.await(partition, 32)
	}
	require.NoError(t, stop())
	for partition, ids := range got.byPartition {
		for i, id := range ids {
			require.Equal(t, fmt.Sprint(3*i+int(partition)+1), id, "partition %d", partition)
		}
	}
}

// received is what a read_committed consumer has read, by partition.
type received struct {
	t           *testing.T
	ctx         context.Context //nolint:containedctx // the test's
	client      *kgo.Client
	byPartition map[int32][]string
}

func (r *received) await(partition int32, n int) {
	r.t.Helper()
	for len(r.byPartition[partition]) < n {
		fetches := r.client.PollFetches(r.ctx)
		require.NoError(r.t, r.ctx.Err(), "partition %d has %d of %d", partition, len(r.byPartition[partition]), n)
		fetches.EachRecord(func(rec *kgo.Record) {
			r.byPartition[rec.Partition] = append(r.byPartition[rec.Partition], string(kafka.Header(rec, event.HeaderID)))
		})
	}
}
