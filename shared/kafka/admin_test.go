package kafka_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

const partitions = 2

// ensured is an admin whose topics are made and in order.
func ensured(b *bench) *kafka.Admin {
	b.Helper()
	admin, err := kafka.NewAdmin(b.cfg, partitions)
	require.NoError(b, err)
	b.Cleanup(admin.Close)
	created, err := admin.Ensure(b.ctx, false)
	require.NoError(b, err)
	require.Len(b, created, len(event.Topics()))
	require.Empty(b, check(b, admin))
	return admin
}

func check(b *bench, admin *kafka.Admin) []string {
	b.Helper()
	problems, err := admin.Check(b.ctx)
	require.NoError(b, err)
	return problems
}

// ensureAgain must find nothing to create.
func ensureAgain(b *bench, admin *kafka.Admin, resetMissing bool) {
	b.Helper()
	created, err := admin.Ensure(b.ctx, resetMissing)
	require.NoError(b, err)
	require.Empty(b, created)
}

func TestEnsuringTwiceChangesNothing(t *testing.T) {
	onBrokers(t, func(b *bench) {
		admin := ensured(b)
		b.feed(event.TopicDue, 1, 3)
		b.startAt(string(event.GroupSyncer), event.TopicDue, 1, 2)
		ensureAgain(b, admin, true)
		at, _ := b.committed(string(event.GroupSyncer), event.TopicDue)
		require.Equal(b, int64(2), at, "a position that exists stays")
		require.Empty(b, check(b, admin))
	})
}

func TestCheckNamesATopicThatIsMissing(t *testing.T) {
	onBrokers(t, func(b *bench) {
		admin := ensured(b)
		_, err := b.adm.DeleteTopic(b.ctx, b.cfg.Topic(event.TopicSuccess))
		require.NoError(b, err)
		want := []string{"topic " + b.cfg.Topic(event.TopicSuccess) + " is missing: run `erpconnector topics ensure`"}
		b.within("the topic is gone", func() bool { return slices.Equal(want, check(b, admin)) })
		created, err := admin.Ensure(b.ctx, false)
		require.NoError(b, err)
		require.Equal(b, []string{b.cfg.Topic(event.TopicSuccess)}, created)
		b.within("all is well again", func() bool { return len(check(b, admin)) == 0 })
	})
}

func TestCheckNamesAChangedPartitionCount(t *testing.T) {
	onBrokers(t, func(b *bench) {
		admin := ensured(b)
		changed, err := b.adm.CreatePartitions(b.ctx, 1, b.cfg.Topic(event.TopicRequested))
		require.NoError(b, err)
		require.NoError(b, changed.Error())
		b.within("the count is known", func() bool { return len(check(b, admin)) > 0 })
		problems := check(b, admin)
		require.Len(b, problems, 1)
		require.Contains(b, problems[0], "topic "+b.cfg.Topic(event.TopicRequested)+" has 3 partitions, not 2: set KAFKA_PARTITIONS=3")
	})
}

func TestCheckNamesARetentionThatWouldLoseRecords(t *testing.T) {
	onBrokers(t, func(b *bench) {
		admin := ensured(b)
		for _, c := range []struct{ story, topic, name, wrong, right, says string }{
			{"deleted by time", event.TopicDue, "retention.ms", "86400000", "-1", "deletes by time or size"},
			{"deleted by size", event.Ladder[0].Topic, "retention.bytes", "1000000", "-1", "deletes by time or size"},
			{"a compacted log", event.TopicAfterSend, "cleanup.policy", "compact", "delete", "is compacted"},
		} {
			b.configure(c.topic, c.name, c.wrong)
			b.within(c.story, func() bool { return len(check(b, admin)) > 0 })
			problems := check(b, admin)
			require.Len(b, problems, 1, c.story)
			require.Contains(b, problems[0], "topic "+b.cfg.Topic(c.topic)+" "+c.says)
			b.configure(c.topic, c.name, c.right)
			b.within("mended: "+c.story, func() bool { return len(check(b, admin)) == 0 })
		}
		b.configure(event.TopicDue, "retention.ms", "86400000")
		b.configure(event.TopicDue, "cleanup.policy", "compact,delete")
		b.within("compacted and deleted", func() bool { return len(check(b, admin)) == 1 })
	})
}

func (b *bench) configure(topic, name, value string) {
	b.Helper()
	resp, err := b.adm.AlterTopicConfigs(b.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, b.cfg.Topic(topic))
	require.NoError(b, err)
	for _, r := range resp {
		require.NoError(b, r.Err)
	}
}

func TestALostOffsetIsNamedAndOnlyMendedWhenAskedTo(t *testing.T) {
	onBrokers(t, func(b *bench) {
		admin := ensured(b)
		group := string(event.GroupSyncer)
		b.feed(event.TopicDue, 1, 3)
		b.forget(group, event.TopicDue, 0)
		b.forget(group, event.TopicRequested, 1)

		problems := check(b, admin)
		require.Len(b, problems, 2)
		require.Contains(b, problems[0], "group "+group+" has no offset for "+b.cfg.Topic(event.TopicDue)+" partition 0: run `erpconnector topics ensure`")
		require.Contains(b, problems[0], "--reset-missing-offsets")

		ensureAgain(b, admin, false)
		require.Equal(b, problems[:1], check(b, admin), "an empty partition loses nothing, one with records may")
		ensureAgain(b, admin, true)
		require.Empty(b, check(b, admin))
		at, _ := b.committed(group, event.TopicDue)
		require.Zero(b, at)
	})
}

func TestAnOffsetOutsideTheLogIsNamedAndOnlyMendedWhenAskedTo(t *testing.T) {
	onBrokers(t, func(b *bench) {
		admin := ensured(b)
		group := string(event.GroupDelayer)
		b.startAt(group, event.Ladder[0].Topic, 1, 100)
		ensureAgain(b, admin, false)
		problems := check(b, admin)
		require.Len(b, problems, 1)
		require.Contains(b, problems[0], "group "+group+" stands at offset 100 of "+b.cfg.Topic(event.Ladder[0].Topic)+" partition 0, which holds 0 to 0")
		ensureAgain(b, admin, true)
		require.Empty(b, check(b, admin))
	})
}

func (b *bench) forget(group, topic string, partition int32) {
	b.Helper()
	set := kadm.TopicsSet{}
	set.Add(b.cfg.Topic(topic), partition)
	resp, err := b.adm.DeleteOffsets(b.ctx, b.cfg.Group(group), set)
	require.NoError(b, err)
	require.NoError(b, resp.Error())
}

// A controller that knows no broker yet, as in the seconds after a start, refuses every topic.
func TestEnsureWaitsForBrokersThatHaveNotRegisteredYet(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	defer cluster.Close()
	refusals := 0
	cluster.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if refusals++; refusals > 3 {
			return nil, nil, false
		}
		req := r.(*kmsg.CreateTopicsRequest)
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, topic := range req.Topics {
			refused := kmsg.NewCreateTopicsResponseTopic()
			refused.Topic, refused.ErrorCode = topic.Topic, kerr.InvalidReplicationFactor.Code
			resp.Topics = append(resp.Topics, refused)
		}
		return resp, nil, true
	})
	admin, err := kafka.NewAdmin(kafka.Config{Brokers: cluster.ListenAddrs()}, 2)
	require.NoError(t, err)
	defer admin.Close()
	created, err := admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	require.Len(t, created, len(event.Topics()))
}
