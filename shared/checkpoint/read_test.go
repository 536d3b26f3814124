package checkpoint

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// write writes records to the position topic, in one transaction. The id of the transaction is not the relay's.
func write(b *testkit.Bench, records ...*kgo.Record) {
	b.Helper()
	client := writer(b, "writer")
	require.NoError(b, client.BeginTransaction())
	require.NoError(b, client.ProduceSync(b.Ctx, records...).FirstErr())
	require.NoError(b, client.EndTransaction(b.Ctx, kgo.TryCommit))
}

// writer returns a client with a transactional id that writes to the partitions that its records name.
func writer(b *testkit.Bench, id string) *kgo.Client {
	b.Helper()
	client, err := kgo.NewClient(append(b.Cfg.Options(), kgo.TransactionalID(b.Cfg.Prefix+id),
		kgo.DefaultProduceTopic(b.Cfg.Topic(event.TopicPosition)), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(b, err)
	b.Cleanup(client.Close)
	return client
}

// marker returns the record that another service writes to the position topic.
func marker(value string) *kgo.Record {
	return &kgo.Record{Key: []byte("syncer/syncer-0"), Value: []byte(value)}
}

// recordOf returns the record of a position.
func recordOf(b *testkit.Bench, p Position) *kgo.Record {
	b.Helper()
	r, err := p.Record()
	require.NoError(b, err)
	return r
}

// at returns a position whose time grows with its id.
func at(id int64) Position {
	return Position{LastID: id, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(id) * time.Second)}
}

func TestReadReturnsTheLastPosition(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic(event.TopicPosition, 1)
		found, err := Read(b.Ctx, b.Cfg)
		require.NoError(b, err)
		require.Zero(b, found, "nothing was ever relayed")

		write(b, marker("1"), recordOf(b, at(7)), marker("2"))
		want := at(9)
		want.UUID, want.System, want.Timeline, want.Behind = "u9", "S", 2, map[string]int64{"3": 4}
		want.Open = outbox.Gaps{{First: 2, Last: 3}, {First: 6, Last: 6}}
		write(b, recordOf(b, at(8)), recordOf(b, want), marker("3"))
		found, err = Read(b.Ctx, b.Cfg)
		require.NoError(b, err)
		require.Equal(b, want, found)
	})
}

// An aborted position was never reached.
func TestReadIgnoresAnAbortedPosition(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic(event.TopicPosition, 1)
		write(b, recordOf(b, at(7)))
		client := writer(b, "aborts")
		require.NoError(b, client.BeginTransaction())
		require.NoError(b, client.ProduceSync(b.Ctx, recordOf(b, at(8))).FirstErr())
		require.NoError(b, client.EndTransaction(b.Ctx, kgo.TryAbort))
		found, err := Read(b.Ctx, b.Cfg)
		require.NoError(b, err)
		require.Equal(b, at(7), found)
	})
}

// Symptom: an open transaction of another service hid the last position, and rows were relayed twice. Read waits for its end.
func TestReadWaitsForAnOpenTransactionBeforeThePosition(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic(event.TopicPosition, 1)
		write(b, recordOf(b, at(7)))
		other := writer(b, "other")
		require.NoError(b, other.BeginTransaction())
		require.NoError(b, other.ProduceSync(b.Ctx, marker("open")).FirstErr())
		write(b, recordOf(b, at(8)))

		short, cancel := context.WithTimeout(b.Ctx, time.Second)
		defer cancel()
		_, err := Read(short, b.Cfg)
		require.ErrorIs(b, err, context.DeadlineExceeded, "the position before must not be returned")

		require.NoError(b, other.EndTransaction(b.Ctx, kgo.TryCommit))
		found, err := Read(b.Ctx, b.Cfg)
		require.NoError(b, err)
		require.Equal(b, at(8), found)
	})
}

// The records of other services come after the relay's last one, more than the first window holds.
func TestReadSearchesBackwardsUntilItFindsThePosition(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic(event.TopicPosition, 1)
		write(b, recordOf(b, at(7)))
		others := make([]*kgo.Record, 0, minWindow+1)
		for i := range minWindow + 1 {
			others = append(others, marker(fmt.Sprint(i)))
		}
		write(b, others...)
		found, err := Read(b.Ctx, b.Cfg)
		require.NoError(b, err)
		require.Equal(b, at(7), found)
	})
}

func TestTheLatestOfSeveralPartitionsCounts(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic(event.TopicPosition, 3)
		for partition, id := range []int64{7, 9, 8} {
			r := recordOf(b, at(id))
			r.Partition = int32(partition)
			write(b, r)
		}
		found, err := Read(b.Ctx, b.Cfg)
		require.NoError(b, err)
		require.Equal(b, at(9), found)
	})
}

func TestReadRefusesWhatCannotBeThePosition(t *testing.T) {
	for name, c := range map[string]struct {
		record func() *kgo.Record // a new one for each broker, as the client writes to it
		says   string
	}{
		"only others have written": {func() *kgo.Record { return marker("1") }, `has records but none of key "relay"`},
		"it is not JSON":           {func() *kgo.Record { return &kgo.Record{Key: []byte("relay"), Value: []byte("seven")} }, "offset 0 of"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.OnBenches(t, func(b *testkit.Bench) {
				b.Topic(event.TopicPosition, 1)
				write(b, c.record())
				_, err := Read(b.Ctx, b.Cfg)
				require.ErrorIs(b, err, ErrMismatch)
				require.ErrorContains(b, err, c.says)
			})
		})
	}
}

// A trimmed log does not begin at offset 0.
func TestReadOfATrimmedTopic(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		b.Topic(event.TopicPosition, 1)
		write(b, recordOf(b, at(7)))
		write(b, recordOf(b, at(8)))
		trim := kadm.Offsets{}
		trim.AddOffset(b.Cfg.Topic(event.TopicPosition), 0, 2, -1)
		deleted, err := b.Adm.DeleteRecords(b.Ctx, trim)
		require.NoError(b, err)
		require.NoError(b, deleted.Error())
		found, err := Read(b.Ctx, b.Cfg)
		require.NoError(b, err)
		require.Equal(b, at(8), found, "reading begins at the log's start")
	})
}

func TestReadOfAMissingTopicNamesTheCheck(t *testing.T) {
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		_, err := Read(t.Context(), cfg)
		require.ErrorContains(t, err, "erpconnector topics check")
	})
}
