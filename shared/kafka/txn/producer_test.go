package txn

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
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// consuming is a bench where a member of group "g" has read five records of "in" and may write to "out".
func consuming(b *bench) (*testMember, *tracker) {
	b.Helper()
	b.input(1, 5)
	b.Topic("out", 1)
	m := b.join()
	assigned := testkit.Receive(b.Bench, m.assigned, "an assignment")
	require.Len(b, assigned, 1)
	tracker := assigned[0].tracker()
	for _, r := range b.read(m, 5) {
		require.True(b, tracker.begin(r.Offset))
	}
	return m, tracker
}

func TestABatchAndItsOffsetsAreVisibleTogether(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, tracker := consuming(b)
		position, metadata, err := tracker.snapshot([]int64{0, 2, 4})
		require.NoError(b, err)
		batch := b.batch("a", "b", "c")
		batch.Offsets = b.offsets(m, position, metadata)
		require.NoError(b, b.producer().Commit(b.Ctx, batch))

		at, kept := b.Committed("g", "in")
		require.Equal(b, int64(1), at)
		require.Equal(b, metadata, kept)
		require.NotEmpty(b, kept)
		require.Equal(b, []string{"a", "b", "c"}, b.Visible())
		positions, err := ReadPositions(b.Ctx, b.Cfg, b.Adm, "g")
		require.NoError(b, err)
		for offset, done := range []bool{true, false, true, false, true} {
			require.Equal(b, done, positions.Done(b.Cfg.Topic("in"), 0, 0, int64(offset)), "offset %d", offset)
		}
	})
}

func TestWhatIsDoneBeyondAGapIsSkippedByTheNextMember(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, tracker := consuming(b)
		position, metadata, err := tracker.snapshot([]int64{0, 2, 4})
		require.NoError(b, err)
		batch := b.batch("a")
		batch.Offsets = b.offsets(m, position, metadata)
		require.NoError(b, b.producer().Commit(b.Ctx, batch))
		m.close()
		testkit.Receive(b.Bench, m.revoked, "the revocation of the one that leaves")

		next := b.join()
		assigned := testkit.Receive(b.Bench, next.assigned, "the successor's assignment")
		restored := assigned[0].tracker()
		require.Equal(b, int64(1), restored.position)
		fresh := []int64{}
		for _, r := range b.read(next, 4) {
			if restored.begin(r.Offset) {
				fresh = append(fresh, r.Offset)
			}
		}
		require.Equal(b, []int64{1, 3}, fresh)
	})
}

// A retry passes the same records as the failed commit. Symptom: they kept its context, which had ended, so that the
// new client refused them at once and for ever.
func TestABatchWithARecordTooLargeCommitsNothingAndTheRestCanBeCommittedAfterwards(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, _ := consuming(b)
		batch := b.batch("good", incompressible(2<<20), "also good")
		batch.Offsets = b.offsets(m, 5, "")
		p := b.producer()
		ctx, cancel := context.WithCancel(b.Ctx)
		err := p.Commit(ctx, batch)
		cancel()
		require.ErrorIs(b, err, kerr.MessageTooLarge)
		require.NotErrorIs(b, err, ErrCommitUnknown)
		require.Empty(b, b.Visible())
		at, _ := b.Committed("g", "in")
		require.Zero(b, at)

		batch.Records = []*kgo.Record{batch.Records[0], batch.Records[2]}
		require.NoError(b, p.Commit(b.Ctx, batch))
		require.Equal(b, []string{"good", "also good"}, b.Visible())
		at, _ = b.Committed("g", "in")
		require.Equal(b, int64(5), at)
	})
}

func incompressible(n int) string {
	noise := make([]byte, n)
	_, _ = rand.Read(noise)
	return string(noise)
}

// Two users of one id fence each other in turn, which is why a lease guards each id. But neither writes half a batch.
func TestASecondUserOfATransactionalIDFencesTheFirst(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.Topic("out", 1)
		first, second := b.producer(), b.producer()
		require.NoError(b, first.Commit(b.Ctx, b.batch("first 1")))
		require.NoError(b, second.Open(b.Ctx))
		require.Error(b, first.Commit(b.Ctx, b.batch("first 2")))
		require.NoError(b, second.Commit(b.Ctx, b.batch("second 1")))
		require.NoError(b, first.Commit(b.Ctx, b.batch("first 3")), "a new client takes the id back")
		require.Error(b, second.Commit(b.Ctx, b.batch("second 2")))
		require.Equal(b, []string{"first 1", "second 1", "first 3"}, b.Visible())
	})
}

func TestOpeningEndsTheTransactionOfAUserThatDied(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.Topic("out", 1)
		dead, err := kgo.NewClient(append(b.Cfg.Options(), kgo.TransactionalID(b.Cfg.Prefix+"p"))...)
		require.NoError(b, err)
		defer dead.Close()
		require.NoError(b, dead.BeginTransaction())
		require.NoError(b, dead.ProduceSync(b.Ctx, b.Record("out", "of the dead")).FirstErr())

		p := b.producer()
		require.NoError(b, p.Open(b.Ctx))
		require.Empty(b, b.Visible())
		require.Error(b, dead.EndTransaction(b.Ctx, kgo.TryCommit))
		require.NoError(b, p.Commit(b.Ctx, b.batch("of the living")))
		require.Equal(b, []string{"of the living"}, b.Visible())
	})
}

func TestOffsetsOfANonMemberAreRefusedWithTheirRecords(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, _ := consuming(b)
		p := b.producer()
		for name, falsify := range map[string]func(*Offsets){
			"an unknown member":  func(g *Offsets) { g.Member = "unknown" },
			"an old generation":  func(g *Offsets) { g.Generation-- },
			"before it is known": func(g *Offsets) { g.Member = "" },
		} {
			g := b.offsets(m, 5, "")
			falsify(g)
			batch := b.batch(name)
			batch.Offsets = g
			require.ErrorIs(b, p.Commit(b.Ctx, batch), ErrNotOwner, name)
		}
		at, _ := b.Committed("g", "in")
		require.Zero(b, at)
		require.Empty(b, b.Visible())

		batch := b.batch("the member itself")
		batch.Offsets = b.offsets(m, 5, "")
		require.NoError(b, p.Commit(b.Ctx, batch))
		require.Equal(b, []string{"the member itself"}, b.Visible())
	})
}

func TestOffsetsAloneAreRefused(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, _ := consuming(b)
		p := b.producer()
		err := p.Commit(b.Ctx, Batch{Offsets: b.offsets(m, 5, "")})
		require.ErrorIs(b, err, ErrNoRecords)
		require.NoError(b, p.Commit(b.Ctx, b.batch("next")))
		at, _ := b.Committed("g", "in")
		require.Zero(b, at, "refused offsets must not ride with the next transaction")
	})
}

// slack is how much longer than its deadline a call may take on a busy machine.
const slack = 2 * time.Second

func TestNoCallOutlivesItsDeadlineWhenNoBrokerAnswers(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and answers nothing
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for name, addr := range map[string]string{"a silent broker": silent.Addr().String(), "a closed port": gone.Addr().String()} {
		p := NewProducer(kafka.Config{Brokers: []string{addr}}, "p")
		defer p.Close()
		calls := map[string]func(context.Context) error{
			"Open": p.Open,
			"Commit": func(ctx context.Context) error {
				return p.Commit(ctx, Batch{Records: []*kgo.Record{{Topic: "t"}}})
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
	p := NewProducer(kafka.Config{Brokers: broker.Addrs()}, "p")
	defer p.Close()
	batch := Batch{Records: []*kgo.Record{{Topic: "t", Value: []byte("v")}}}
	require.NoError(t, p.Commit(t.Context(), batch))
	broker.Close()
	within(t, 500*time.Millisecond, func(ctx context.Context) { require.Error(t, p.Commit(ctx, batch)) })
}
