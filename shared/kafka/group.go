package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/pause"
)

// Group timing (promise 12): a killed member is noticed after the session time-out.
const (
	sessionTimeout    = 6 * time.Second
	heartbeatInterval = time.Second
	rebalanceTimeout  = 20 * time.Second // a revocation may let calls finish for 5 s and a transaction for 9 s
)

// ErrOffsetMissing means that a group has no committed offset for a partition it reads, or one outside of what the log
// holds. `topics ensure` commits one for every group when it creates a topic, so this is always a loss, and reading from
// either end would hide it.
var ErrOffsetMissing = errors.New("committed offset missing or outside the log: records would be skipped or repeated; " +
	"find out who deleted it, or the records, then run `erpconnector topics ensure --reset-missing-offsets`")

// AssignedPartition is one partition with the position its group committed.
type AssignedPartition struct {
	Topic     string // with the prefix
	Partition int32
	Offset    int64
	Tracker   *Tracker // at that position, with what its metadata says is done beyond
}

// Consumer says what a GroupConsumer reads and whom it tells. Callbacks run between polls or while one waits; the group
// goes on only when they return. An assignment is always whole: the one before was revoked or lost entirely.
type Consumer struct {
	Group      string   // without the prefix
	Topics     []string // without the prefix
	OnAssigned func([]AssignedPartition)
	OnRevoked  func()
	OnLost     func()
}

// GroupConsumer reads committed records as a member of a classic group with the range assignor, so that the same
// partition of all its topics, which is all work of an order, comes to one member. It commits nothing itself: offsets
// go into transactions (GroupOffsets, TxnProducer).
type GroupConsumer struct {
	cfg     Config
	spec    Consumer
	client  *kgo.Client
	admin   *kadm.Client
	heard   atomic.Int64       // unix nanoseconds of when the last request was sent that the coordinator took as a member's
	giveUp  context.CancelFunc // ends what the client still waits for
	beating sync.WaitGroup

	mu       sync.Mutex
	missing  error
	topicIDs map[string][16]byte
}

// NewGroupConsumer joins the group.
func NewGroupConsumer(cfg Config, spec Consumer) (*GroupConsumer, error) {
	c := &GroupConsumer{cfg: cfg, spec: spec, topicIDs: map[string][16]byte{}}
	ctx, cancel := context.WithCancel(context.Background())
	client, err := kgo.NewClient(append(cfg.Options(),
		kgo.WithContext(ctx),
		kgo.ConsumerGroup(cfg.Group(spec.Group)),
		kgo.ConsumeTopics(cfg.Topics(spec.Topics)...),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(heartbeatInterval),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.WithHooks(c),
		kgo.OnOffsetsFetched(c.fetched),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { spec.OnRevoked() }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { spec.OnLost() }),
	)...)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("group %s: %w", spec.Group, err)
	}
	c.client, c.admin, c.giveUp = client, kadm.NewClient(client), cancel
	c.beating.Go(func() { c.beat(ctx) })
	return c, nil
}

// fetched is called with the committed offsets of a new assignment, before its first fetch.
func (c *GroupConsumer) fetched(_ context.Context, client *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	var assigned []AssignedPartition
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					continue // the client gives the error to Poll and leaves the partition out
				}
				if p.Offset < 0 {
					return c.fail(fmt.Errorf("group %s, %s partition %d: %w", g.Group, t.Topic, p.Partition, ErrOffsetMissing))
				}
				metadata := ""
				if p.Metadata != nil {
					metadata = *p.Metadata
				}
				tracker, err := NewTracker(p.Offset, metadata)
				if err != nil {
					return c.fail(fmt.Errorf("group %s, %s partition %d: %w: %w", g.Group, t.Topic, p.Partition, ErrOffsetMissing, err))
				}
				assigned = append(assigned, AssignedPartition{Topic: t.Topic, Partition: p.Partition, Offset: p.Offset, Tracker: tracker})
			}
		}
	}
	// The client remembers what was paused over any rebalance; nobody who is assigned a partition knows of that.
	client.ResumeFetchPartitions(client.PauseFetchPartitions(nil))
	c.spec.OnAssigned(assigned)
	return nil
}

func (c *GroupConsumer) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missing = err
	return err
}

// Poll waits for records until ctx ends. An error may come beside records; ErrOffsetMissing is final.
func (c *GroupConsumer) Poll(ctx context.Context, most int) (kgo.Fetches, error) {
	fetches := c.client.PollRecords(ctx, most)
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		case errors.Is(err, kerr.OffsetOutOfRange):
			failed = errors.Join(failed, c.outOfRange(ctx, topic, partition, err))
		case failed == nil:
			failed = fmt.Errorf("reading %s partition %d: %w", topic, partition, err)
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missing != nil {
		return fetches, c.missing
	}
	return fetches, failed
}

// outOfRangeWithin bounds the look at a position that a broker has refused.
const outOfRangeWithin = 5 * time.Second

// outOfRange tells a loss from a member that was out for so long (halted, cut off) that others have read on meanwhile, and
// what it was about to read was deleted as consumed. That one only joins anew.
func (c *GroupConsumer) outOfRange(ctx context.Context, topic string, partition int32, refused error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outOfRangeWithin)
	defer cancel()
	refused = fmt.Errorf("group %s, %s partition %d: %w", c.spec.Group, topic, partition, refused)
	lost, err := lostOffsets(ctx, c.admin, c.cfg.Group(c.spec.Group), []string{topic})
	if slices.ContainsFunc(lost, func(l lostOffset) bool { return l.partition == partition }) {
		return c.fail(fmt.Errorf("%w: %w", ErrOffsetMissing, refused))
	}
	c.client.ForceRebalance()
	return errors.Join(refused, err)
}

// AllowRebalance ends the time after a poll in which partitions stay.
func (c *GroupConsumer) AllowRebalance() { c.client.AllowRebalance() }

// Pause stops fetching partitions until Resume or the next assignment; records already fetched stay in the client.
func (c *GroupConsumer) Pause(partitions map[string][]int32) {
	c.client.PauseFetchPartitions(partitions)
}

// Resume fetches paused partitions again.
func (c *GroupConsumer) Resume(partitions map[string][]int32) {
	c.client.ResumeFetchPartitions(partitions)
}

// GroupOffsets is an empty set of positions in the name of this member and its generation.
func (c *GroupConsumer) GroupOffsets(ctx context.Context) (GroupOffsets, error) {
	member, generation := c.client.GroupMetadata()
	ids, err := c.ids(ctx)
	return GroupOffsets{
		Group: c.cfg.Group(c.spec.Group), Member: member, Generation: generation, topicIDs: ids,
	}, err
}

// ids are the topics' ids, read once: a topic that is deleted and made anew is a loss that no commit must paper over.
func (c *GroupConsumer) ids(ctx context.Context) (map[string][16]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.topicIDs) > 0 {
		return c.topicIDs, nil
	}
	topics, err := c.admin.ListTopics(ctx, c.cfg.Topics(c.spec.Topics)...)
	if err != nil {
		return nil, fmt.Errorf("reading topic ids: %w", err)
	}
	ids := map[string][16]byte{}
	for _, t := range topics {
		if t.Err != nil {
			return nil, fmt.Errorf("reading the id of topic %s: %w", t.Topic, t.Err)
		}
		ids[t.Topic] = t.ID
	}
	c.topicIDs = ids
	return ids, nil
}

// Positions are a group's committed positions, with what is done beyond them.
type Positions map[string]map[int32]position

type position struct {
	offset int64
	done   map[int64]bool
}

// Done reports whether a record is covered by the positions.
func (p Positions) Done(topic string, partition int32, offset int64) bool {
	at, ok := p[topic][partition]
	return ok && (offset < at.offset || at.done[offset])
}

// At is the first offset of a partition that is not done; known is false when the group never committed one.
func (p Positions) At(topic string, partition int32) (offset int64, known bool) {
	at, ok := p[topic][partition]
	return at.offset, ok && at.offset >= 0
}

// Committed reads the group's positions once no transaction has any pending.
func (c *GroupConsumer) Committed(ctx context.Context) (Positions, error) {
	return ReadPositions(ctx, c.cfg, c.admin, c.spec.Group)
}

// ReadPositions reads the positions of a group, named without the prefix, once no transaction has any pending. Its caller
// need not be a member.
func ReadPositions(ctx context.Context, cfg Config, admin *kadm.Client, group string) (Positions, error) {
	for {
		offsets, err := admin.FetchOffsets(kadm.RequireStable(ctx), cfg.Group(group))
		if err == nil {
			err = offsets.Error()
		}
		switch {
		case err == nil:
			return positions(offsets)
		case !errors.Is(err, kerr.UnstableOffsetCommit):
			return nil, fmt.Errorf("reading the positions of group %s: %w", group, err)
		}
		if !pause.For(ctx, 20*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

func positions(offsets kadm.OffsetResponses) (Positions, error) {
	out := Positions{}
	var failed error
	offsets.Each(func(o kadm.OffsetResponse) {
		done, err := parseMetadata(o.At, o.Metadata)
		failed = errors.Join(failed, err)
		if out[o.Topic] == nil {
			out[o.Topic] = map[int32]position{}
		}
		out[o.Topic][o.Partition] = position{offset: o.At, done: done}
	})
	return out, failed
}

// OnBrokerE2E notes when the group was joined; it makes the consumer a kgo hook. The client's own heartbeats do not count:
// nothing tells here whether one was answered with a refusal.
func (c *GroupConsumer) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	const joinGroup, syncGroup = 11, 14
	if e2e.Err() == nil && (key == joinGroup || key == syncGroup) {
		c.heardAt(time.Now().Add(-e2e.DurationE2E()))
	}
}

// beat asks the coordinator each interval whether this is still a member of the generation, beside the client's own
// heartbeats, which tell nobody what they were answered.
func (c *GroupConsumer) beat(ctx context.Context) {
	for pause.For(ctx, heartbeatInterval) {
		member, generation := c.client.GroupMetadata()
		if member == "" || generation < 0 {
			continue
		}
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = c.cfg.Group(c.spec.Group), member, generation
		within, cancel := context.WithTimeout(ctx, sessionTimeout/2)
		sent := time.Now()
		resp, err := req.RequestWith(within, c.client)
		cancel()
		if err != nil {
			continue
		}
		if refusal := kerr.ErrorForCode(resp.ErrorCode); refusal == nil || errors.Is(refusal, kerr.RebalanceInProgress) {
			c.heardAt(sent)
		}
	}
}

// heardAt never goes back.
func (c *GroupConsumer) heardAt(at time.Time) {
	for before := c.heard.Load(); at.UnixNano() > before; before = c.heard.Load() {
		if c.heard.CompareAndSwap(before, at.UnixNano()) {
			return
		}
	}
}

// HeartbeatAge is how long ago this sent what the coordinator has taken as a member's. An answer that lay unread while the
// process was halted is as old as its question. Past the session time-out the partitions may be somebody else's.
func (c *GroupConsumer) HeartbeatAge() time.Duration {
	return time.Since(time.Unix(0, c.heard.Load()))
}

// leaveWithin bounds leaving. The client cannot leave while it joins, which takes as long as the slowest member needs to hand
// over, or a dead one to be noticed; without brokers it cannot leave at all. Then the coordinator finds out by itself.
const leaveWithin = 3 * time.Second

// Close leaves the group; OnRevoked is called for what was assigned.
func (c *GroupConsumer) Close() {
	timer := time.AfterFunc(leaveWithin, c.giveUp)
	c.client.CloseAllowingRebalance()
	timer.Stop()
	c.giveUp()
	c.beating.Wait()
}
