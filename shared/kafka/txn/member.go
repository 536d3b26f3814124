package txn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

const endsTimeout = 2 * time.Second

// ErrOffsetMissing means that a group has no committed offset for a partition it reads, or one outside of what the log
// holds. `topics ensure` commits one for every group when it creates a topic, so this is always a loss, and reading from
// either end would hide it.
var ErrOffsetMissing = errors.New("committed offset missing or outside the log: records would be skipped or repeated; " +
	"find out who deleted it, or the records, then run `erpconnector topics ensure --reset-missing-offsets`")

// assigned is one partition with the position its group committed.
type assigned struct {
	kafka.TopicPartition
	tracker *tracker // at that position, with what its metadata says is done beyond
	end     int64    // of the log
}

// callbacks tell of assignments. They run between polls or while one waits; the group goes on only when they return. An
// assignment is always whole: the one before was revoked or lost entirely.
type callbacks struct {
	assigned func([]assigned)
	revoked  func()
	lost     func()
}

// member reads committed records as a member of a classic group with the range assignor, so that the same partition of all
// its topics, which is all work of a key, comes to one member. It commits nothing itself: offsets go into transactions.
type member struct {
	cfg     kafka.Config
	group   string   // without the prefix
	topics  []string // without the prefix
	log     *slog.Logger
	tell    callbacks
	client  *kgo.Client
	admin   *kadm.Client
	giveUp  context.CancelFunc // ends what the client still waits for
	beating sync.WaitGroup

	mu       sync.Mutex
	heard    instant // when the last request was sent that the coordinator took as a member's
	missing  error
	topicIDs map[string][16]byte
}

// join makes a member of the group.
func join(cfg kafka.Config, group string, topics []string, log *slog.Logger, tell callbacks) (*member, error) {
	m := &member{cfg: cfg, group: group, topics: topics, log: log, tell: tell, topicIDs: map[string][16]byte{}}
	ctx, cancel := context.WithCancel(context.Background())
	client, err := kgo.NewClient(append(cfg.Options(),
		kgo.WithContext(ctx),
		kgo.ConsumerGroup(cfg.Group(group)),
		kgo.ConsumeTopics(cfg.Topics(topics)...),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(kafka.SessionTimeout),
		kgo.HeartbeatInterval(kafka.HeartbeatInterval),
		kgo.RebalanceTimeout(kafka.RebalanceTimeout),
		kgo.WithHooks(m),
		kgo.OnOffsetsFetched(m.fetched),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { tell.revoked() }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { tell.lost() }),
	)...)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	m.client, m.admin, m.giveUp = client, kadm.NewClient(client), cancel
	m.beating.Go(func() { m.beat(ctx) })
	return m, nil
}

// fetched is called with the committed offsets of a new assignment, before its first fetch.
func (m *member) fetched(ctx context.Context, client *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	ends := m.ends(ctx, client)
	var all []assigned
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for i := range t.Partitions {
				p := &t.Partitions[i]
				if p.ErrorCode != 0 {
					continue // the client gives the error to poll and leaves the partition out
				}
				a, err := m.assign(t.Topic, p)
				if err != nil {
					return m.fail(fmt.Errorf("group %s, %s partition %d: %w", g.Group, t.Topic, p.Partition, err))
				}
				a.end = math.MaxInt64
				if end, known := ends.Lookup(t.Topic, p.Partition); known && end.Err == nil {
					a.end = end.Offset
				}
				all = append(all, a)
			}
		}
	}
	// The client remembers what was paused over any rebalance; nobody who is assigned a partition knows of that.
	client.ResumeFetchPartitions(client.PauseFetchPartitions(nil))
	m.tell.assigned(all)
	return nil
}

// ends are where the logs end. What stands before may have been begun by a former owner; when they cannot be read, all of it.
func (m *member) ends(ctx context.Context, client *kgo.Client) kadm.ListedOffsets {
	ctx, cancel := context.WithTimeout(ctx, endsTimeout)
	defer cancel()
	ends, _ := kadm.NewClient(client).ListEndOffsets(ctx, m.cfg.Topics(m.topics)...)
	return ends
}

// assign reads the position of one partition. One that was added to the topic beyond the configured count has none: it
// begins at its start, and stays empty, as no writer of ours uses it.
func (m *member) assign(topic string, p *kmsg.OffsetFetchResponseGroupTopicPartition) (assigned, error) {
	at := assigned{TopicPartition: kafka.TopicPartition{Topic: topic, Partition: p.Partition}}
	if m.cfg.Partitions > 0 && int(p.Partition) >= m.cfg.Partitions {
		m.log.Warn("the topic has more partitions than KAFKA_PARTITIONS; the others stay unused, so leave the setting as it is",
			"topic", topic, "partition", p.Partition, "kafka_partitions", m.cfg.Partitions)
		if p.Offset < 0 {
			p.Offset = 0
		}
	}
	if p.Offset < 0 {
		return at, ErrOffsetMissing
	}
	metadata := ""
	if p.Metadata != nil {
		metadata = *p.Metadata
	}
	tracker, err := newTracker(p.Offset, metadata)
	if err != nil {
		return at, fmt.Errorf("%w: %w", ErrOffsetMissing, err)
	}
	at.tracker = tracker
	return at, nil
}

func (m *member) fail(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missing = err
	return err
}

// poll waits for records until ctx ends. An error may come beside records; ErrOffsetMissing is final.
func (m *member) poll(ctx context.Context, max int) (kgo.Fetches, error) {
	fetches := m.client.PollRecords(ctx, max)
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		case errors.Is(err, kerr.OffsetOutOfRange):
			failed = errors.Join(failed, m.outOfRange(ctx, topic, partition, err))
		case failed == nil:
			failed = fmt.Errorf("reading %s partition %d: %w", topic, partition, err)
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.missing != nil {
		return fetches, m.missing
	}
	return fetches, failed
}

// outOfRangeTimeout bounds the look at a position that a broker has refused.
const outOfRangeTimeout = 5 * time.Second

// outOfRange tells a loss from a member that was out for so long (halted, cut off) that others have read on meanwhile, and
// what it was about to read was deleted as consumed. That one only joins anew.
func (m *member) outOfRange(ctx context.Context, topic string, partition int32, refused error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outOfRangeTimeout)
	defer cancel()
	refused = fmt.Errorf("group %s, %s partition %d: %w", m.group, topic, partition, refused)
	lost, err := kafka.LostOffsets(ctx, m.admin, m.cfg.Group(m.group), []string{topic})
	if slices.ContainsFunc(lost, func(l kafka.LostOffset) bool { return l.Partition == partition }) {
		return m.fail(fmt.Errorf("%w: %w", ErrOffsetMissing, refused))
	}
	m.client.ForceRebalance()
	return errors.Join(refused, err)
}

// offsets is an empty set of positions in the name of this member and its generation.
func (m *member) offsets(ctx context.Context) (*Offsets, error) {
	id, generation := m.client.GroupMetadata()
	ids, err := m.ids(ctx)
	return &Offsets{Group: m.cfg.Group(m.group), Member: id, Generation: generation, topicIDs: ids}, err
}

// ids are the topics' ids, read once: a topic that is deleted and made anew is a loss that no commit must paper over.
func (m *member) ids(ctx context.Context) (map[string][16]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.topicIDs) > 0 {
		return m.topicIDs, nil
	}
	topics, err := m.admin.ListTopics(ctx, m.cfg.Topics(m.topics)...)
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
	m.topicIDs = ids
	return ids, nil
}

// OnBrokerE2E notes when the group was joined; it makes the member a kgo hook. The client's own heartbeats do not count:
// nothing tells here whether one was answered with a refusal.
func (m *member) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	const joinGroup, syncGroup = 11, 14
	if e2e.Err() == nil && (key == joinGroup || key == syncGroup) {
		m.heardAt(time.Now().Add(-e2e.DurationE2E()))
	}
}

// beat asks the coordinator each interval whether this is still a member of the generation, beside the client's own
// heartbeats, which tell nobody what they were answered.
func (m *member) beat(ctx context.Context) {
	for run.Sleep(ctx, kafka.HeartbeatInterval) {
		id, generation := m.client.GroupMetadata()
		if id == "" || generation < 0 {
			continue
		}
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = m.cfg.Group(m.group), id, generation
		timeout, cancel := context.WithTimeout(ctx, kafka.SessionTimeout/2)
		sent := time.Now()
		resp, err := req.RequestWith(timeout, m.client)
		cancel()
		if err != nil {
			continue
		}
		if refusal := kerr.ErrorForCode(resp.ErrorCode); refusal == nil || errors.Is(refusal, kerr.RebalanceInProgress) {
			m.heardAt(sent)
		}
	}
}

// heardAt never goes back.
func (m *member) heardAt(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := instantOf(at); i.monotonic > m.heard.monotonic {
		m.heard = i
	}
}

// heartbeatAge is how long ago this sent what the coordinator has taken as a member's. An answer that lay unread while the
// process was halted is as old as its question. Past the session time-out the partitions may be somebody else's.
func (m *member) heartbeatAge() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return instantOf(time.Now()).since(m.heard)
}

// leaveTimeout bounds leaving. The client cannot leave while it joins, which takes as long as the slowest member needs to
// hand over, or a dead one to be noticed; without brokers it cannot leave at all. Then the coordinator finds out by itself.
const leaveTimeout = 3 * time.Second

// close leaves the group; callbacks.revoked is called for what was assigned.
func (m *member) close() {
	timer := time.AfterFunc(leaveTimeout, m.giveUp)
	m.client.CloseAllowingRebalance()
	timer.Stop()
	m.giveUp()
	m.beating.Wait()
}
