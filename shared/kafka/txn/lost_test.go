package txn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// onEmbedded runs a test on the embedded broker: for what the broker does not decide.
func onEmbedded(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Parallel()
	testkit.OnEmbedded(t, func(t *testing.T, cfg kafka.Config) {
		t.Helper()
		test(benchOf(t, cfg))
	})
}

// benchOf is a bench on a cluster of the test's own.
func benchOf(t *testing.T, cfg kafka.Config) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*testkit.Patience)
	t.Cleanup(cancel)
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &bench{&testkit.Bench{T: t, Ctx: ctx, Cfg: cfg, Client: client, Adm: kadm.NewClient(client)}}
}

// The answer to a commit is lost, and the brokers have carried it out: nothing is written a second time.
func TestACommitWhoseAnswerIsLostIsNotRepeated(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		prepared(b)
		network := &testkit.Network{}
		c, session, stop := copySessionOver(b, network.Dial)
		b.send("1")
		require.Len(b, b.copied(1), 1)
		refused := network.LoseAnswer(testkit.EndTxn)
		b.send("2", "3", "4")
		testkit.Await(b, refused)
		network.Up()
		b.send("5")
		require.ElementsMatch(b, []string{"1", "2", "3", "4", "5"}, b.copied(5))
		stop()
		require.ElementsMatch(b, []string{"1", "2", "3", "4", "5"}, b.copied(5))
		at, _ := b.Committed("g", "in")
		require.Equal(b, int64(5), at)
		require.Equal(b, []string{"1", "2", "3", "4", "5"}, c.taken, "the handler works on nothing again")
		require.Zero(b, c.dropped)
		require.Equal(b, 5, c.committed())
		require.Nil(b, session.current.Load())
	})
}

// losing is a network that goes down in the place of a request, which the brokers never see.
type losing struct {
	armed, down atomic.Bool
	refused     chan struct{} // closed at the first connection that is refused
	once        sync.Once
}

var errDown = errors.New("the network is down")

func (l *losing) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if l.down.Load() {
		l.once.Do(func() { close(l.refused) })
		return nil, errDown
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &losingConn{conn, l}, err
}

type losingConn struct {
	net.Conn

	l *losing
}

func (c *losingConn) Write(request []byte) (int, error) {
	if len(request) > 5 && request[4] == 0 && request[5] == testkit.EndTxn && c.l.armed.CompareAndSwap(true, false) {
		c.l.down.Store(true)
		_ = c.Close()
		return 0, errDown
	}
	return c.Conn.Write(request)
}

// A commit never reaches the brokers, and the session cannot tell that from a lost answer: what is open is aborted, and written anew.
func TestACommitThatNeverArrivedIsRepeated(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		prepared(b)
		network := &losing{refused: make(chan struct{})}
		c, _, stop := copySessionOver(b, network.dial)
		b.send("1")
		require.Len(b, b.copied(1), 1)
		network.armed.Store(true)
		b.send("2")
		testkit.Await(b, network.refused)
		network.down.Store(false)
		require.Equal(b, []string{"1", "2"}, b.copied(2), "once, and no reader waits for the transaction that was left open")
		b.send("3")
		require.Equal(b, []string{"1", "2", "3"}, b.copied(3))
		stop()
		require.Equal(b, []string{"1", "2", "3"}, c.taken)
		require.Zero(b, c.dropped)
	})
}

func copySessionOver(b *bench, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (c *copier, s *Session, stop func()) {
	b.Helper()
	over := *b.Bench
	over.Cfg.Dial = dial
	return copySession(&over, quiet)
}

// stubborn keeps each task until finish, and offers answers of Take.
type stubborn struct {
	*copier

	takes   func(value string) (bool, time.Duration)
	offers  atomic.Int64
	revoked atomic.Bool
	kept    chan *Task
}

func (s *stubborn) Take(t *Task) (bool, time.Duration) {
	s.offers.Add(1)
	taken, retryIn := s.takes(string(t.Record.Value))
	if taken {
		s.kept <- t
	}
	return taken, retryIn
}

func (s *stubborn) Revoked() { s.revoked.Store(true) }

func stubbornSession(b *bench, takes func(value string) (bool, time.Duration), change func(*Config)) (h *stubborn, s *Session, stop func()) {
	b.Helper()
	h = &stubborn{copier: &copier{cfg: b.Cfg, held: map[string]*Task{}, repeated: map[string]bool{}}, takes: takes, kept: make(chan *Task, 100)}
	cfg := Config{
		Kafka: b.Cfg, Name: "copier", TransactionalID: "s-0", Group: "g", Topics: []string{"in"}, MarkerTopic: "markers",
		PollRecords: 100, Backlog: 1000, BatchTasks: 100, BatchBytes: 1 << 20, Grace: time.Second, IdleCommit: time.Second,
		Log: quiet, Outage: &run.Outage{Began: "failing", Ended: "working"},
	}
	if change != nil {
		change(&cfg)
	}
	s = New(cfg, h)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); require.NoError(b, <-done) })
	b.Cleanup(stop)
	return h, s, stop
}

func always(string) (bool, time.Duration) { return true, 0 }

// At a stop a task under way gets its grace. Then its context ends, it is left to the next owner, and what has finished is committed: no rest
// is taken, which lasts for an hour here.
func TestATaskThatDoesNotEndIsLeftToTheNextOwner(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		prepared(b)
		h, session, stop := stubbornSession(b, always, func(c *Config) { c.Grace, c.Rest = 50*time.Millisecond, time.Hour })
		b.send("slow", "quick", "late")
		slow, quick, late := testkit.Receive(b.Bench, h.kept, "the first"), testkit.Receive(b.Bench, h.kept, "the second"), testkit.Receive(b.Bench, h.kept, "the third")
		b.Within("the partitions are ours", session.Owns)
		var handed sync.WaitGroup
		handed.Go(stop)
		b.Within("told to hand over", h.revoked.Load)
		require.True(b, slow.Stopping())
		quick.Finish(h.copy(quick, "quick"))
		testkit.Await(b, slow.Context().Done())
		late.Finish(h.copy(late, "late")) // its outcome is known, so it still counts
		slow.Abandon()
		handed.Wait()
		require.Equal(b, []string{"quick", "late"}, b.copied(2))
		next, _, stopNext := stubbornSession(b, always, nil)
		again := testkit.Receive(b.Bench, next.kept, "the one that was left")
		require.Equal(b, "slow", string(again.Record.Value))
		require.True(b, again.MayBeRepeated())
		again.Finish(next.copy(again, "slow"))
		require.Equal(b, []string{"quick", "late", "slow"}, b.copied(3))
		stopNext()
		require.Empty(b, next.kept, "the two others are not given again")
	})
}

// A record that is not taken is offered again, and holds back those behind it in its partition: a key keeps its order.
func TestARecordThatIsNotTakenIsOfferedAgain(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		prepared(b)
		var open atomic.Bool
		var seen sync.Map
		h, _, stop := stubbornSession(b, func(value string) (bool, time.Duration) {
			seen.Store(value, true)
			return open.Load(), 20 * time.Millisecond
		}, func(c *Config) { c.Backlog, c.PollRecords = 2, 3 })
		b.send("1", "2", "3", "4", "5", "6", "7", "8")
		b.Within("offered again and again", func() bool { return h.offers.Load() > 5 })
		_, second := seen.Load("2")
		require.False(b, second, "the second waits for the first")
		open.Store(true)
		for _, want := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} { // also those for which the partition was paused
			task := testkit.Receive(b.Bench, h.kept, want)
			require.Equal(b, want, string(task.Record.Value))
			task.Finish()
		}
		stop()
		at, _ := b.Committed("g", "in")
		require.Equal(b, int64(8), at)
		require.Empty(b, b.Visible(), "there was nothing to write")
	})
}

// A handler that has room again need not wait for the next poll, commit or second.
func TestARecordIsOfferedAgainWhenTheHandlerAsks(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		prepared(b)
		h, session, _ := stubbornSession(b, func(string) (bool, time.Duration) { return false, 0 }, nil)
		b.send("1")
		b.Within("offered", func() bool { return h.offers.Load() > 0 })
		b.Within("offered whenever it asks", func() bool {
			session.OfferAgain()
			return h.offers.Load() > 100
		})
	})
}

// Symptom it guards against: a record that the brokers refuse, and so do they what the handler gives in its place, would be tried for
// ever, and with it all that is behind it. Its lane waits, and goes on once the topic takes it.
func TestARecordThatIsRefusedAgainAndAgainHoldsItsLane(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		prepared(b)
		b.limit("out", 20_000)
		large := incompressible(50_000)
		log, held := testkit.Said("a partition takes no records; what is in it waits, others go on")
		h, session, stop := stubbornSession(b, always, func(c *Config) { c.Log = log })
		h.replace = func(t *Task) { t.Replace(h.copy(t, large)) }
		b.send("large")
		task := testkit.Receive(b.Bench, h.kept, "the task")
		task.Finish(h.copy(task, large))
		testkit.Await(b, held)
		b.Within("held, or on trial", session.lanes.Any)
		h.mu.Lock()
		refused := h.refused
		h.mu.Unlock()
		require.Equal(b, maxRefused, refused, "the handler was asked for others so often")
		value := "1000000"
		responses, err := b.Adm.AlterTopicConfigs(b.Ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, b.Cfg.Topic("out"))
		require.NoError(b, err)
		require.NoError(b, responses[0].Err)
		require.True(b, slices.Contains(b.copied(1), large))
		stop()
		require.Zero(b, h.dropped)
	})
}

// Transactions that are none of ours, or whose process lives, are left alone. What keeps us from one does not keep us from the others.
func TestWhichAbandonedTransactionsAreEnded(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.Topic("log", 1)
		for _, id := range []string{"worker-0", "worker-1", "worker-2.3", "worker-3", "workers-1", "relay-1"} {
			b.leaveOpen(b.Cfg.Prefix + id)
		}
		b.leaveOpen("another." + b.Cfg.Prefix + "worker-1")
		var asked []string
		lease := func(_ context.Context, id string) (func(), bool, error) {
			asked = append(asked, id)
			switch id {
			case "worker-3": // its process lives
				return nil, false, nil
			case "worker-0":
				return nil, false, errors.New("Postgres is away")
			}
			return func() {}, true, nil
		}
		var warned testkit.Log
		err := endAbandoned(b.Ctx, b.Cfg, b.Adm, "worker", lease, slog.New(slog.NewTextHandler(&warned, nil)))
		require.EqualError(b, err, "Postgres is away")
		require.ElementsMatch(b, []string{"worker-0", "worker-1", "worker-2", "worker-3"}, asked, "by the base that the lease is for")
		open, err := openTransactions(b.Ctx, b.Adm)
		require.NoError(b, err)
		for id, ended := range map[string]bool{"worker-1": true, "worker-2.3": true, "worker-3": false, "worker-0": false, "workers-1": false, "relay-1": false} {
			require.Equal(b, !ended, slices.Contains(open, b.Cfg.Prefix+id), id)
		}
		require.Contains(b, warned.String(), `msg="ended a transaction that a process left open when it died" transactional_id=worker-1`)
	})
}

// leaveOpen begins a transaction that nobody ends.
func (b *bench) leaveOpen(id string) {
	b.Helper()
	client, err := kgo.NewClient(append(b.Cfg.Options(), kgo.TransactionalID(id), kgo.TransactionTimeout(time.Minute))...)
	require.NoError(b, err)
	b.Cleanup(client.Close)
	require.NoError(b, client.BeginTransaction())
	require.NoError(b, client.ProduceSync(b.Ctx, b.Record("log", "never committed")).FirstErr())
}

// The limit that the next batches keep to is the smallest of the topics that the transaction writes to.
func TestTheSmallestLimitOfTopics(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		for topic, limit := range map[string]string{"a": "30000", "b": "20000", "c": "40000"} {
			_, err := b.Adm.CreateTopic(b.Ctx, 1, -1, map[string]*string{"max.message.bytes": &limit}, b.Cfg.Topic(topic))
			require.NoError(b, err)
		}
		record := func(topic string) *kgo.Record { return b.Record(topic, "") }
		require.Equal(b, int32(30000), smallestLimit(b.Ctx, b.Client, []*kgo.Record{record("a"), record("c"), record("a")}))
		require.Equal(b, int32(20000), smallestLimit(b.Ctx, b.Client, []*kgo.Record{record("c"), record("b")}))
		require.Zero(b, smallestLimit(b.Ctx, b.Client, []*kgo.Record{record("missing")}), "it is not known")
		ended, cancel := context.WithCancel(b.Ctx)
		cancel()
		require.Zero(b, smallestLimit(ended, b.Client, []*kgo.Record{record("a")}))
	})
}
