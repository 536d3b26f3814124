package kafka_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// onBrokers runs a story on each broker, with a bench of its own.
func onBrokers(t *testing.T, story func(b *bench)) {
	t.Helper()
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		t.Cleanup(cancel)
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		t.Cleanup(client.Close)
		story(&bench{T: t, ctx: ctx, cfg: cfg, client: client, adm: kadm.NewClient(client)})
	})
}

// bench is a cluster as somebody outside the package sees it.
type bench struct {
	*testing.T

	ctx    context.Context //nolint:containedctx // the test's deadline
	cfg    kafka.Config
	client *kgo.Client
	adm    *kadm.Client
}

// topic makes a topic; names carry no prefix here.
func (b *bench) topic(name string, partitions int32) {
	b.Helper()
	_, err := b.adm.CreateTopic(b.ctx, partitions, -1, nil, b.cfg.Topic(name))
	require.NoError(b, err)
	b.within("topic "+name+" is known", func() bool {
		ends, err := b.adm.ListEndOffsets(b.ctx, b.cfg.Topic(name))
		return err == nil && ends.Error() == nil && len(ends[b.cfg.Topic(name)]) == int(partitions)
	})
}

// within waits for a condition.
func (b *bench) within(what string, holds func() bool) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			require.Fail(b, "waited in vain", what)
		}
	}
}

func (b *bench) record(topic, value string) *kgo.Record {
	return &kgo.Record{Topic: b.cfg.Topic(topic), Key: []byte("k"), Value: []byte(value)}
}

// feed writes n records "0", "1", … to partition after partition of a topic.
func (b *bench) feed(topic string, partitions int32, n int) {
	b.Helper()
	client, err := kgo.NewClient(append(b.cfg.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(b, err)
	defer client.Close()
	for p := range partitions {
		for i := range n {
			r := b.record(topic, strconv.Itoa(i))
			r.Partition = p
			require.NoError(b, client.ProduceSync(b.ctx, r).FirstErr())
		}
	}
}

// visible is what a read_committed reader finds in the topic "out", of one partition. It writes a last record and reads up to
// that, so it also fails when an open transaction holds readers up.
func (b *bench) visible() []string {
	b.Helper()
	const topic, last = "out", "the end"
	end, err := b.client.ProduceSync(b.ctx, b.record(topic, last)).First()
	require.NoError(b, err)
	reader, err := kgo.NewClient(append(b.cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.cfg.Topic(topic): {0: kgo.NewOffset().AtStart()}}))...)
	require.NoError(b, err)
	defer reader.Close()
	values := []string{}
	for next := int64(0); next <= end.Offset; {
		fetches := reader.PollFetches(b.ctx)
		require.NoError(b, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if string(r.Value) != last {
				values = append(values, string(r.Value))
			}
		})
	}
	return values
}

// startAt commits a group's position in all partitions of a topic, as `topics ensure` does.
func (b *bench) startAt(group, topic string, partitions int32, offset int64) {
	b.Helper()
	offsets := kadm.Offsets{}
	for p := range partitions {
		offsets.AddOffset(b.cfg.Topic(topic), p, offset, -1)
	}
	b.within("the group's coordinator is ready", func() bool {
		return b.adm.CommitAllOffsets(b.ctx, b.cfg.Group(group), offsets) == nil
	})
}

// committed is a group's position in partition 0 of a topic.
func (b *bench) committed(group, topic string) (int64, string) {
	b.Helper()
	var at kadm.OffsetResponse
	b.within("no position is pending", func() bool {
		offsets, err := b.adm.FetchOffsets(kadm.RequireStable(b.ctx), b.cfg.Group(group))
		if err != nil || offsets.Error() != nil {
			return false
		}
		at, _ = offsets.Lookup(b.cfg.Topic(topic), 0)
		return true
	})
	return at.At, at.Metadata
}

func (b *bench) producer() *kafka.TxnProducer {
	b.Helper()
	p := kafka.NewTxnProducer(b.cfg, "p")
	b.Cleanup(p.Close)
	return p
}

func (b *bench) batch(values ...string) kafka.Batch {
	batch := kafka.Batch{}
	for _, v := range values {
		batch.Records = append(batch.Records, b.record("out", v))
	}
	return batch
}

// member is a member of a group and what its callbacks were told.
type member struct {
	*kafka.GroupConsumer

	assigned chan []kafka.AssignedPartition
	revoked  chan struct{}
}

// join makes a member of the group "g", which reads the topic "in".
func (b *bench) join() *member {
	b.Helper()
	return b.joinOnce(func() {})
}

// joinOnce makes a member that does something between being assigned its partitions and its first fetch from them.
func (b *bench) joinOnce(assigned func()) *member {
	b.Helper()
	m := &member{assigned: make(chan []kafka.AssignedPartition, 10), revoked: make(chan struct{}, 10)}
	consumer, err := kafka.NewGroupConsumer(b.cfg, kafka.Consumer{
		Group: "g", Topics: []string{"in"},
		OnAssigned: func(p []kafka.AssignedPartition) {
			m.assigned <- p
			assigned()
		},
		OnRevoked: func() { m.revoked <- struct{}{} },
		OnLost:    func() { m.revoked <- struct{}{} },
	})
	require.NoError(b, err)
	b.Cleanup(consumer.Close)
	m.GroupConsumer = consumer
	return m
}

func await[T any](b *bench, from <-chan T, what string) T {
	b.Helper()
	select {
	case v := <-from:
		return v
	case <-b.ctx.Done():
		require.Fail(b, "waited in vain", what)
		panic("unreachable")
	}
}

// read polls until n records are there.
func (b *bench) read(m *member, n int) []*kgo.Record {
	b.Helper()
	var records []*kgo.Record
	for len(records) < n {
		fetches, err := m.Poll(b.ctx, n-len(records))
		require.NoError(b, err)
		records = append(records, fetches.Records()...)
		m.AllowRebalance()
		require.NoError(b, b.ctx.Err())
	}
	return records
}

// offsets are positions of partition 0 of "in" in the member's name.
func (b *bench) offsets(m *member, offset int64, metadata string) kafka.GroupOffsets {
	b.Helper()
	g, err := m.GroupOffsets(b.ctx)
	require.NoError(b, err)
	g.Add(b.cfg.Topic("in"), 0, kafka.OffsetMeta{Offset: offset, LeaderEpoch: -1, Metadata: metadata})
	return g
}
