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

// ErrOffsetMissing means that a group has no committed offset for a partition it reads, or one outside the log. `topics
// ensure` commits one for every group when it creates a topic. So this is always a loss, and reading from either end
// would hide it.
var ErrOffsetMissing = errors.New("committed offset missing or outside the log: records would be skipped or repeated; " +
	"find out who deleted it, or the records, then run `erpconnector topics ensure --reset-missing-offsets`")

// assigned is one partition with the position that its group committed.
type assigned struct {
	kafka.TopicPartition
	committed committed
	end       int64 // of the log
}

// callbacks are called when an assignment begins or ends. They run between polls or during one; the group goes on only
// when they return. The range assignor revokes all partitions before it assigns others, so an assignment replaces the
// whole one before.
type callbacks struct {
	assigned func([]assigned)
	revoked  func()
	lost     func()
	patient  func() bool // no partition is paused, nor will be soon: a fetch may wait for long
}

// member reads committed records as a member of a consumer group. The group has the classic protocol and the range
// assignor, which gives one member the same partition of all topics, and so all work of a key. A member commits nothing
// itself: offsets go into transactions.
type member struct {
	cfg          kafka.Config
	group        string   // without the prefix
	topics       []string // without the prefix
	log          *slog.Logger
	on           callbacks
	client       *kgo.Client
	beside       *kgo.Client // reads what was passed over: on the client's connection it would wait behind a fetch that waits for records
	admin        *kadm.Client
	giveUp       context.CancelFunc // ends the client's requests
	heartbeating sync.WaitGroup
	starts       []assigned      // between fetched and start, which are called one after the other
	failed       context.Context //nolint:containedctx // ends with ErrOffsetMissing, as its cause
	fails        context.CancelCauseFunc

	mu        sync.Mutex
	lastHeard instant // when the last request was sent that the coordinator answered as a member's
	topicIDs  map[string][16]byte
}

// join makes a member of the group.
func join(cfg kafka.Config, group string, topics []string, log *slog.Logger, on callbacks) (*member, error) {
	m := &member{cfg: cfg, group: group, topics: topics, log: log, on: on, topicIDs: map[string][16]byte{}}
	m.failed, m.fails = context.WithCancelCause(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	client, err := kgo.NewClient(append(slices.Concat(cfg.Options(), cfg.PatientFetchWhile(on.patient)),
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
		kgo.AdjustFetchOffsetsFn(m.start),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { on.revoked() }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { on.lost() }),
	)...)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	beside, err := kgo.NewClient(append(cfg.Options(), kgo.WithContext(ctx))...)
	if err != nil {
		cancel()
		client.Close()
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	m.client, m.beside, m.admin, m.giveUp = client, beside, kadm.NewClient(client), cancel
	m.heartbeating.Go(func() { m.heartbeat(ctx) })
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
					continue // the client leaves the partition out, and poll returns the error
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
	// The client keeps paused partitions over a rebalance, but a new assignment begins with nothing paused.
	client.ResumeFetchPartitions(client.PauseFetchPartitions(nil))
	m.starts = all
	m.on.assigned(all)
	return nil
}

// start lets the client read partitions from the position of their records that are not behind. That of the group may be
// far before it: catchUp reads from there.
func (m *member) start(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for _, one := range m.starts {
		if _, is := offsets[one.Topic][one.Partition]; is && len(one.committed.behind) > 0 {
			offsets[one.Topic][one.Partition] = kgo.NewOffset().At(one.committed.position)
		}
	}
	return offsets, nil
}

// ends reads where the logs end. A former owner may have begun records before that (Task.MayBeRepeated). A partition
// whose end cannot be read counts as if all its records were before it.
func (m *member) ends(ctx context.Context, client *kgo.Client) kadm.ListedOffsets {
	ctx, cancel := context.WithTimeout(ctx, endsTimeout)
	defer cancel()
	ends, _ := kadm.NewClient(client).ListEndOffsets(ctx, m.cfg.Topics(m.topics)...)
	return ends
}

// assign reads the position of one partition. A partition that was added to the topic above the configured count has
// none. It begins at its start, and stays empty, as no writer of ours uses it.
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
	done, err := parse(p.Offset, metadata)
	if err != nil {
		return at, fmt.Errorf("%w: %w", ErrOffsetMissing, err)
	}
	at.committed = done
	return at, nil
}

// fail makes err final: a poll that is under way returns it, and every later one.
func (m *member) fail(err error) error {
	m.fails(err)
	return err
}

// poll waits for records until ctx ends. It may return records and an error. ErrOffsetMissing is final.
func (m *member) poll(ctx context.Context, max int) (kgo.Fetches, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.failed, cancel)()
	fetches := m.client.PollRecords(waiting, max)
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
	if m.failed.Err() != nil {
		return fetches, context.Cause(m.failed)
	}
	return fetches, failed
}

// outOfRangeTimeout limits the requests about a position that a broker has refused.
const outOfRangeTimeout = 5 * time.Second

// outOfRange handles a position outside the log. There are two causes. Either the group's position is lost; that is
// final. Or this member was halted or cut off for long: others have read on, and the records at its position were
// deleted as consumed. Then it only joins the group again.
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

// offsets returns an empty set of positions for this member and its generation.
func (m *member) offsets(ctx context.Context) (*Offsets, error) {
	id, generation := m.client.GroupMetadata()
	ids, err := m.ids(ctx)
	return &Offsets{Group: m.cfg.Group(m.group), Member: id, Generation: generation, topicIDs: ids}, err
}

// ids returns the topics' ids. They are read once: when a topic is deleted and made again, commits with the old id must
// fail, as its records are lost.
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

// OnBrokerE2E notes when the group was joined. It makes the member a kgo hook. The client's own heartbeats do not count
// here: the hook does not see whether the answer was a refusal.
func (m *member) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	const joinGroup, syncGroup = 11, 14
	if e2e.Err() == nil && (key == joinGroup || key == syncGroup) {
		m.noteHeard(time.Now().Add(-e2e.DurationE2E()))
	}
}

// heartbeat asks the coordinator at each interval whether this is still a member of the generation. The client sends
// heartbeats too, but does not show their answers.
func (m *member) heartbeat(ctx context.Context) {
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
			m.noteHeard(sent)
		}
	}
}

// noteHeard sets lastHeard, unless it is later already: answers may come out of order.
func (m *member) noteHeard(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := instantOf(at); m.lastHeard.wall.IsZero() || i.monotonic > m.lastHeard.monotonic { // in virtual time all may be before the process began
		m.lastHeard = i
	}
}

// heartbeatAge returns the time since the last request was sent that the coordinator answered as a member's. It counts
// from the sending: an answer may lie unread while the process is halted. After the session time-out the partitions may
// have another owner.
func (m *member) heartbeatAge() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return instantOf(time.Now()).since(m.lastHeard)
}

// leaveTimeout limits how long leaving may take. The client cannot leave while it joins, and joining takes until the
// slowest member has handed over, or a dead one is noticed. Without brokers it cannot leave at all. Then the
// coordinator removes the member by itself.
const leaveTimeout = 3 * time.Second

// close leaves the group. It calls callbacks.revoked for the current assignment.
func (m *member) close() {
	timer := time.AfterFunc(leaveTimeout, m.giveUp)
	m.client.CloseAllowingRebalance()
	timer.Stop()
	m.giveUp()
	m.beside.Close()
	m.heartbeating.Wait()
}
