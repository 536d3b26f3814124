package txn

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// replicated makes a topic. Each of its partitions has replicas on the given brokers, and takes records while two are
// in sync.
func replicated(b *testkit.Bench, topic string, replicas ...[]int32) {
	b.Helper()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = b.Cfg.Topic(topic), -1, -1
	for partition, brokers := range replicas {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(partition), brokers
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	t.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "min.insync.replicas", Value: kadm.StringPtr("2")}}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = []kmsg.CreateTopicsRequestTopic{t}
	resp, err := req.RequestWith(b.Ctx, b.Client)
	require.NoError(b, err)
	require.NoError(b, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
}

// toLanes sends a record to each lane.
func toLanes(b *testkit.Bench, value string, lanes int) {
	b.Helper()
	var records []*kgo.Record
	for i, found := 0, map[int32]bool{}; len(found) < lanes; i++ {
		key := fmt.Sprint("key ", i)
		lane := b.Cfg.PartitionOf(b.Cfg.Topic("in"), []byte(key), lanes)
		if !found[lane] {
			found[lane] = true
			records = append(records, &kgo.Record{Topic: b.Cfg.Topic("in"), Key: []byte(key), Value: fmt.Appendf(nil, "%s %d", value, lane)})
		}
	}
	require.NoError(b, b.Client.ProduceSync(b.Ctx, records...).FirstErr())
}

// A partition without enough replicas takes no records, and the transaction that has written to it blocks its id.
// Symptom: all partitions stopped until that one was back.
func TestAnUnavailablePartitionDelaysNoOther(t *testing.T) {
	t.Parallel()
	cluster := testkit.OwnCluster(t)
	cfg := kafka.Config{Brokers: cluster.Addrs(), Prefix: "u."}
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*testkit.Patience)
	defer cancel()
	b := &testkit.Bench{T: t, Ctx: ctx, Cfg: cfg, Client: client, Adm: kadm.NewClient(client)}
	const lanes = 3
	replicated(b, "in", []int32{1, 3, 2}, []int32{1, 3, 2}, []int32{3, 1, 2})
	replicated(b, "out", []int32{1, 2}, []int32{1, 3}, []int32{3, 1})
	replicated(b, "markers", []int32{1, 3, 2})
	b.StartAt("g", "in", lanes, 0)
	c, stop := copying(b, quiet)
	defer stop()
	copied := watching(b)

	toLanes(b, "before", lanes)
	copied.await("before 0", "before 1", "before 2")
	cluster[1].Kill()
	for round := range 20 { // long enough that the first lane is held in the middle
		toLanes(b, fmt.Sprint("during ", round), lanes)
		began := time.Now()
		copied.await(fmt.Sprintf("during %d 1", round), fmt.Sprintf("during %d 2", round))
		if took := time.Since(began); round == 0 || took > time.Second {
			t.Logf("round %d: the other lanes waited %s", round, took.Round(10*time.Millisecond))
		}
	}
	require.False(t, copied.has("during 0 0"))
	cluster[1].Start(t)
	for round := range 20 {
		copied.await(fmt.Sprintf("during %d 0", round))
	}
	toLanes(b, "after", lanes)
	copied.await("after 0", "after 1", "after 2")
	stop()
	require.Len(t, copied.order, 66)
	require.True(t, copied.once(), "%v", copied.order)
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Zero(t, c.refused)
	require.Zero(t, c.dropped)
	require.NotZero(t, c.resumed)
}

// watcher is a read_committed reader of "out" that counts what it reads.
type watcher struct {
	b      *testkit.Bench
	client *kgo.Client
	order  []string
	seen   map[string]int
}

func watching(b *testkit.Bench) *watcher {
	b.Helper()
	client, err := kgo.NewClient(append(b.Cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(b.Cfg.Topic("out")))...)
	require.NoError(b, err)
	b.Cleanup(client.Close)
	return &watcher{b: b, client: client, seen: map[string]int{}}
}

func (w *watcher) await(values ...string) {
	w.b.Helper()
	for {
		missing := ""
		for _, v := range values {
			if w.seen[v] == 0 {
				missing = v
			}
		}
		if missing == "" {
			return
		}
		fetches := w.client.PollFetches(w.b.Ctx)
		require.NoError(w.b, w.b.Ctx.Err(), "%q was not copied; these were: %v", missing, w.order)
		fetches.EachRecord(func(r *kgo.Record) {
			w.order = append(w.order, string(r.Value))
			w.seen[string(r.Value)]++
		})
	}
}

func (w *watcher) has(value string) bool { return w.seen[value] > 0 }

func (w *watcher) once() bool {
	for _, n := range w.seen {
		if n != 1 {
			return false
		}
	}
	return true
}
