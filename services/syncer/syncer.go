// Package syncer brings requested and due orders to the ERP: it calls, decides, and publishes the lifecycle.
//
// One goroutine polls; callers (as many as ERP calls may be in flight) bring works to their outcomes; a committer writes
// outcomes and consumed offsets together, in Kafka transactions. Read on in intake.go, call.go and commit.go.
package syncer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Timing of hand-over. A call may finish for revokeGrace after its partition is revoked; then it is cut off.
const (
	revokeGrace    = 5 * time.Second
	heartbeatFresh = 3 * time.Second // half the group session
	pollMost       = 500             // records of one poll
)

type gates interface {
	Advise(ctx context.Context, records []domain.Sync) ([]domain.Advice, error)
	Committed(s domain.Sync)
}

type erp interface {
	Send(ctx context.Context, r erphttp.Request) erphttp.Reply
}

// Params are what a Syncer is made of.
type Params struct {
	Kafka    kafka.Config
	SlotID   string // transactional id, held by this process alone
	InFlight int    // ERP calls at once, at least 1
	Gates    gates
	Hints    func(ctx context.Context, endings []Ending) error // tells gates what ended; may fail, the projector repeats it
	ERP      erp
	Settings setting.Reader
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Ending is what a gate is told once an outcome is committed.
type Ending struct {
	Sync     domain.Sync
	By       domain.ClosedBy
	Answered bool // the ERP answered with success: the key is used up
}

// Syncer is one instance; it is used for one Run.
type Syncer struct {
	cfg      kafka.Config
	slotID   string
	room     int
	inFlight int
	gates    gates
	tell     func(ctx context.Context, endings []Ending) error
	erp      erp
	settings setting.Reader
	log      *slog.Logger
	now      func() time.Time

	owns     func() bool // whether a heartbeat was answered lately
	consumer *kafka.GroupConsumer
	producer *kafka.TxnProducer
	intents  *kgo.Client  // plain idempotent producer of before_send
	batching sync.RWMutex // held for writing by an intent that must not share a batch

	queue   *queue
	inbox   *inbox
	hints   *hints
	flush   chan struct{}
	current atomic.Pointer[assignment]
	stopped context.Context //nolint:containedctx // ends when outcomes that cannot be committed are given up

	postgresDown, kafkaDown outage
}

// New prepares a Syncer; Run connects it.
func New(p Params) *Syncer {
	now := p.Now
	if now == nil {
		now = time.Now
	}
	s := &Syncer{
		cfg: p.Kafka, slotID: p.SlotID, inFlight: max(1, p.InFlight), room: roomPerClass * max(1, p.InFlight),
		gates: p.Gates, tell: p.Hints, erp: p.ERP, settings: p.Settings, log: p.Log, now: now,
		queue: newQueue(), inbox: newInbox(), hints: newHints(), flush: make(chan struct{}, 1),
		postgresDown: outage{what: "postgres"}, kafkaDown: outage{what: "kafka"},
	}
	s.owns = func() bool { return s.consumer.HeartbeatAge() < heartbeatFresh }
	return s
}

// Run works until ctx ends; then it hands over what is in flight, within revokeGrace and a transaction.
func (s *Syncer) Run(ctx context.Context) error {
	stopped, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	s.stopped = stopped
	if err := s.connect(ctx); err != nil {
		return err
	}
	defer s.intents.Close()

	done := make(chan struct{})
	var workers sync.WaitGroup
	for range s.inFlight {
		workers.Go(s.caller)
	}
	workers.Go(func() { s.committer(done) })
	workers.Go(func() { s.hinter(done) })

	err := s.poll(ctx)
	if a := s.current.Load(); a != nil {
		s.handOver(a)
	}
	s.consumer.Close()
	giveUp() // who has left the group commits nothing
	s.queue.close()
	close(done)
	workers.Wait()
	s.producer.Close()
	return err
}

func (s *Syncer) connect(ctx context.Context) error {
	intents, err := kgo.NewClient(append(s.cfg.Options(), kgo.ProducerLinger(0))...)
	if err != nil {
		return fmt.Errorf("syncer: connecting to Kafka: %w", err)
	}
	s.intents = intents
	s.producer = kafka.NewTxnProducer(s.cfg, s.slotID)
	s.fence(ctx)
	s.consumer, err = kafka.NewGroupConsumer(s.cfg, kafka.Consumer{
		Group: string(event.GroupSyncer), Topics: event.TopicsOf(event.GroupSyncer),
		OnAssigned: s.assigned, OnRevoked: s.revoked, OnLost: s.lost,
	})
	if err != nil {
		intents.Close()
		return fmt.Errorf("syncer: joining its group: %w", err)
	}
	return nil
}

// fence ends what a killed holder of the slot left open, as an open transaction hides all later records of its
// partitions from readers. Without Kafka it tries until ctx ends.
func (s *Syncer) fence(ctx context.Context) {
	wait := backoff{first: 20 * time.Millisecond, most: time.Second}
	for {
		open, cancel := context.WithTimeout(ctx, commitWithin)
		err := s.producer.Open(open)
		cancel()
		s.kafkaDown.report(s.log, err)
		if err == nil || !wait.sleep(ctx) {
			return
		}
	}
}

func (s *Syncer) poll(ctx context.Context) error {
	for {
		fetches, err := s.consumer.Poll(ctx, pollMost)
		if a := s.current.Load(); a != nil {
			s.receive(a, fetches)
		}
		s.consumer.AllowRebalance()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, kafka.ErrOffsetMissing):
			return err
		case err != nil:
			s.kafkaDown.report(s.log, err)
		}
	}
}

func (s *Syncer) assigned(partitions []kafka.AssignedPartition) {
	a := newAssignment(s.stopped)
	for _, p := range partitions {
		tp := topicPartition{p.Topic, p.Partition}
		class := classRequested
		if p.Topic == s.cfg.Topic(event.TopicDue) {
			class = classDue
		}
		a.partitions[tp] = &partition{topicPartition: tp, assignment: a, class: class, tracker: p.Tracker}
	}
	s.current.Store(a)
}

// revoked returns only after the last transaction of the partitions has ended: the broker checks member and generation
// of a late commit, not who owns the partition.
func (s *Syncer) revoked() {
	if a := s.current.Swap(nil); a != nil {
		s.handOver(a)
	}
}

// lost is a revocation that was not asked: somebody else may own the partitions already.
func (s *Syncer) lost() {
	if a := s.current.Swap(nil); a != nil {
		a.lost.Store(true)
		a.stop()
		a.cancel()
		s.queue.drop(a)
		s.inbox.wake()
		<-a.drained()
	}
}

// handOver lets calls finish for revokeGrace, cuts off the rest, and waits until each outcome is committed.
func (s *Syncer) handOver(a *assignment) {
	a.stop()
	s.queue.drop(a)
	s.flushNow()
	drained := a.drained()
	timer := time.NewTimer(revokeGrace)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		a.cancel()
	}
	limit := time.NewTimer(commitWithin)
	defer limit.Stop()
	select {
	case <-drained:
	case <-limit.C:
		a.lost.Store(true)
		<-drained
	}
	a.cancel()
}

func (s *Syncer) flushNow() {
	select {
	case s.flush <- struct{}{}:
	default:
	}
}
