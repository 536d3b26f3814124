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

// onBrokers runs a story on each broker, with a bench of its own.
func onBrokers(t *testing.T, story func(b *bench)) {
	t.Helper()
	testkit.OnBenches(t, func(b *testkit.Bench) { story(&bench{b}) })
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

// testMember is a member of a group and what its callbacks were told.
type testMember struct {
	*member

	assigned chan []assigned
	revoked  chan struct{}
}

// join makes a member of the group "g", which reads the topic "in".
func (b *bench) join() *testMember {
	b.Helper()
	return b.joinOnce(func() {})
}

// joinOnce makes a member that does something between being assigned its partitions and its first fetch from them.
func (b *bench) joinOnce(then func()) *testMember {
	b.Helper()
	m := &testMember{assigned: make(chan []assigned, 10), revoked: make(chan struct{}, 10)}
	joined, err := join(b.Cfg, "g", []string{"in"}, slog.New(slog.DiscardHandler), callbacks{
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

// read polls until n records are there.
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

// offsets are positions of partition 0 of "in" in the member's name.
func (b *bench) offsets(m *testMember, offset int64, metadata string) *Offsets {
	b.Helper()
	o, err := m.offsets(b.Ctx)
	require.NoError(b, err)
	o.Add(b.Cfg.Topic("in"), 0, Offset{At: offset, Metadata: metadata})
	return o
}
