package topics_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const partitions = 2

func TestMain(m *testing.M) { testkit.Main(m) }

// ensured returns an admin that has created the topics.
func ensured(b *testkit.Bench) *topics.Admin {
	b.Helper()
	admin, err := topics.NewAdmin(b.Cfg, partitions)
	require.NoError(b, err)
	b.Cleanup(admin.Close)
	created, err := admin.Ensure(b.Ctx, false)
	require.NoError(b, err)
	require.Len(b, created, len(event.Topics()))
	require.Empty(b, check(b, admin))
	return admin
}

func check(b *testkit.Bench, admin *topics.Admin) []string {
	b.Helper()
	problems, err := admin.Check(b.Ctx)
	require.NoError(b, err)
	return problems
}

// ensureAgain calls Ensure, which must find nothing to create.
func ensureAgain(b *testkit.Bench, admin *topics.Admin, resetMissing bool) {
	b.Helper()
	created, err := admin.Ensure(b.Ctx, resetMissing)
	require.NoError(b, err)
	require.Empty(b, created)
}

func TestEnsuringTwiceChangesNothing(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		admin := ensured(b)
		b.Feed(event.TopicDue, 1, 3)
		b.StartAt(string(event.GroupSyncer), event.TopicDue, 1, 2)
		ensureAgain(b, admin, true)
		at, _ := b.Committed(string(event.GroupSyncer), event.TopicDue)
		require.Equal(b, int64(2), at, "a position that exists stays")
		require.Empty(b, check(b, admin))
	})
}

func TestCheckNamesATopicThatIsMissing(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		admin := ensured(b)
		_, err := b.Adm.DeleteTopic(b.Ctx, b.Cfg.Topic(event.TopicSuccess))
		require.NoError(b, err)
		want := []string{"topic " + b.Cfg.Topic(event.TopicSuccess) + " is missing: run `erpconnector topics ensure`"}
		b.Within("the topic is gone", func() bool { return slices.Equal(want, check(b, admin)) })
		created, err := admin.Ensure(b.Ctx, false)
		require.NoError(b, err)
		require.Equal(b, []string{b.Cfg.Topic(event.TopicSuccess)}, created)
		b.Within("no problems", func() bool { return len(check(b, admin)) == 0 })
	})
}

// Somebody adds partitions. Symptom: Check advised to set the new count, and records of an order then went to another
// partition than before.
func TestAddedPartitionsAreNoProblemUntilTheyHoldRecords(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		admin := ensured(b)
		changed, err := b.Adm.CreatePartitions(b.Ctx, 1, b.Cfg.Topic(event.TopicRequested))
		require.NoError(b, err)
		require.NoError(b, changed.Error())
		b.Within("a warning", func() bool {
			warnings, err := admin.Warnings(b.Ctx)
			require.NoError(b, err)
			return slices.ContainsFunc(warnings, func(w string) bool {
				return strings.Contains(w, b.Cfg.Topic(event.TopicRequested)+": partitions were added beyond KAFKA_PARTITIONS=2")
			})
		})
		require.Empty(b, check(b, admin))
		b.Feed(event.TopicRequested, 3, 1) // a writer uses the new partition
		problems := check(b, admin)
		require.Len(b, problems, 1)
		require.Contains(b, problems[0], "topic "+b.Cfg.Topic(event.TopicRequested)+" has 3 partitions, not 2: set KAFKA_PARTITIONS=3")
	})
}

func TestCheckNamesFewerPartitionsThanTheSettingSays(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		ensured(b)
		more, err := topics.NewAdmin(b.Cfg, 3)
		require.NoError(b, err)
		defer more.Close()
		problems := check(b, more)
		require.NotEmpty(b, problems)
		require.Contains(b, problems[0], "has 2 partitions, not 3: set KAFKA_PARTITIONS=2")
	})
}

func TestCheckNamesWhatWouldLoseOrRefuseRecords(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		admin := ensured(b)
		for _, c := range []struct{ name, topic, key, wrong, right, problem string }{
			{"deleted by time", event.TopicDue, "retention.ms", "86400000", "-1", "deletes by time or size"},
			{"deleted by size", event.RetryTiers[0].Topic, "retention.bytes", "1000000", "-1", "deletes by time or size"},
			{"a compacted log", event.TopicAfterSend, "cleanup.policy", "compact", "delete", "is compacted"},
			{"the brokers' default limit", event.TopicBeforeSend, "max.message.bytes", "1048588", "8388608", "takes records of at most 1048588 bytes"},
			{"more replicas required than there are", event.TopicSuccess, "min.insync.replicas", "2", "1", "takes no record in partition 0: it has 1 replicas"},
			{"leaders that lack records", event.TopicPosition, "unclean.leader.election.enable", "true", "false", "can lose records with a broker"},
		} {
			configure(b, c.topic, c.key, c.wrong)
			b.Within(c.name, func() bool { return len(check(b, admin)) > 0 })
			problems := check(b, admin)
			require.Len(b, problems, 1, c.name)
			require.Contains(b, problems[0], "topic "+b.Cfg.Topic(c.topic)+" "+c.problem)
			configure(b, c.topic, c.key, c.right)
			b.Within("mended: "+c.name, func() bool { return len(check(b, admin)) == 0 })
		}
		configure(b, event.TopicDue, "retention.ms", "86400000")
		configure(b, event.TopicDue, "cleanup.policy", "compact,delete")
		b.Within("compacted and deleted", func() bool { return len(check(b, admin)) == 1 })
	})
}

func configure(b *testkit.Bench, topic, name, value string) {
	b.Helper()
	resp, err := b.Adm.AlterTopicConfigs(b.Ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, b.Cfg.Topic(topic))
	require.NoError(b, err)
	for _, r := range resp {
		require.NoError(b, r.Err)
	}
}

func TestALostOffsetIsNamedAndOnlyMendedWhenAskedTo(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		admin := ensured(b)
		group := string(event.GroupSyncer)
		b.Feed(event.TopicDue, 1, 3)
		forget(b, group, event.TopicDue, 0)
		forget(b, group, event.TopicRequested, 1)

		problems := check(b, admin)
		require.Len(b, problems, 2)
		require.Contains(b, problems[0], "group "+group+" has no offset for "+b.Cfg.Topic(event.TopicDue)+" partition 0: run `erpconnector topics ensure`")
		require.Contains(b, problems[0], "--reset-missing-offsets")

		ensureAgain(b, admin, false)
		require.Equal(b, problems[:1], check(b, admin), "an empty partition loses nothing, one with records may")
		ensureAgain(b, admin, true)
		require.Empty(b, check(b, admin))
		at, _ := b.Committed(group, event.TopicDue)
		require.Zero(b, at)
	})
}

func TestAnOffsetOutsideTheLogIsNamedAndOnlyMendedWhenAskedTo(t *testing.T) {
	testkit.OnBenches(t, func(b *testkit.Bench) {
		admin := ensured(b)
		group := string(event.GroupDelayer)
		b.StartAt(group, event.RetryTiers[0].Topic, 1, 100)
		ensureAgain(b, admin, false)
		problems := check(b, admin)
		require.Len(b, problems, 1)
		require.Contains(b, problems[0], "group "+group+" is at offset 100 of "+b.Cfg.Topic(event.RetryTiers[0].Topic)+" partition 0, which holds 0 to 0")
		ensureAgain(b, admin, true)
		require.Empty(b, check(b, admin))
	})
}

func forget(b *testkit.Bench, group, topic string, partition int32) {
	b.Helper()
	set := kadm.TopicsSet{}
	set.Add(b.Cfg.Topic(topic), partition)
	resp, err := b.Adm.DeleteOffsets(b.Ctx, b.Cfg.Group(group), set)
	require.NoError(b, err)
	require.NoError(b, resp.Error())
}

// In the seconds after its start a controller knows no broker, and refuses every topic.
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
	admin, err := topics.NewAdmin(kafka.Config{Brokers: cluster.ListenAddrs()}, 2)
	require.NoError(t, err)
	defer admin.Close()
	created, err := admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	require.Len(t, created, len(event.Topics()))
}

// Symptom: on a busy machine a process ended at its start, as a partition that was made a moment before had no leader yet.
func TestCheckWaitsForLeadersThatAreBeingElected(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	defer cluster.Close()
	admin, err := topics.NewAdmin(kafka.Config{Brokers: cluster.ListenAddrs()}, 2)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	var refusals atomic.Int64
	cluster.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if refusals.Add(1) > 30 { // more than a client tries by itself
			return nil, nil, false
		}
		req := r.(*kmsg.ListOffsetsRequest)
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range req.Topics {
			refused := kmsg.NewListOffsetsResponseTopic()
			refused.Topic = topic.Topic
			for _, p := range topic.Partitions {
				partition := kmsg.NewListOffsetsResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.LeaderNotAvailable.Code
				refused.Partitions = append(refused.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, refused)
		}
		return resp, nil, true
	})
	problems, err := admin.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)
}
