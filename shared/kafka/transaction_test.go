package kafka_test

import (
	"context"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// consuming is a bench where a member of group "g" has read five records of "in" and may write to "out".
func consuming(b *bench) (*member, *kafka.Tracker) {
	b.Helper()
	b.topic("in", 1)
	b.topic("out", 1)
	b.feed("in", 1, 5)
	b.startAt("g", "in", 1, 0)
	m := b.join()
	assigned := await(b, m.assigned, "an assignment")
	require.Len(b, assigned, 1)
	for _, r := range b.read(m, 5) {
		require.True(b, assigned[0].Tracker.Begin(r.Offset))
	}
	return m, assigned[0].Tracker
}

func TestABatchAndItsOffsetsAreVisibleTogether(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, tracker := consuming(b)
		position, metadata, err := tracker.Snapshot([]int64{0, 2, 4})
		require.NoError(b, err)
		batch := b.batch("a", "b", "c")
		batch.Offsets = []kafka.GroupOffsets{b.offsets(m, position, metadata)}
		require.NoError(b, b.producer().Commit(b.ctx, batch))

		at, kept := b.committed("g", "in")
		require.Equal(b, int64(1), at)
		require.Equal(b, metadata, kept)
		require.NotEmpty(b, kept)
		require.Equal(b, []string{"a", "b", "c"}, b.visible())
		positions, err := m.Committed(b.ctx)
		require.NoError(b, err)
		for offset, done := range []bool{true, false, true, false, true} {
			require.Equal(b, done, positions.Done(b.cfg.Topic("in"), 0, int64(offset)), "offset %d", offset)
		}
	})
}

func TestWhatIsDoneBeyondAGapIsSkippedByTheNextMember(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, tracker := consuming(b)
		position, metadata, err := tracker.Snapshot([]int64{0, 2, 4})
		require.NoError(b, err)
		batch := b.batch("a")
		batch.Offsets = []kafka.GroupOffsets{b.offsets(m, position, metadata)}
		require.NoError(b, b.producer().Commit(b.ctx, batch))
		m.Close()
		await(b, m.revoked, "the revocation of the one that leaves")

		next := b.join()
		assigned := await(b, next.assigned, "the successor's assignment")
		require.Equal(b, int64(1), assigned[0].Offset)
		again := []int64{}
		for _, r := range b.read(next, 4) {
			if assigned[0].Tracker.Begin(r.Offset) {
				again = append(again, r.Offset)
			}
		}
		require.Equal(b, []int64{1, 3}, again)
	})
}

// A retry hands over the very records of the failed commit. They kept its context, which had ended, so that the new
// client refused them at once and for ever.
func TestABatchWithARecordTooLargeCommitsNothingAndTheRestCanBeCommittedAfterwards(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, _ := consuming(b)
		batch := b.batch("good", incompressible(2<<20), "also good")
		batch.Offsets = []kafka.GroupOffsets{b.offsets(m, 5, "")}
		p := b.producer()
		ctx, cancel := context.WithCancel(b.ctx)
		err := p.Commit(ctx, batch)
		cancel()
		require.ErrorIs(b, err, kerr.MessageTooLarge)
		require.NotErrorIs(b, err, kafka.ErrCommitUnknown)
		require.Empty(b, b.visible())
		at, _ := b.committed("g", "in")
		require.Zero(b, at)

		batch.Records = []*kgo.Record{batch.Records[0], batch.Records[2]}
		require.NoError(b, p.Commit(b.ctx, batch))
		require.Equal(b, []string{"good", "also good"}, b.visible())
		at, _ = b.committed("g", "in")
		require.Equal(b, int64(5), at)
	})
}

func incompressible(n int) string {
	noise := make([]byte, n)
	_, _ = rand.Read(noise)
	return string(noise)
}

// Two users of one id fence each other in turn, which is why a slot guards each id; but neither writes half a batch.
func TestASecondUserOfATransactionalIDFencesTheFirst(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.topic("out", 1)
		first, second := b.producer(), b.producer()
		require.NoError(b, first.Commit(b.ctx, b.batch("first 1")))
		require.NoError(b, second.Open(b.ctx))
		require.Error(b, first.Commit(b.ctx, b.batch("first 2")))
		require.NoError(b, second.Commit(b.ctx, b.batch("second 1")))
		require.NoError(b, first.Commit(b.ctx, b.batch("first 3")), "a new client takes the id back")
		require.Error(b, second.Commit(b.ctx, b.batch("second 2")))
		require.Equal(b, []string{"first 1", "second 1", "first 3"}, b.visible())
	})
}

func TestOpeningEndsTheTransactionOfAHolderThatDied(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.topic("out", 1)
		dead, err := kgo.NewClient(append(b.cfg.Options(), kgo.TransactionalID(b.cfg.Prefix+"p"))...)
		require.NoError(b, err)
		defer dead.Close()
		require.NoError(b, dead.BeginTransaction())
		require.NoError(b, dead.ProduceSync(b.ctx, b.record("out", "of the dead")).FirstErr())

		p := b.producer()
		require.NoError(b, p.Open(b.ctx))
		require.Empty(b, b.visible())
		require.Error(b, dead.EndTransaction(b.ctx, kgo.TryCommit))
		require.NoError(b, p.Commit(b.ctx, b.batch("of the living")))
		require.Equal(b, []string{"of the living"}, b.visible())
	})
}

func TestOffsetsOfSomebodyWhoIsNotAMemberAreRefusedWithTheirRecords(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, _ := consuming(b)
		p := b.producer()
		for name, falsify := range map[string]func(*kafka.GroupOffsets){
			"a stranger":         func(g *kafka.GroupOffsets) { g.Member = "stranger" },
			"an old generation":  func(g *kafka.GroupOffsets) { g.Generation-- },
			"before it is known": func(g *kafka.GroupOffsets) { g.Member = "" },
		} {
			g := b.offsets(m, 5, "")
			falsify(&g)
			batch := b.batch(name)
			batch.Offsets = []kafka.GroupOffsets{g}
			require.ErrorIs(b, p.Commit(b.ctx, batch), kafka.ErrNotOwner, name)
		}
		at, _ := b.committed("g", "in")
		require.Zero(b, at)
		require.Empty(b, b.visible())

		batch := b.batch("the member itself")
		batch.Offsets = []kafka.GroupOffsets{b.offsets(m, 5, "")}
		require.NoError(b, p.Commit(b.ctx, batch))
		require.Equal(b, []string{"the member itself"}, b.visible())
	})
}

func TestOffsetsAloneAreRefused(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, _ := consuming(b)
		p := b.producer()
		err := p.Commit(b.ctx, kafka.Batch{Offsets: []kafka.GroupOffsets{b.offsets(m, 5, "")}})
		require.ErrorIs(b, err, kafka.ErrNoRecords)
		require.NoError(b, p.Commit(b.ctx, b.batch("next")))
		at, _ := b.committed("g", "in")
		require.Zero(b, at, "refused offsets must not ride with the next transaction")
	})
}

// slack is what a call may take beyond its deadline on a busy machine.
const slack = 2 * time.Second

func TestNoCallOutlivesItsDeadlineWhenNoBrokerAnswers(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for name, addr := range map[string]string{"a silent broker": silent.Addr().String(), "a closed port": gone.Addr().String()} {
		p := kafka.NewTxnProducer(kafka.Config{Brokers: []string{addr}}, "p")
		defer p.Close()
		calls := map[string]func(context.Context) error{
			"Open": p.Open,
			"Commit": func(ctx context.Context) error {
				return p.Commit(ctx, kafka.Batch{Records: []*kgo.Record{{Topic: "t"}}})
			},
		}
		for call, do := range calls {
			within(t, 300*time.Millisecond, func(ctx context.Context) { require.Error(t, do(ctx), "%s of %s", call, name) })
		}
	}
}

func within(t *testing.T, d time.Duration, do func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	began := time.Now()
	do(ctx)
	require.Less(t, time.Since(began), d+slack)
}

func TestACommitEndsInTimeWhenTheBrokerGoesAway(t *testing.T) {
	t.Parallel()
	broker, err := devkafka.Start(t.TempDir(), 0)
	require.NoError(t, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addrs()...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, -1, nil, "t")
	require.NoError(t, err)
	p := kafka.NewTxnProducer(kafka.Config{Brokers: broker.Addrs()}, "p")
	defer p.Close()
	batch := kafka.Batch{Records: []*kgo.Record{{Topic: "t", Value: []byte("v")}}}
	require.NoError(t, p.Commit(t.Context(), batch))
	broker.Close()
	within(t, 500*time.Millisecond, func(ctx context.Context) { require.Error(t, p.Commit(ctx, batch)) })
}
