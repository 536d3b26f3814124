package deadletter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A record that the brokers take no second time is named only. It cannot go back.
func TestAReferenceNamesItsRecordAndKeepsNothingOfIt(t *testing.T) {
	t.Parallel()
	original := retry(t)
	large := kgo.RecordHeader{Key: "large", Value: []byte(strings.Repeat("x", 1<<10+1))}
	original.Headers = append([]kgo.RecordHeader{large}, original.Headers...)
	for range 30 {
		original.Headers = append(original.Headers, kgo.RecordHeader{Key: "x", Value: []byte("1")})
	}
	r := written(deadletter.Reference(cluster, original, deadletter.Cause{By: deadletter.BySyncer, Reason: "too large"}))
	require.Nil(t, r.Value)
	require.Nil(t, kafka.Header(r, "large"))
	require.LessOrEqual(t, len(r.Headers), 26, "20 of the record, and those of the dead letter")
	require.Equal(t, large, original.Headers[0], "the record itself is as it was")
	l := deadletter.Read(cluster, r)
	require.Equal(t, []any{"vendor_erp_sync_retry_64s", int32(4), int64(17), "shop-b/1", 0, "too large"},
		[]any{l.Topic, l.Partition, l.Offset, l.OrderKey, l.Bytes, l.Reason})
	require.NotZero(t, l.ChainRecord().Version, "it stops its order all the same")
	_, err := deadletter.Original(cluster, r)
	require.ErrorContains(t, err, "only names it")
}

func TestTheDeadLetterOfARowThatWasNeverRelayed(t *testing.T) {
	t.Parallel()
	r := written(deadletter.Unrelayed(cluster, "mails", "k", 42, "MESSAGE_TOO_LARGE \x00"))
	require.Equal(t, cluster.Topic(event.TopicDeadLetter), r.Topic)
	require.Equal(t, "42", string(kafka.Header(r, event.HeaderOriginRow)))
	l := deadletter.Read(cluster, r)
	require.Equal(t, []any{deadletter.ByRelay, "", int64(5), "k", "MESSAGE_TOO_LARGE \uFFFD"}, []any{l.By, l.Topic, l.Offset, l.OrderKey, l.Reason},
		"it is of no place in the log, so its own counts")
	require.Zero(t, l.ChainRecord().Version)
	_, err := deadletter.Original(cluster, r)
	require.Error(t, err)
}

func TestLongTextsAreShortenedToWholeCharacters(t *testing.T) {
	t.Parallel()
	r := retry(t)
	r.Key = []byte(strings.Repeat("k", 600))
	l := deadletter.Read(cluster, written(deadletter.Record(cluster, r, deadletter.Cause{By: deadletter.ByDelayer, Reason: strings.Repeat("ë", 1000)})))
	require.Equal(t, strings.Repeat("ë", 512), l.Reason)
	require.Len(t, l.OrderKey, 512)
}

func TestSameComparesTimesByTheirMoment(t *testing.T) {
	t.Parallel()
	l := deadletter.Read(cluster, written(deadletter.Record(cluster, retry(t), deadletter.Cause{By: deadletter.ByDelayer})))
	o := l
	o.WrittenAt, o.RecordAt = l.WrittenAt.Local(), new(l.RecordAt.Local())
	require.True(t, l.Same(o))
	for name, change := range map[string]func(o *deadletter.Letter){
		"the id":        func(o *deadletter.Letter) { o.ID++ },
		"the reason":    func(o *deadletter.Letter) { o.Reason = "another" },
		"when it came":  func(o *deadletter.Letter) { o.WrittenAt = o.WrittenAt.Add(1) },
		"no due time":   func(o *deadletter.Letter) { o.DueAt = nil },
		"another time":  func(o *deadletter.Letter) { o.RecordAt = &due },
		"another bytes": func(o *deadletter.Letter) { o.Bytes++ },
	} {
		o := l
		change(&o)
		require.False(t, l.Same(o), name)
		require.False(t, o.Same(l), name)
	}
}

// What stands at an offset may not be what the table means: the topic was made anew, or it is another cluster's.
func TestFetchGivesTheDeadLetterThatIsMeantOrNone(t *testing.T) {
	t.Parallel()
	cfg := testkit.EmbeddedBroker(t)
	testkit.Topic(t, cfg, event.TopicDeadLetter)
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	original := retry(t)
	hook := deadletter.Hook(cfg, client, "warehouse")
	require.NoError(t, hook(t.Context(), original, errors.New("first")))
	second, err := client.ProduceSync(t.Context(), deadletter.Record(cfg, original, deadletter.Cause{By: deadletter.BySyncer, Reason: "second"})).First()
	require.NoError(t, err)
	l := deadletter.Read(cfg, second)
	require.EqualValues(t, 1, l.ID)
	r, err := deadletter.Fetch(t.Context(), cfg, l)
	require.NoError(t, err)
	require.Equal(t, original.Value, r.Value)
	require.Equal(t, "second", string(kafka.Header(r, event.HeaderReason)))

	l.ID = 0
	_, err = deadletter.Fetch(t.Context(), cfg, l)
	require.ErrorContains(t, err, "does not hold dead letter 0 (any more)", "that is the one of the hook")
	l.ID = 7
	_, err = deadletter.Fetch(t.Context(), cfg, l)
	require.ErrorContains(t, err, "dead letter 7")
}

func TestAHookThatCannotWriteSaysWhatItWasAbout(t *testing.T) {
	t.Parallel()
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"))
	require.NoError(t, err)
	client.Close()
	err = deadletter.Hook(cluster, client, "warehouse")(t.Context(), retry(t), errors.New("why"))
	require.ErrorContains(t, err, "writing the dead letter of p.vendor_erp_sync_retry_64s partition 4 offset 17")
}
