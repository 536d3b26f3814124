package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	maxPollRecords = 1000
	// A partition with so many waiting records is paused, and resumed when a quarter is left. A pause should be rare,
	// as the client drops what it has fetched ahead.
	queueRecords = 10_000
	queueBytes   = 8 << 20

	commitInterval = time.Second
	commitTimeout  = 5 * time.Second
)

// subscription is one call of Subscribe: a client, and a worker for each partition that has had records.
type subscription struct {
	cfg    SubscriberConfig
	topic  string // with the prefix
	client *kgo.Client
	ctx    context.Context //nolint:containedctx // of Subscribe; the messages' contexts are made from it
	out    chan *message.Message
	outage run.Outage

	mu      sync.Mutex
	workers map[int32]*worker
}

func newSubscription(ctx context.Context, cfg SubscriberConfig, topic string) (*subscription, error) {
	s := &subscription{
		cfg: cfg, topic: cfg.Topic(topic), ctx: ctx, out: make(chan *message.Message), workers: map[int32]*worker{},
		outage: run.Outage{
			Began: "subscription cannot read; it keeps trying", Ended: "subscription reads again",
			Fields: []any{"topic", cfg.Topic(topic), "group", cfg.Group},
		},
	}
	start := kgo.NewOffset().AtStart()
	if cfg.Group == "" && !cfg.Start.IsZero() {
		start = start.AfterMilli(cfg.Start.UnixMilli())
	}
	options := append(cfg.Options(),
		kgo.DisableClientMetrics(),
		kgo.ConsumeTopics(s.topic),
		kgo.ConsumeResetOffset(start),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if cfg.Group != "" {
		options = append(options, s.groupOptions()...)
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	s.client = client
	return s, nil
}

// groupOptions returns the options of a group member. It uses the classic protocol, in which the client sets the
// session time-out. Partitions move one by one (cooperative), so that the others go on.
func (s *subscription) groupOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(s.cfg.Config.Group(s.cfg.Group)),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(kafka.SessionTimeout),
		kgo.HeartbeatInterval(kafka.HeartbeatInterval),
		kgo.RebalanceTimeout(kafka.RebalanceTimeout),
		kgo.BlockRebalanceOnPoll(),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(commitInterval),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) { s.revoked(partitions[s.topic]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			stopWorkers(s.take(partitions[s.topic]), 0)
		}),
	}
}

// run polls until polling ends. It never waits for a worker, so that the group can rebalance at any time.
func (s *subscription) run(polling context.Context) {
	for polling.Err() == nil {
		fetches := s.client.PollRecords(polling, maxPollRecords)
		s.report(fetches)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				s.worker(p.Partition).push(p.Records)
			}
		})
		s.client.AllowRebalance()
	}
	if s.cfg.Group == "" {
		stopWorkers(s.takeAll(), s.cfg.StopWait)
	}
	s.client.CloseAllowingRebalance() // with a group this calls revoked for all partitions
	stopWorkers(s.takeAll(), 0)
	close(s.out)
}

// worker returns the worker of a partition, and starts it if there is none.
func (s *subscription) worker(partition int32) *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.workers[partition]
	if !ok {
		w = startWorker(s, partition)
		s.workers[partition] = w
	}
	return w
}

// revoked waits for the acks of delivered messages and commits, before the partitions' next owner reads the positions.
func (s *subscription) revoked(partitions []int32) {
	stopWorkers(s.take(partitions), s.cfg.StopWait)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), commitTimeout)
	defer cancel()
	if err := s.client.CommitMarkedOffsets(ctx); err != nil {
		s.cfg.Log.Warn("positions could not be committed; messages that were acked will come again",
			"group", s.cfg.Group, "topic", s.topic, "error", err)
	}
}

// take removes and returns the workers of the partitions.
func (s *subscription) take(partitions []int32) []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken []*worker
	for _, p := range partitions {
		if w, ok := s.workers[p]; ok {
			taken = append(taken, w)
			delete(s.workers, p)
		}
	}
	return taken
}

func (s *subscription) takeAll() []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		taken = append(taken, w)
	}
	clear(s.workers)
	return taken
}

// report logs when reading begins to fail and when it works again. The client retries by itself. A poll without records
// and errors may still be part of an outage, so only records end it.
func (s *subscription) report(fetches kgo.Fetches) {
	var failed error
	fetches.EachError(func(_ string, partition int32, err error) {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			failed = fmt.Errorf("partition %d: %w", partition, err)
		}
	})
	if failed != nil || fetches.NumRecords() > 0 {
		s.outage.Report(s.cfg.Log, failed)
	}
}
