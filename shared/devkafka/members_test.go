package devkafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const group = "g"

// consumer is a member of the group that sends what it is told and nothing else.
type consumer struct {
	t      *testing.T
	client *kgo.Client
	id     string
}

func newConsumer(t *testing.T, broker *devkafka.Broker) *consumer {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addrs()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &consumer{t: t, client: client}
}

func (c *consumer) join() (*kmsg.JoinGroupResponse, error) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.MemberID, r.ProtocolType = group, c.id, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 6000, 300_000
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	return r.RequestWith(c.t.Context(), c.client)
}

// register gives the consumer the id that the broker wants members to join with.
func (c *consumer) register() {
	c.t.Helper()
	got, err := c.join()
	require.NoError(c.t, err)
	c.id = got.MemberID
}

func (c *consumer) sync(generation int32, assigned ...string) {
	c.t.Helper()
	r := kmsg.NewPtrSyncGroupRequest()
	r.Group, r.MemberID, r.Generation = group, c.id, generation
	for _, id := range assigned {
		r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id})
	}
	_, err := r.RequestWith(c.t.Context(), c.client)
	require.NoError(c.t, err)
}

func (c *consumer) heartbeat(generation int32) {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.MemberID, r.Generation = group, c.id, generation
	_, _ = r.RequestWith(c.t.Context(), c.client)
}

// A consumer died while it joined. It stayed in the group for ever, and nobody read the partitions that it was given: after a kill
// the crash harness found orders that were requested and never sent.
func TestAConsumerThatDiesWhileItJoinsLeavesTheGroup(t *testing.T) {
	t.Parallel()
	broker, err := devkafka.Start(t.TempDir(), 0)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	first, second := newConsumer(t, broker), newConsumer(t, broker)
	adm := kadm.NewClient(newConsumer(t, broker).client)
	described := func() kadm.DescribedGroup {
		groups, err := adm.DescribeGroups(t.Context(), group)
		require.NoError(t, err)
		return groups[group]
	}

	first.register()
	joined, err := first.join()
	require.NoError(t, err)
	first.sync(joined.Generation, first.id)
	second.register()
	died := make(chan struct{})
	go func() {
		defer close(died)
		_, _ = second.join() // waits for first to join again
	}()
	testkit.Eventually(t, func() bool {
		first.heartbeat(joined.Generation)
		return described().State == "PreparingRebalance"
	}, "second has asked to join")
	second.client.Close()
	<-died

	joined, err = first.join()
	require.NoError(t, err)
	require.Len(t, joined.Members, 2, "first is the leader, and sees second as a member")
	first.sync(joined.Generation, first.id, second.id)
	testkit.Eventually(t, func() bool {
		first.heartbeat(joined.Generation)
		return len(described().Members) == 1 || described().State == "PreparingRebalance"
	}, "second is a member no longer")
}
