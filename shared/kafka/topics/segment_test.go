package topics_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// administered creates our topics with one partition each, and a client.
func administered(t *testing.T, cfg kafka.Config) (*topics.Admin, *kgo.Client, *kadm.Client) {
	t.Helper()
	admin, err := topics.NewAdmin(cfg, 1)
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	client, err := kgo.NewClient(append(cfg.Options(), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return admin, client, kadm.NewClient(client)
}

// Symptom: consumed records were deleted, but no disk was freed, as a partition kept its last file of up to 1 GiB.
func TestTrimmingFreesTheDisk(t *testing.T) {
	t.Parallel()
	broker := testkit.OwnApache(t)
	cfg := kafka.Config{Brokers: broker.Addrs(), Prefix: "t."}
	_, client, adm := administered(t, cfg)
	topic := cfg.Topic(event.TopicDue)
	const record, segment = 4 << 20, 32 << 20
	value := make([]byte, record)
	_, _ = rand.Read(value)
	var last *kgo.Record
	for range 4 * segment / record {
		var err error
		last, err = client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: value}).First()
		require.NoError(t, err)
	}
	require.Greater(t, onDisk(t, adm, topic), int64(3*segment))
	consumed := kadm.Offsets{}
	consumed.AddOffset(topic, 0, last.Offset+1, -1)
	require.NoError(t, adm.CommitAllOffsets(t.Context(), cfg.Group(string(event.GroupSyncer)), consumed))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); topics.Trim(ctx, cfg, slog.New(slog.DiscardHandler)) }()
	defer func() { stop(); <-ended }()
	testkit.Eventually(t, func() bool { return onDisk(t, adm, topic) <= segment }, "the disk is freed")
}

// onDisk returns the size of a topic's files.
func onDisk(t *testing.T, adm *kadm.Client, topic string) int64 {
	t.Helper()
	of := kadm.TopicsSet{}
	of.Add(topic, 0)
	dirs, err := adm.DescribeAllLogDirs(t.Context(), of)
	require.NoError(t, err)
	var size int64
	dirs.Each(func(d kadm.DescribedLogDir) { size += d.Topics.Size() })
	return size
}

// Topics of an earlier version have the broker's default, 1 GiB on Apache Kafka. Services start all the same.
func TestLargeSegmentsOfTrimmedTopicsAreAWarning(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		admin, _, adm := administered(t, cfg)
		warnings, err := admin.Warnings(t.Context())
		require.NoError(t, err)
		require.Empty(t, warnings)
		due, kept := cfg.Topic(event.TopicDue), cfg.Topic(event.TopicRequested)
		_, err = adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "segment.bytes"}}, due, kept)
		require.NoError(t, err)
		testkit.Eventually(t, func() bool {
			warnings, err = admin.Warnings(t.Context())
			return err == nil && len(warnings) == 1
		}, "one warning")
		require.Contains(t, warnings[0], "each partition of "+due+" keeps a file")
		require.Contains(t, warnings[0], "--bootstrap-server "+cfg.Brokers[0]+" --alter --entity-type topics --entity-name "+due+" --add-config segment.bytes=33554432")
		problems, err := admin.Check(t.Context())
		require.NoError(t, err)
		require.Empty(t, problems)

		_, err = adm.DeleteTopic(t.Context(), due)
		require.NoError(t, err)
		testkit.Eventually(t, func() bool {
			warnings, err = admin.Warnings(t.Context())
			return err == nil && len(warnings) == 0
		}, "no warning: Check names a missing topic")
	})
}
