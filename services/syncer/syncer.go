// Package syncer brings requested and due orders to the ERP: it calls, decides, and publishes the lifecycle.
//
// It reads in one direction. A txn.Session polls and offers each record to the dispatcher, which puts it as a task into a queue.
// Callers, as many as ERP calls may be in flight, bring each task to its outcome. The session commits outcomes and consumed
// offsets together; the committer gives it the records, and hears when they are committed. Read on in dispatcher.go,
// caller.go and committer.go.
package syncer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// The session's limits.
const (
	revokeGrace   = 5 * time.Second // a call may finish for so long after its partition is revoked; then it is cut off
	pollRecords   = 500
	commitTasks   = 500
	commitBytes   = 8 << 20
	idleCommit    = time.Second
	queuePerCall  = 8 // tasks of each class that may wait, as a multiple of the calls in flight
	intentTimeout = 2 * time.Second
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
	Kafka      kafka.Config
	LeaseID    string // its transactional ids begin with it; held by this process alone
	InFlight   int    // ERP calls at once, at least 1
	Gates      gates
	CloseGates func(ctx context.Context, ends []GenerationEnd) error // tells gates what ended; may fail, the projector repeats it
	ERP        erp
	Settings   setting.Reader
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now
}

// GenerationEnd is what a gate is told once an outcome is committed.
type GenerationEnd struct {
	Sync     domain.Sync
	By       domain.ClosedBy
	Answered bool // the ERP answered with success: the key is used up
}

// Syncer is one instance; it is used for one Run.
type Syncer struct {
	inFlight   int
	queue      *queue
	session    *txn.Session
	caller     *caller
	gateCloser *gateCloser
}

// New prepares a Syncer; Run connects it.
func New(p Params) *Syncer {
	if p.Now == nil {
		p.Now = time.Now
	}
	p.InFlight = max(1, p.InFlight)
	kafkaOutage := dependency("kafka")
	postgresOutage := dependency("postgres")
	s := &Syncer{inFlight: p.InFlight, queue: newQueue()}
	s.gateCloser = newGateCloser(p.CloseGates, p.Log, postgresOutage)
	dead := &deadLetters{cfg: p.Kafka, log: p.Log, now: p.Now}
	handler := struct {
		*dispatcher
		*committer
	}{
		&dispatcher{queue: s.queue, room: queuePerCall * p.InFlight, due: p.Kafka.Topic(event.TopicDue), deadLetters: dead},
		&committer{queue: s.queue, cfg: p.Kafka, gates: p.Gates, gateCloser: s.gateCloser, deadLetters: dead, log: p.Log, postgres: postgresOutage},
	}
	s.session = txn.New(txn.Config{
		Kafka: p.Kafka, Name: "syncer", TransactionalID: p.LeaseID, Group: string(event.GroupSyncer), Topics: event.TopicsOf(event.GroupSyncer), MarkerTopic: event.TopicPosition,
		PollRecords: pollRecords, BatchTasks: commitTasks, BatchBytes: commitBytes, Grace: revokeGrace, IdleCommit: idleCommit,
		Log: p.Log, Outage: kafkaOutage, OnCommit: func(d time.Duration) { commitSeconds.Observe(d.Seconds()) },
	}, handler)
	s.caller = &caller{
		cfg: p.Kafka, queue: s.queue, lanes: s.session, owns: s.session.Owns, gates: p.Gates, erp: p.ERP, settings: p.Settings, deadLetters: dead,
		log: p.Log, now: p.Now, postgres: postgresOutage, kafka: kafkaOutage,
	}
	return s
}

func dependency(name string) *run.Outage {
	return &run.Outage{
		Began: "dependency failing; retrying until it answers", Ended: "dependency answers again", Fields: []any{"dependency", name},
	}
}

// Run works until ctx ends; then it hands over what is in flight, within revokeGrace and a transaction.
func (s *Syncer) Run(ctx context.Context) error {
	intents, err := kgo.NewClient(append(s.caller.cfg.Options(), kgo.AllowIdempotentProduceCancellation())...)
	if err != nil {
		return fmt.Errorf("syncer: connecting to Kafka: %w", err)
	}
	defer intents.Close()
	s.caller.intents = intents

	done := make(chan struct{})
	var workers sync.WaitGroup
	for range s.inFlight {
		workers.Go(s.caller.run)
	}
	workers.Go(func() { s.gateCloser.run(done) })
	err = s.session.Run(ctx)
	s.queue.close()
	close(done)
	workers.Wait()
	if err != nil && !errors.Is(err, txn.ErrOffsetMissing) {
		err = fmt.Errorf("syncer: %w", err)
	}
	return err
}
