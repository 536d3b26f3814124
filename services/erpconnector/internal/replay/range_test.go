package replay

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// seen is a sink that keeps what it took; the batch of the number failAt is refused.
type seen struct {
	offsets []int64
	batches int
	failAt  int
}

var errRefused = errors.New("refused")

func (s *seen) Take(_ context.Context, records []*kgo.Record) error {
	if s.batches++; s.batches == s.failAt {
		return errRefused
	}
	for _, r := range records {
		s.offsets = append(s.offsets, r.Offset)
	}
	return nil
}

func nothing() error { return nil }

func TestRangesThatFollowHoldEachRecordOnce(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		name := testkit.Topic(t, cfg, event.TopicSuccess)
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		defer client.Close()
		began := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
		for i := range 100 { // every tenth was written by a clock that is behind
			at := began.Add(time.Duration(i) * time.Second)
			if i%10 == 9 {
				at = at.Add(-20 * time.Second)
			}
			require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: name, Timestamp: at, Value: []byte("{}")}).FirstErr())
		}
		read := func(from, to time.Time) []int64 {
			progress, err := Locate(t.Context(), cfg, Range{From: from, To: to, Topics: []string{event.TopicSuccess}})
			require.NoError(t, err)
			var s seen
			require.NoError(t, logreader.Read(t.Context(), cfg, progress.Spans, &s, nothing))
			done, all := progress.Done()
			require.Equal(t, all, done)
			require.Len(t, s.offsets, int(all))
			return s.offsets
		}
		second := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second) }
		require.Equal(t, []int64{30, 31, 32}, read(second(30), second(33)))
		require.Empty(t, read(second(200), time.Time{}))
		require.Empty(t, read(second(-10), second(-5)))
		require.Equal(t, []int64{98, 99}, read(second(98), time.Time{}))
		var all, want []int64
		for n := -7; n < 110; n += 7 {
			all = append(all, read(second(n), second(n+7))...)
		}
		for i := range int64(100) {
			want = append(want, i)
		}
		require.Equal(t, want, all)
	})
}

func TestAnInterruptedRangeGoesOn(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		testkit.FillWithTransactions(t, cfg, testkit.Topic(t, cfg, event.TopicSuccess), 300) // the last transaction is aborted
		r := Range{From: time.UnixMilli(0), Topics: []string{event.TopicSuccess}}
		progress, err := Locate(t.Context(), cfg, r)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "positions.json")
		first := &seen{failAt: 3}
		err = logreader.Read(t.Context(), cfg, progress.Spans, first, func() error { return progress.Save(file) })
		require.ErrorIs(t, err, errRefused)
		require.NotEmpty(t, first.offsets)

		again, err := Load(file)
		require.NoError(t, err)
		require.NoError(t, again.Continues(r, ""))
		require.ErrorContains(t, again.Continues(r, "elsewhere"), "positions of another replay")
		second := &seen{}
		require.NoError(t, logreader.Read(t.Context(), cfg, again.Spans, second, func() error { return again.Save(file) }))
		var want []int64
		for o := range int64(3300) {
			if o%11 != 10 && o/11%3 != 2 {
				want = append(want, o)
			}
		}
		require.Equal(t, want, append(first.offsets, second.offsets...))
		last, err := Load(file)
		require.NoError(t, err)
		done, all := last.Done()
		require.Equal(t, all, done)
		require.NoError(t, logreader.Read(t.Context(), cfg, last.Spans, &seen{failAt: 1}, nothing), "nothing is left")
	})
}

// A transaction that is open when the range is looked up belongs to it; its records are waited for.
func TestAnOpenTransactionIsWaitedFor(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		name := testkit.Topic(t, cfg, event.TopicSuccess)
		client, err := kgo.NewClient(append(cfg.Options(), kgo.TransactionalID(cfg.Prefix+"open"))...)
		require.NoError(t, err)
		defer client.Close()
		require.NoError(t, client.BeginTransaction())
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: name, Value: []byte("{}")}).FirstErr())
		progress, err := Locate(t.Context(), cfg, Range{Topics: []string{event.TopicSuccess}})
		require.NoError(t, err)
		var s seen
		read := make(chan error, 1)
		go func() { read <- logreader.Read(t.Context(), cfg, progress.Spans, &s, nothing) }()
		require.NoError(t, client.EndTransaction(t.Context(), kgo.TryCommit))
		require.NoError(t, <-read)
		require.Equal(t, []int64{0}, s.offsets)
	})
}

func TestWhatIsPublishedAgainIsMarked(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		target := cfg.Prefix + "warehouse"
		_, err := NewPublisher(t.Context(), cfg, target)
		require.ErrorContains(t, err, "create it first")
		for _, ours := range []string{event.TopicDue, cfg.Topic(event.TopicRequested), "other-" + event.TopicRequested, event.RetryTiers[0].Topic} {
			_, err := NewPublisher(t.Context(), cfg, ours)
			require.ErrorContains(t, err, "name a topic of the subscriber's own")
		}
		at := kafka.TopicPartition{Topic: testkit.Topic(t, cfg, "warehouse")}
		publisher, err := NewPublisher(t.Context(), cfg, target)
		require.NoError(t, err)
		defer publisher.Close()
		original := &kgo.Record{
			Topic: "a.log", Partition: 3, Offset: 7, Key: []byte("k"), Value: []byte(`{"a":  1}`),
			Headers: []kgo.RecordHeader{{Key: event.HeaderID, Value: []byte("id")}},
		}
		require.NoError(t, publisher.Take(t.Context(), []*kgo.Record{original}))
		found, err := logreader.Fetch(t.Context(), cfg, map[kafka.TopicPartition][]int64{at: {0}})
		require.NoError(t, err)
		got := found[at][0]
		require.Equal(t, original.Key, got.Key)
		require.Equal(t, original.Value, got.Value, "byte for byte")
		require.Equal(t, map[string]string{
			event.HeaderID: "id", HeaderReplay: "true", HeaderTopic: "a.log", HeaderPartition: "3", HeaderOffset: "7",
		}, kafka.Headers(got))
	})
}

// The largest record that the log takes was too large for the client once replay had added its headers.
func TestTheLargestRecordIsPublishedAgain(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		defer client.Close()
		create := func(name string, limit int) string {
			bytes := strconv.Itoa(limit)
			return testkit.CreateTopic(t, client, 1, map[string]*string{"max.message.bytes": &bytes}, cfg.Topic(name))
		}
		value := make([]byte, event.MaxRecordBytes-100)
		_, _ = rand.Read(value) // nothing to compress
		original := &kgo.Record{Topic: create(event.TopicSuccess, event.MaxRecordBytes), Value: value}
		require.NoError(t, client.ProduceSync(t.Context(), original).FirstErr())
		publish := func(to string) error {
			p, err := NewPublisher(t.Context(), cfg, to)
			require.NoError(t, err)
			defer p.Close()
			return logreader.Read(t.Context(), cfg, []*logreader.Span{{Topic: event.TopicSuccess, End: 1}}, p, nothing)
		}
		require.ErrorContains(t, publish(create("narrow", event.MaxRecordBytes)), "set its max.message.bytes to 8454144, and begin again")
		wide := create("wide", 8454144)
		require.NoError(t, publish(wide))
		found, err := logreader.Fetch(t.Context(), cfg, map[kafka.TopicPartition][]int64{{Topic: wide}: {0}})
		require.NoError(t, err)
		require.True(t, bytes.Equal(value, found[kafka.TopicPartition{Topic: wide}][0].Value), "byte for byte")
	})
}

func TestRangesAndPositionsThatCannotBe(t *testing.T) {
	err := Range{From: time.UnixMilli(5), To: time.UnixMilli(5), Topics: []string{event.TopicDue}}.Validate()
	require.ErrorContains(t, err, "is not after its start")
	require.ErrorContains(t, err, `"vendor_erp_sync_due" is no topic of the log; there are sales_order_event, `)
	file := filepath.Join(t.TempDir(), "positions.json")
	none, err := Load(file)
	require.NoError(t, err)
	require.Nil(t, none)
	require.NoError(t, os.WriteFile(file, []byte("order"), 0o600))
	_, err = Load(file)
	require.ErrorContains(t, err, "holds no positions of a replay")
	require.ErrorContains(t, (&Progress{}).Save(filepath.Join(file, "below")), "keeping the positions")
}
