package txn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// copier is a handler that copies each record from "in" to "out". It writes nothing for a value "pass…", and keeps
// "wait…" until finish.
type copier struct {
	cfg kafka.Config

	mu       sync.Mutex
	held     map[string]*Task // by value
	taken    []string
	dropped  int
	refused  int
	resumed  int
	done     int // committed
	repeated map[string]bool
	replace  func(t *Task)      // what a refused task writes; nil: a short text
	room     func(t *Task) bool // nil: for all
}

func (c *copier) Take(t *Task) (bool, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room != nil && !c.room(t) {
		return false, 0
	}
	value := string(t.Record.Value)
	c.taken = append(c.taken, value)
	c.repeated[value] = t.MayBeRepeated()
	switch {
	case strings.HasPrefix(value, "pass"):
		t.Finish()
	case strings.HasPrefix(value, "wait"):
		c.held[value] = t
	default:
		t.Finish(c.copy(t, value))
	}
	return true, 0
}

func (c *copier) copy(t *Task, value string) *kgo.Record {
	return &kgo.Record{Topic: c.cfg.Topic("out"), Key: t.Record.Key, Value: []byte(value)}
}

func (c *copier) Prepare(context.Context, []*Task) {}

func (c *copier) Committed(tasks []*Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += len(tasks)
}

func (c *copier) committed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func (c *copier) Refused(t *Task, _ error, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused++
	if c.replace != nil {
		c.replace(t)
		return
	}
	t.Replace(c.copy(t, fmt.Sprintf("refused %d: %.8s", times, t.Record.Value)))
}

func (c *copier) Dropped(tasks []*Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped += len(tasks)
}

func (c *copier) Revoked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for value, t := range c.held {
		t.Abandon()
		delete(c.held, value)
	}
}

func (c *copier) Resumed([]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resumed++
}

// finish finishes the task of a value "wait…".
func (c *copier) finish(value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.held[value]
	delete(c.held, value)
	t.Finish(c.copy(t, value))
}

func (c *copier) has(value string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[value] != nil
}

// copying starts a session of a copier in the group "g".
func copying(b *testkit.Bench, log *slog.Logger) (c *copier, stop func()) {
	b.Helper()
	c, _, stop = copySession(b, log)
	return c, stop
}

func copySession(b *testkit.Bench, log *slog.Logger, change ...func(*Config, *copier)) (c *copier, s *Session, stop func()) {
	b.Helper()
	c = &copier{cfg: b.Cfg, held: map[string]*Task{}, repeated: map[string]bool{}}
	config := Config{
		Kafka: b.Cfg, Name: "copier", TransactionalID: "s-0", Group: "g", Topics: []string{"in"}, MarkerTopic: "markers",
		PollRecords: 100, BatchTasks: 100, BatchBytes: 1 << 20, Grace: time.Second, IdleCommit: time.Second,
		Log: log, Outage: &run.Outage{Began: "failing", Ended: "working"},
	}
	for _, one := range change {
		one(&config, c)
	}
	s = New(config, c)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); require.NoError(b, <-done) })
	b.Cleanup(stop)
	return c, s, stop
}

var quiet = slog.New(slog.DiscardHandler)

func prepared(b *bench) {
	b.Topic("in", 1)
	b.Topic("out", 1)
	b.Topic("markers", 1)
	b.StartAt("g", "in", 1, 0)
}

func (b *bench) send(values ...string) {
	b.Helper()
	for _, v := range values {
		require.NoError(b, b.Client.ProduceSync(b.Ctx, b.Record("in", v)).FirstErr())
	}
}

// copied waits until "out" has n records, and returns all of them.
func (b *bench) copied(n int) (values []string) {
	b.Helper()
	b.Within(fmt.Sprint(n, " records copied"), func() bool {
		values = slices.DeleteFunc(b.Visible(), func(v string) bool { return strings.HasPrefix(v, probe) })
		return len(values) >= n
	})
	return values
}

// A record without a result has nothing to write, so its offset waits for other tasks. Symptom: a session that left its
// group with such an offset tried for ever to commit it, and did not end.
func TestAStopCommitsOffsetsThatWait(t *testing.T) {
	onBrokers(t, func(b *bench) {
		prepared(b)
		c, stop := copying(b.Bench, quiet)
		b.send("pass 1")
		b.Within("taken", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.taken) == 1
		})
		stop()
		at, _ := b.Committed("g", "in")
		require.Equal(b, int64(1), at)
	})
}

// Tasks that finish out of order are committed in that order, and do not begin again after a restart.
func TestTasksThatFinishOutOfOrderBeginOnce(t *testing.T) {
	onBrokers(t, func(b *bench) {
		prepared(b)
		c, stop := copying(b.Bench, quiet)
		b.send("wait 1", "2", "wait 3", "4")
		require.ElementsMatch(b, []string{"2", "4"}, b.copied(2))
		b.Within("both wait", func() bool { return c.has("wait 1") && c.has("wait 3") })
		c.finish("wait 3")
		require.Len(b, b.copied(3), 3)
		stop()
		second, stopSecond := copying(b.Bench, quiet)
		b.Within("the first begins again", func() bool { return second.has("wait 1") })
		b.send("5")
		require.Len(b, b.copied(4), 4)
		second.finish("wait 1")
		require.ElementsMatch(b, []string{"2", "4", "wait 3", "5", "wait 1"}, b.copied(5))
		require.Equal(b, []string{"wait 1", "5"}, second.taken)
		require.Equal(b, map[string]bool{"wait 1": true, "5": false}, second.repeated, "a former owner may have begun the first")
		stopSecond()
	})
}

// Symptom: one record that no broker takes stopped the whole process, and its successor. Each commit of its batch ended in
// MESSAGE_TOO_LARGE, for ever.
func TestARecordThatIsRefusedDelaysNoOther(t *testing.T) {
	onBrokers(t, func(b *bench) {
		prepared(b)
		b.limit("out", 20_000)
		_, stop := copying(b.Bench, quiet)
		defer stop()
		b.send("1", "2", "large "+incompressible(50_000), "3", "4")
		got := b.copied(5)
		require.ElementsMatch(b, []string{"1", "2", "refused 1: large " + got[2][len("refused 1: large "):], "3", "4"}, got)
	})
}

// Many small records can make a batch that is too large for the topic, though it takes each of them. The producer then
// makes smaller ones.
func TestATopicThatTakesSmallBatchesGetsSmallBatches(t *testing.T) {
	onBrokers(t, func(b *bench) {
		prepared(b)
		b.limit("out", 20_000)
		for i := range 60 {
			b.send(fmt.Sprint(i, " ", incompressible(3_000)))
		}
		c, stop := copying(b.Bench, quiet)
		defer stop()
		require.Len(b, b.copied(60), 60)
		require.Zero(b, c.refused)
	})
}

const probe = "probe "

// limit sets the largest batch that a topic takes.
func (b *bench) limit(topic string, bytes int) {
	b.Helper()
	value := fmt.Sprint(bytes)
	responses, err := b.Adm.AlterTopicConfigs(b.Ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, b.Cfg.Topic(topic))
	require.NoError(b, err)
	for _, r := range responses {
		require.NoError(b, r.Err)
	}
	b.Within("the limit is in force", func() bool {
		err := b.Client.ProduceSync(b.Ctx, b.Record(topic, probe+incompressible(2*bytes))).FirstErr()
		return errors.Is(err, kerr.MessageTooLarge)
	})
}

// Somebody adds partitions to a topic while the session runs. Symptom: the group had no offset for them, so its members
// stopped with ErrOffsetMissing.
func TestAddedPartitionsAreNoLoss(t *testing.T) {
	onBrokers(t, func(b *bench) {
		prepared(b)
		b.Cfg.Partitions = 1
		log, warned := testkit.Said("the topic has more partitions than KAFKA_PARTITIONS; the others stay unused, so leave the setting as it is")
		_, session, stop := copySession(b.Bench, log)
		defer stop()
		b.send("1")
		require.Len(b, b.copied(1), 1)
		responses, err := b.Adm.UpdatePartitions(b.Ctx, 3, b.Cfg.Topic("in"))
		require.NoError(b, err)
		require.NoError(b, responses.Error())
		b.Within("the group knows the new partitions", func() bool {
			session.member.client.ForceMetadataRefresh()
			return len(warned) > 0
		})
		b.send("2", "3")
		require.Len(b, b.copied(3), 3)
	})
}

// With a rest after each transaction, the first task is committed at once, and those that finish in the rest share a transaction. A stop
// ends the rest: it lasts for an hour here.
func TestTasksThatFinishInARestShareATransaction(t *testing.T) {
	onBrokers(t, func(b *bench) {
		prepared(b)
		c, _, stop := copySession(b.Bench, quiet, func(c *Config, _ *copier) { c.Rest = time.Hour })
		b.send("1")
		b.Within("the first committed", func() bool { return c.committed() == 1 })
		b.send("2", "3")
		b.Within("all taken", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.taken) == 3
		})
		stop()
		end := int64(0)
		b.Within("the second transaction has its marker", func() bool {
			ends, err := kadm.NewClient(b.Client).ListCommittedOffsets(b.Ctx, b.Cfg.Topic("out"))
			require.NoError(b, err)
			at, _ := ends.Lookup(b.Cfg.Topic("out"), 0)
			end = at.Offset
			return end > 3
		})
		require.Equal(b, int64(3+2), end, "three records, and the markers of two transactions")
		require.Equal(b, []string{"1", "2", "3"}, b.copied(3))
	})
}

// When enough tasks have finished, they do not wait for the end of the rest. It lasts for an hour here.
func TestEnoughTasksEndARest(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		prepared(b)
		c, _, _ := copySession(b.Bench, quiet, func(c *Config, _ *copier) { c.Rest = time.Hour })
		b.send("1")
		b.Within("the first committed", func() bool { return c.committed() == 1 })
		for i := range restTasks {
			b.send(fmt.Sprint("in the rest ", i))
		}
		require.Len(b, b.copied(1+restTasks), 1+restTasks)
	})
}

// A session looks at intervals whether offsets are to be committed. When there are none it has done nothing, and rests for nothing: the
// first task does not wait. The rest lasts for an hour here.
func TestNoRestFollowsALookThatFindsNothing(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		prepared(b)
		c, session, _ := copySession(b.Bench, quiet, func(c *Config, _ *copier) { c.Rest, c.IdleCommit = time.Hour, time.Millisecond })
		b.Within("a member", func() bool { return session.current.Load() != nil && session.Owns() })
		b.send("1")
		b.Within("committed", func() bool { return c.committed() == 1 })
	})
}
