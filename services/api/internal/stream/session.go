package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

const maxPollRecords = 500

// session is one Kafka client that fills a ring, until its last reader has left or the log cannot be read.
type session struct {
	cfg     kafka.Config
	limits  Limits
	readers int // guarded by the hub's mutex
	report  func(error)
	stop    func()        // ends the session and waits for it
	ready   chan struct{} // closed once the fields below are set

	partitions []kafka.TopicPartition // sorted; an ID has their offsets in this order
	index      map[kafka.TopicPartition]int
	begin      []int64 // of the log
	log        uint32
	admin      *kadm.Client

	mu      sync.Mutex
	ring    *ring
	changed chan struct{} // closed when the ring has more, or err is set
	err     error
}

func startSession(cfg kafka.Config, limits Limits, report func(error)) *session {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{cfg: cfg.As("erpconnector-api-events"), limits: limits, report: report, ready: make(chan struct{}), changed: make(chan struct{})}
	done := make(chan struct{})
	s.stop = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		s.run(ctx)
	}()
	return s
}

// run reads until ctx ends or the log cannot be read. Brokers that are away are waited for: kgo tries on by itself.
func (s *session) run(ctx context.Context) {
	client, err := s.open(ctx)
	if err != nil {
		s.fail(ctx, err)
		close(s.ready)
		return
	}
	defer client.Close()
	close(s.ready)
	s.report(nil)
	for {
		fetches := client.PollRecords(ctx, maxPollRecords)
		if ctx.Err() != nil {
			return
		}
		if err := fetchError(fetches); err != nil {
			s.fail(ctx, err)
			return
		}
		s.add(fetches)
	}
}

// fetchError is the last error of the fetches: one that no further try mends, like a log that was trimmed.
func fetchError(fetches kgo.Fetches) (failed error) {
	fetches.EachError(func(topic string, partition int32, err error) {
		failed = fmt.Errorf("reading %s partition %d: %w", topic, partition, err)
	})
	return failed
}

// open makes the client, which reads committed records from the end of the log on.
func (s *session) open(ctx context.Context) (client *kgo.Client, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	options := append(s.cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	client, err = kgo.NewClient(slices.Concat(options, s.cfg.PatientFetch(), kafka.BoundedFetch())...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	s.admin = kadm.NewClient(client)
	topics := s.cfg.Topics(Types)
	begin, err := kafka.Listed(s.admin.ListStartOffsets(ctx, topics...))
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	end, err := kafka.Listed(s.admin.ListCommittedOffsets(ctx, topics...)) // what is in an open transaction is yet to come
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	client.AddConsumePartitions(s.begins(begin, end))
	return client, nil
}

// begins notes the partitions, and says from where to read each.
func (s *session) begins(begin, end kadm.ListedOffsets) map[string]map[int32]kgo.Offset {
	at, from := []int64{}, map[string]map[int32]kgo.Offset{}
	s.index = map[kafka.TopicPartition]int{}
	end.Each(func(o kadm.ListedOffset) {
		s.partitions = append(s.partitions, kafka.TopicPartition{Topic: o.Topic, Partition: o.Partition})
	})
	slices.SortFunc(s.partitions, func(a, b kafka.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for i, p := range s.partitions {
		first, _ := begin.Lookup(p.Topic, p.Partition)
		next, _ := end.Lookup(p.Topic, p.Partition)
		s.index[p] = i
		s.begin, at = append(s.begin, first.Offset), append(at, next.Offset)
		if from[p.Topic] == nil {
			from[p.Topic] = map[int32]kgo.Offset{}
		}
		from[p.Topic][p.Partition] = kgo.NewOffset().At(next.Offset)
	}
	s.log, s.ring = logOf(s.partitions), newRing(at, s.limits)
	return from
}

// factOf reads a record. ok is false for one that nobody can read.
func (s *session) factOf(r *kgo.Record) (f Fact, ok bool) {
	f, ok = factOf(s.cfg.Event(r), r.Partition, r.Offset)
	f.partition = s.index[kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}]
	return f, ok
}

// factsOf reads the records that can be read.
func (s *session) factsOf(records []*kgo.Record) []Fact {
	var facts []Fact
	for _, r := range records {
		if f, ok := s.factOf(r); ok {
			facts = append(facts, f)
		}
	}
	inOrder(facts)
	return facts
}

func (s *session) add(fetches kgo.Fetches) {
	facts := s.factsOf(fetches.Records())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range facts {
		s.ring.add(f)
	}
	s.wake()
}

// wake lets the readers look again. Its caller holds the mutex.
func (s *session) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *session) fail(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.report(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(ErrLog, err)
	s.wake()
}

func (s *session) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
