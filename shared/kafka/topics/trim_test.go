package topics_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// starts returns the first offsets of a topic's partitions.
func starts(b *testkit.Bench, topic string) (out []int64) {
	b.Helper()
	listed, err := b.Adm.ListStartOffsets(b.Ctx, b.Cfg.Topic(topic))
	require.NoError(b, err)
	for _, o := range listed.Offsets().Sorted() {
		out = append(out, o.At)
	}
	return out
}

func TestTrimDeletesWhatIsConsumedAndNothingElse(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		admin := ensured(b)
		tier := event.RetryTiers[0].Topic
		for _, topic := range []string{tier, event.TopicDue, event.TopicRequested} {
			b.Feed(topic, partitions, 5)
		}
		b.StartAt(string(event.GroupDelayer), tier, partitions, 3)
		b.StartAt(string(event.GroupSyncer), event.TopicDue, partitions, 5)
		b.StartAt(string(event.GroupSyncer), event.TopicRequested, partitions, 5)
		ctx, stop := context.WithCancel(b.Ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); topics.Trim(ctx, b.Cfg, slog.New(slog.DiscardHandler)) }()
		b.Within("both are trimmed", func() bool { return starts(b, tier)[1] == 3 && starts(b, event.TopicDue)[1] == 4 })
		stop()
		<-ended
		require.Equal(b, []int64{3, 3}, starts(b, tier), "up to the position")
		require.Equal(b, []int64{4, 4}, starts(b, event.TopicDue), "the last record stays")
		require.Equal(b, []int64{0, 0}, starts(b, event.TopicRequested), "the log is kept")
		require.Equal(b, []int64{0, 0}, starts(b, event.RetryTiers[1].Topic))
		require.Empty(b, check(b, admin))
	})
}

// An empty log begins at offset 0 again when the embedded broker restarts. The positions would lie outside it.
func TestTrimmedTopicsSurviveARestartOfTheEmbeddedBroker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	onDir := func(test func(b *testkit.Bench)) {
		broker, err := devkafka.Start(dir, 0)
		require.NoError(t, err)
		defer broker.Close()
		cfg := kafka.Config{Brokers: broker.Addrs(), Prefix: "t."}
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		defer client.Close()
		test(&testkit.Bench{T: t, Ctx: t.Context(), Cfg: cfg, Client: client, Adm: kadm.NewClient(client)})
	}
	onDir(func(b *testkit.Bench) {
		ensured(b)
		b.Feed(event.TopicDue, partitions, 5)
		b.StartAt(string(event.GroupSyncer), event.TopicDue, partitions, 5)
		ctx, stop := context.WithCancel(b.Ctx)
		defer stop()
		go topics.Trim(ctx, b.Cfg, slog.New(slog.DiscardHandler))
		b.Within("it is trimmed", func() bool { return starts(b, event.TopicDue)[1] == 4 })
	})
	onDir(func(b *testkit.Bench) {
		admin, err := topics.NewAdmin(b.Cfg, partitions)
		require.NoError(b, err)
		defer admin.Close()
		require.Empty(b, check(b, admin))
		require.Equal(b, []int64{4, 4}, starts(b, event.TopicDue))
	})
}
