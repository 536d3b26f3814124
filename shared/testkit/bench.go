package testkit

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// OnBenches runs a test on each broker, with a bench of its own.
func OnBenches(t *testing.T, test func(b *Bench)) {
	t.Helper()
	t.Parallel()
	OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*Patience)
		t.Cleanup(cancel)
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		t.Cleanup(client.Close)
		test(&Bench{T: t, Ctx: ctx, Cfg: cfg, Client: client, Adm: kadm.NewClient(client)})
	})
}

// Bench is a cluster, and a client of it.
type Bench struct {
	*testing.T

	Ctx    context.Context //nolint:containedctx // the test's deadline
	Cfg    kafka.Config
	Client *kgo.Client
	Adm    *kadm.Client
}

// Topic makes a topic; names carry no prefix here.
func (b *Bench) Topic(name string, partitions int32) {
	b.Helper()
	_, err := b.Adm.CreateTopic(b.Ctx, partitions, -1, nil, b.Cfg.Topic(name))
	require.NoError(b, err)
	b.Within("topic "+name+" is known", func() bool {
		ends, err := b.Adm.ListEndOffsets(b.Ctx, b.Cfg.Topic(name))
		return err == nil && ends.Error() == nil && len(ends[b.Cfg.Topic(name)]) == int(partitions)
	})
}

// Within waits for a condition.
func (b *Bench) Within(what string, holds func() bool) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-b.Ctx.Done():
			require.Fail(b, "waited in vain", what)
		}
	}
}

// Record is one with the key "k".
func (b *Bench) Record(topic, value string) *kgo.Record {
	return &kgo.Record{Topic: b.Cfg.Topic(topic), Key: []byte("k"), Value: []byte(value)}
}

// Feed writes n records "0", "1", … to partition after partition of a topic.
func (b *Bench) Feed(topic string, partitions int32, n int) {
	b.Helper()
	client, err := kgo.NewClient(append(b.Cfg.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(b, err)
	defer client.Close()
	for p := range partitions {
		for i := range n {
			r := b.Record(topic, strconv.Itoa(i))
			r.Partition = p
			require.NoError(b, client.ProduceSync(b.Ctx, r).FirstErr())
		}
	}
}

// Visible is what a read_committed reader finds in the topic "out", of one partition. It writes a last record and reads up to
// that, so it also fails when an open transaction holds readers up.
func (b *Bench) Visible() []string {
	b.Helper()
	const topic, last = "out", "the end"
	end, err := b.Client.ProduceSync(b.Ctx, b.Record(topic, last)).First()
	require.NoError(b, err)
	reader, err := kgo.NewClient(append(b.Cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.Cfg.Topic(topic): {0: kgo.NewOffset().AtStart()}}))...)
	require.NoError(b, err)
	defer reader.Close()
	values := []string{}
	for next := int64(0); next <= end.Offset; {
		fetches := reader.PollFetches(b.Ctx)
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

// StartAt commits a group's position in all partitions of a topic, as `topics ensure` does.
func (b *Bench) StartAt(group, topic string, partitions int32, offset int64) {
	b.Helper()
	offsets := kadm.Offsets{}
	for p := range partitions {
		offsets.AddOffset(b.Cfg.Topic(topic), p, offset, -1)
	}
	b.Within("the group's coordinator is ready", func() bool {
		return b.Adm.CommitAllOffsets(b.Ctx, b.Cfg.Group(group), offsets) == nil
	})
}

// Committed is a group's position in partition 0 of a topic.
func (b *Bench) Committed(group, topic string) (int64, string) {
	b.Helper()
	var at kadm.OffsetResponse
	b.Within("no position is pending", func() bool {
		offsets, err := b.Adm.FetchOffsets(kadm.RequireStable(b.Ctx), b.Cfg.Group(group))
		if err != nil || offsets.Error() != nil {
			return false
		}
		at, _ = offsets.Lookup(b.Cfg.Topic(topic), 0)
		return true
	})
	return at.At, at.Metadata
}

// Receive waits for what comes from a channel.
func Receive[T any](b *Bench, from <-chan T, what string) T {
	b.Helper()
	select {
	case v := <-from:
		return v
	case <-b.Ctx.Done():
		require.Fail(b, "waited in vain", what)
		panic("unreachable")
	}
}
