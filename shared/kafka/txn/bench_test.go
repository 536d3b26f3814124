package txn

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// bench is a cluster with producers and members.
type bench struct{ *testkit.Bench }

// onBrokers runs a test on each broker, with a bench of its own.
func onBrokers(t *testing.T, test func(b *bench)) {
	t.Helper()
	testkit.OnBenches(t, func(b *testkit.Bench) { test(&bench{b}) })
}

// input makes the topic "in" with n records in each partition, and puts the group "g" at its start.
func (b *bench) input(partitions int32, n int) {
	b.Helper()
	b.Topic("in", partitions)
	b.Feed("in", partitions, n)
	b.StartAt("g", "in", partitions, 0)
}

func (b *bench) producer() *Producer {
	b.Helper()
	p := NewProducer(b.Cfg, "p")
	b.Cleanup(p.Close)
	return p
}

func (b *bench) batch(values ...string) Batch {
	batch := Batch{}
	for _, v := range values {
		batch.Records = append(batch.Records, b.Record("out", v))
	}
	return batch
}

// testMember is a member of a group, with the calls of its callbacks.
type testMember struct {
	*member

	assigned chan []assigned
	revoked  chan struct{}
}

// join makes a member of the group "g", which reads the topic "in".
func (b *bench) join() *testMember {
	b.Helper()
	return b.joinThen(func() {})
}

// joinThen makes a member that calls then after each assignment, before the first fetch.
func (b *bench) joinThen(then func()) *testMember {
	b.Helper()
	m := &testMember{assigned: make(chan []assigned, 10), revoked: make(chan struct{}, 10)}
	joined, err := join(b.Cfg, "g", []string{"in"}, slog.New(slog.DiscardHandler), callbacks{
		patient: func() bool { return false },
		assigned: func(p []assigned) {
			m.assigned <- p
			then()
		},
		revoked: func() { m.revoked <- struct{}{} },
		lost:    func() { m.revoked <- struct{}{} },
	})
	require.NoError(b, err)
	b.Cleanup(joined.close)
	m.member = joined
	return m
}

// read polls until it has n records.
func (b *bench) read(m *testMember, n int) []*kgo.Record {
	b.Helper()
	var records []*kgo.Record
	for len(records) < n {
		fetches, err := m.poll(b.Ctx, n-len(records))
		require.NoError(b, err)
		records = append(records, fetches.Records()...)
		m.client.AllowRebalance()
		require.NoError(b, b.Ctx.Err())
	}
	return records
}

// offsets returns the member's position in partition 0 of "in".
func (b *bench) offsets(m *testMember, offset int64, metadata string) *Offsets {
	b.Helper()
	o, err := m.offsets(b.Ctx)
	require.NoError(b, err)
	o.Add(b.Cfg.Topic("in"), 0, Offset{At: offset, Metadata: metadata})
	return o
}
