package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// subscriber returns a subscriber of the group "g". change may set other fields.
func subscriber(b *testkit.Bench, change func(*pubsub.SubscriberConfig)) *pubsub.Subscriber {
	b.Helper()
	cfg := pubsub.SubscriberConfig{Config: b.Cfg, Group: "g", NackPause: time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	s, err := pubsub.NewSubscriber(cfg)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s
}

func subscribe(b *testkit.Bench, s *pubsub.Subscriber) <-chan *message.Message {
	b.Helper()
	messages, err := s.Subscribe(b.Ctx, "in")
	require.NoError(b, err)
	return messages
}

// partitionOf returns the partition that a message came from.
func partitionOf(b *testkit.Bench, msg *message.Message) int32 {
	b.Helper()
	r, ok := pubsub.RecordFrom(msg.Context())
	require.True(b, ok)
	return r.Partition
}

// positions returns the group's committed positions in "in".
func positions(b *testkit.Bench) map[int32]int64 {
	b.Helper()
	offsets, err := b.Adm.FetchOffsets(b.Ctx, b.Cfg.Group("g"))
	require.NoError(b, err)
	at := map[int32]int64{}
	offsets.Each(func(o kadm.OffsetResponse) { at[o.Partition] = o.At })
	return at
}

// takeAll acknowledges n messages and returns their payloads by partition.
func takeAll(b *testkit.Bench, messages <-chan *message.Message, n int) map[int32][]string {
	b.Helper()
	got := map[int32][]string{}
	for range n {
		msg := testkit.Receive(b, messages, "a message")
		got[partitionOf(b, msg)] = append(got[partitionOf(b, msg)], string(msg.Payload))
		require.True(b, msg.Ack())
	}
	return got
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func TestAMessageWithoutAckHoldsUpOnlyItsPartition(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 3)
		b.Feed("in", 3, 5)
		messages := subscribe(b, subscriber(b, nil))
		held := testkit.Receive(b, messages, "the first message")
		rest := takeAll(b, messages, 10)
		require.NotContains(b, rest, partitionOf(b, held))
		require.Len(b, rest, 2)
		require.True(b, held.Ack())
		require.Equal(b, map[int32][]string{partitionOf(b, held): numbers(1, 5)}, takeAll(b, messages, 4))
	})
}

func TestANackBringsTheSameMessageAgainAsItWas(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 1)
		b.Feed("in", 1, 2)
		messages := subscribe(b, subscriber(b, nil))
		for range 5 {
			msg := testkit.Receive(b, messages, "the message")
			require.Equal(b, "0", string(msg.Payload))
			require.NotContains(b, msg.Metadata, "spoilt")
			msg.Metadata.Set("spoilt", "by a handler")
			require.True(b, msg.Nack())
			<-msg.Context().Done()
		}
		require.Equal(b, numbers(0, 2), takeAll(b, messages, 2)[0])
	})
}

// While a delivered message has no ack, more of its partition is fetched than a worker queues. So the partition is
// paused, and others go on. Later it is resumed, and nothing is lost or repeated.
func TestMoreThanAWorkerQueuesComesWholeAndInOrder(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		const n = 20_000 // 20 MiB in each partition
		b.Topic("in", 2)
		producer, err := kgo.NewClient(append(b.Cfg.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		require.NoError(b, err)
		defer producer.Close()
		records := make([]*kgo.Record, 0, 2*n)
		for i := range 2 * n {
			r := b.Record("in", fmt.Sprintf("%d%1024s", i/2, "."))
			r.Partition = int32(i % 2)
			records = append(records, r)
		}
		require.NoError(b, producer.ProduceSync(b.Ctx, records...).FirstErr())
		messages := subscribe(b, subscriber(b, nil))
		held := testkit.Receive(b, messages, "the first message")
		inOrder := func(from, to int) {
			for i := from; i < to; i++ {
				msg := testkit.Receive(b, messages, "a message")
				require.Equal(b, strconv.Itoa(i), strings.Fields(string(msg.Payload))[0])
				require.True(b, msg.Ack())
			}
		}
		inOrder(0, n)
		require.True(b, held.Ack())
		inOrder(1, n)
	})
}

// A second member takes over half of the partitions in the middle of the work. Every message comes once.
func TestARebalanceRepeatsNothing(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		const partitions, each = 4, 300
		b.Topic("in", partitions)
		b.Feed("in", partitions, each)
		first := subscribe(b, subscriber(b, nil))
		got := map[string]int{}
		take := func(who string, msg *message.Message) {
			got[fmt.Sprintf("%d/%s", partitionOf(b, msg), msg.Payload)]++
			got[who]++
			require.True(b, msg.Ack())
		}
		for range 100 {
			take("first", testkit.Receive(b, first, "a message"))
		}
		second := subscribe(b, subscriber(b, nil))
		take("second", awaitWhile(b, second, func() { take("first", testkit.Receive(b, first, "a message")) }))
		for got["first"]+got["second"] < partitions*each {
			select {
			case msg := <-first:
				take("first", msg)
			case msg := <-second:
				take("second", msg)
			case <-b.Ctx.Done():
				require.Fail(b, "waited in vain", "%d and %d", got["first"], got["second"])
			}
		}
		require.Len(b, got, partitions*each+2, "each once")
	})
}

// awaitWhile calls work until a message comes.
func awaitWhile(b *testkit.Bench, messages <-chan *message.Message, work func()) *message.Message {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case msg := <-messages:
			return msg
		case <-tick.C:
			work()
		case <-b.Ctx.Done():
			require.Fail(b, "waited in vain", "the second member was given nothing")
		}
	}
}

// A delivered message is not acked in time when its partition is taken away. It comes again at the new owner, and the
// late ack does not move the position.
func TestALateAckHasNoEffect(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 2)
		b.Feed("in", 2, 1)
		first := subscribe(b, subscriber(b, func(c *pubsub.SubscriberConfig) { c.StopWait = 50 * time.Millisecond }))
		held := []*message.Message{testkit.Receive(b, first, "a message"), testkit.Receive(b, first, "a message")}
		second := subscribe(b, subscriber(b, nil))
		moved := testkit.Receive(b, second, "what the first had in hand")
		i := slices.IndexFunc(held, func(m *message.Message) bool { return partitionOf(b, m) == partitionOf(b, moved) })
		require.Error(b, held[i].Context().Err(), "its time was over")
		require.True(b, held[i].Ack())
		require.True(b, held[1-i].Ack())
		b.Within("what stayed is committed", func() bool { return positions(b)[partitionOf(b, held[1-i])] == 1 })
		require.NotContains(b, positions(b), partitionOf(b, moved))
		require.True(b, moved.Ack())
		b.Within("the new owner's ack is committed", func() bool { return positions(b)[partitionOf(b, moved)] == 1 })
	})
}

func TestTheEndOfTheContextEndsTheSubscriptionAtOnce(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 1)
		b.Feed("in", 1, 2)
		ctx, cancel := context.WithCancel(b.Ctx)
		messages, err := subscriber(b, func(c *pubsub.SubscriberConfig) { c.StopWait = 15 * time.Second }).Subscribe(ctx, "in")
		require.NoError(b, err)
		held := testkit.Receive(b, messages, "a message")
		began := time.Now()
		cancel()
		_, open := <-messages
		require.False(b, open)
		require.Less(b, time.Since(began), 10*time.Second, "StopWait is not waited for")
		require.Error(b, held.Context().Err())
		require.Empty(b, positions(b))
	})
}

func TestCloseWaitsForAcksAndCommits(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 1)
		b.Feed("in", 1, 3)
		s := subscriber(b, nil)
		messages := subscribe(b, s)
		takeAll(b, messages, 1)
		held := testkit.Receive(b, messages, "a message")
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		b.Within("the subscription takes up nothing more", func() bool {
			_, err := s.Subscribe(b.Ctx, "in")
			return errors.Is(err, pubsub.ErrSubscriberClosed)
		})
		require.NoError(b, held.Context().Err())
		require.True(b, held.Ack())
		require.NoError(b, testkit.Receive(b, closed, "Close to return"))
		require.Equal(b, map[int32]int64{0: 2}, positions(b))
		_, open := <-messages
		require.False(b, open)
		require.Equal(b, numbers(2, 3), takeAll(b, subscribe(b, subscriber(b, nil)), 1)[0])
	})
}

// A record that cannot be read goes to Refused until that succeeds. Then the partition goes on.
func TestAnUnreadableRecordGoesToRefused(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 1)
		b.Topic(event.TopicDeadLetter, 1)
		b.Feed("in", 1, 4)
		var refused []string
		keep := deadletter.Hook(b.Cfg, b.Client, "a-group")
		messages := subscribe(b, subscriber(b, func(c *pubsub.SubscriberConfig) {
			c.Unmarshal = func(r *kgo.Record) (*message.Message, error) {
				if string(r.Value) == "1" {
					return nil, errors.New("not a fact")
				}
				return pubsub.Unmarshal(r)
			}
			c.Refused = func(ctx context.Context, r *kgo.Record, why error) error {
				refused = append(refused, string(r.Value)+": "+why.Error())
				if len(refused) < 3 {
					return errors.New("no room yet")
				}
				return keep(ctx, r, why)
			}
		}))
		require.Equal(b, []string{"0", "2", "3"}, takeAll(b, messages, 3)[0])
		require.Equal(b, slices.Repeat([]string{"1: not a fact"}, 3), refused)
		b.Within("it is done", func() bool { return positions(b)[0] == 4 })
		letter, err := pubsub.Unmarshal(first(b, event.TopicDeadLetter))
		require.NoError(b, err)
		require.Equal(b, "1", string(letter.Payload))
		require.Equal(b, "not a fact", letter.Metadata.Get(event.HeaderReason))
		require.Equal(b, b.Cfg.Topic("in"), letter.Metadata.Get(event.HeaderOriginTopic))
		require.Equal(b, "1", letter.Metadata.Get(event.HeaderOriginOffset))
		require.Equal(b, "a-group", letter.Metadata.Get(event.HeaderDeadLetterBy))
	})
}

func TestUnmarshalWithoutRefusedIsAnError(t *testing.T) {
	_, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{Unmarshal: pubsub.Unmarshal})
	require.ErrorContains(t, err, "Refused")
	_, err = pubsub.NewSubscriber(pubsub.SubscriberConfig{StopWait: time.Minute})
	require.ErrorContains(t, err, "StopWait")
}

func TestWithoutAGroupASubscriptionBeginsWhereItIsTold(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 2)
		start := time.Now().Add(-time.Hour)
		for i, at := range []time.Time{start.Add(-time.Minute), start, start.Add(time.Minute)} {
			r := b.Record("in", strconv.Itoa(i))
			r.Timestamp = at
			require.NoError(b, b.Client.ProduceSync(b.Ctx, r).FirstErr())
		}
		ungrouped := func(start time.Time) <-chan *message.Message {
			return subscribe(b, subscriber(b, func(c *pubsub.SubscriberConfig) { c.Group, c.Start = "", start }))
		}
		for _, got := range takeAll(b, ungrouped(time.Time{}), 3) {
			require.Equal(b, numbers(0, 3), got)
		}
		for _, got := range takeAll(b, ungrouped(start), 2) {
			require.Equal(b, numbers(1, 3), got)
		}
	})
}

func TestOnlyCommittedRecordsAreDelivered(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic("in", 1)
		client, err := kgo.NewClient(append(b.Cfg.Options(), kgo.TransactionalID(b.Cfg.Prefix+"t"))...)
		require.NoError(b, err)
		defer client.Close()
		for value, end := range map[string]kgo.TransactionEndTry{"aborted": kgo.TryAbort, "committed": kgo.TryCommit} {
			require.NoError(b, client.BeginTransaction())
			require.NoError(b, client.ProduceSync(b.Ctx, b.Record("in", value)).FirstErr())
			require.NoError(b, client.EndTransaction(b.Ctx, end))
		}
		b.Feed("in", 1, 1)
		require.Equal(b, []string{"committed", "0"}, takeAll(b, subscribe(b, subscriber(b, nil)), 2)[0])
	})
}

func TestAMissingTopicIsAnErrorWithoutCreate(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		_, err := subscriber(b, nil).Subscribe(b.Ctx, "in")
		require.ErrorContains(b, err, b.Cfg.Topic("in")+" is missing")
		create := func(c *pubsub.SubscriberConfig) {
			c.Create = &pubsub.NewTopic{Partitions: 3, Config: map[string]string{"retention.ms": "-1"}}
		}
		subscribe(b, subscriber(b, create))
		subscribe(b, subscriber(b, create))
		topics, err := b.Adm.ListTopics(b.Ctx, b.Cfg.Topic("in"))
		require.NoError(b, err)
		require.Len(b, topics[b.Cfg.Topic("in")].Partitions, 3)
	})
}
