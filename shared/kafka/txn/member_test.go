package txn

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// keepPolling lets a member take part in rebalances until the returned function is called.
func keepPolling(b *bench, m *testMember) (stop func()) {
	ctx, cancel := context.WithCancel(b.Ctx)
	var polling sync.WaitGroup
	polling.Go(func() {
		for ctx.Err() == nil {
			_, _ = m.poll(ctx, 100)
			m.client.AllowRebalance()
		}
	})
	return func() { cancel(); polling.Wait() }
}

func TestARebalanceRevokesAndTheOldGenerationsCommitIsRefused(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.input(2, 3)
		b.Topic("out", 1)
		first := b.join()
		require.Len(b, testkit.Receive(b.Bench, first.assigned, "all partitions for the first"), 2)
		late := b.batch("late")
		late.Offsets = b.offsets(first, 3, "")
		require.Less(b, first.heartbeatAge(), 6*time.Second)

		defer keepPolling(b, first)()
		second := b.join()
		testkit.Receive(b.Bench, first.revoked, "the first to be revoked")
		require.Len(b, testkit.Receive(b.Bench, first.assigned, "half for the first"), 1)
		require.Len(b, testkit.Receive(b.Bench, second.assigned, "half for the second"), 1)

		p := b.producer()
		require.ErrorIs(b, p.Commit(b.Ctx, late), ErrNotOwner)
		require.Empty(b, b.Visible())
		at, _ := b.Committed("g", "in")
		require.Zero(b, at)
	})
}

func TestAGroupWithoutItsOffsetStops(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.Topic("in", 1)
		b.Feed("in", 1, 3)
		m := b.join()
		_, err := m.poll(b.Ctx, 10)
		require.ErrorIs(b, err, ErrOffsetMissing)
		require.ErrorContains(b, err, "erpconnector topics ensure --reset-missing-offsets")
		require.Empty(b, m.assigned, "nothing is assigned")
	})
}

// The client would go back to the start of the log by itself, and every record would be handled again.
func TestAGroupWhoseOffsetLiesOutsideTheLogStops(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.Topic("in", 1)
		b.Feed("in", 1, 3)
		b.StartAt("g", "in", 1, 100)
		m := b.join()
		_, err := m.poll(b.Ctx, 10)
		require.ErrorIs(b, err, ErrOffsetMissing)
		require.ErrorContains(b, err, b.Cfg.Topic("in"))
	})
}

// A read of what is behind finds it while the poll waits for a record that may not come.
func TestALossThatIsFoundBesideThePollEndsIt(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.input(1, 0)
		m := b.join()
		ended := make(chan error, 1)
		go func() {
			_, err := m.poll(b.Ctx, 10)
			ended <- err
		}()
		testkit.Receive(b.Bench, m.assigned, "an assignment")
		_ = m.fail(ErrOffsetMissing)
		require.ErrorIs(b, testkit.Receive(b.Bench, ended, "the end of the poll"), ErrOffsetMissing)
		m.client.AllowRebalance()
	})
}

// Symptom: a partition that was paused in one assignment was not read in the next one.
func TestAnAssignmentBeginsWithNothingPaused(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.input(2, 3)
		first := b.join()
		require.Len(b, testkit.Receive(b.Bench, first.assigned, "all partitions for the first"), 2)
		first.client.PauseFetchPartitions(map[string][]int32{b.Cfg.Topic("in"): {0, 1}})
		second := b.join()
		stop := keepPolling(b, first)
		testkit.Receive(b.Bench, first.revoked, "the first to be revoked")
		stop()
		require.Len(b, testkit.Receive(b.Bench, second.assigned, "half for the second"), 1)
		require.Len(b, b.read(second, 3), 3)
		require.Len(b, b.read(first, 3), 3)
	})
}

// A member that was halted for long comes back with an old position. Others have read on, and the records there were trimmed.
// Nothing is lost, so it joins again and reads on from the group's position.
func TestAMemberWhosePositionWasTrimmedAsConsumedJoinsAnew(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.input(1, 5)
		b.Topic("out", 1)
		trimmed := make(chan struct{})
		m := b.joinThen(func() { <-trimmed })
		testkit.Receive(b.Bench, m.assigned, "an assignment")
		batch := b.batch("of the first three")
		batch.Offsets = b.offsets(m, 3, "")
		require.NoError(b, b.producer().Commit(b.Ctx, batch))
		trim := kadm.Offsets{}
		trim.AddOffset(b.Cfg.Topic("in"), 0, 3, -1)
		deleted, err := b.Adm.DeleteRecords(b.Ctx, trim)
		require.NoError(b, err)
		require.NoError(b, deleted.Error())
		close(trimmed)

		var read []string
		for len(read) < 2 {
			fetches, err := m.poll(b.Ctx, 10)
			m.client.AllowRebalance()
			require.NotErrorIs(b, err, ErrOffsetMissing)
			require.NoError(b, b.Ctx.Err())
			for _, r := range fetches.Records() {
				read = append(read, string(r.Value))
			}
		}
		require.Equal(b, []string{"3", "4"}, read)
	})
}

// The client's own heartbeats are answered after the removal too, with a refusal that only the client sees.
func TestARemovedMemberHasNoFreshHeartbeat(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.input(1, 3)
		m := b.join()
		_, err := m.poll(b.Ctx, 10) // no rebalance until AllowRebalance
		require.NoError(b, err)
		testkit.Eventually(b, func() bool { return m.heartbeatAge() < 100*time.Millisecond }, "a fresh heartbeat")
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group = b.Cfg.Group("g")
		leave.Members = append(leave.Members, kmsg.LeaveGroupRequestMember{MemberID: b.offsets(m, 0, "").Member})
		resp, err := leave.RequestWith(b.Ctx, b.Client)
		require.NoError(b, err)
		require.NoError(b, kerr.ErrorForCode(resp.ErrorCode))
		require.NoError(b, kerr.ErrorForCode(resp.Members[0].ErrorCode))
		removed := time.Now()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for since := time.Duration(0); since < 3*time.Second; since = time.Since(removed) { // some heartbeats long
			require.GreaterOrEqual(b, m.heartbeatAge(), since)
			<-tick.C
		}
		m.client.AllowRebalance()
	})
}

// While one member keeps its partitions no other one can join. A member that must stop meanwhile does.
func TestAMemberStopsWhileItsGroupIsStuck(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.input(2, 3)
		stuck := b.join()
		_, err := stuck.poll(b.Ctx, 10) // no rebalance until AllowRebalance
		require.NoError(b, err)
		joining := b.join()
		group := b.Cfg.Group("g")
		testkit.Eventually(b, func() bool {
			groups, err := b.Adm.DescribeGroups(b.Ctx, group)
			return err == nil && groups[group].State == "PreparingRebalance"
		}, "the group waits for its stuck member")
		began := time.Now()
		joining.close()
		require.Less(b, time.Since(began), 10*time.Second, "a rebalance may take 20 s")
		stuck.client.AllowRebalance()
	})
}
