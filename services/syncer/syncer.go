// Package syncer brings requested and due orders to the ERP. It calls the ERP, decides what follows, and publishes the
// lifecycle.
//
// A record goes in one direction:
//
//	txn.Session → dispatcher → queue → caller → txn.Session, with the committer
//
// The session polls and offers each record to the dispatcher. The dispatcher makes it a task and puts it into the
// queue. A caller waits until the regulator lets it call. Then it takes the task whose turn it is (turns.go), and brings
// it to its outcome. The session commits the outcome's records and the consumed offset in one transaction. The committer gives it the
// records, and is called when they are committed. Read on in dispatcher.go, caller.go and committer.go.
package syncer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/services/syncer/internal/regulator"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// The session's limits.
const (
	revokeGrace   = 5 * time.Second // for calls in flight when their partition is revoked; then they are cancelled
	pollRecords   = 500
	commitTasks   = 500
	commitBytes   = 8 << 20
	idleCommit    = time.Second
	commitRest    = 150 * time.Millisecond
	queuePerCall  = 8 // how many tasks of each class may wait for each call at once
	intentTimeout = 2 * time.Second
)

// gates reads gates, and sees the last committed state of a sync, so that it can notice a gate that is older than the log.
type gates interface {
	Advise(ctx context.Context, records []domain.Sync) ([]domain.Advice, error)
	Committed(s domain.Sync)
}

// erp sends one order to the ERP, asks for one, and asks whether the ERP works.
type erp interface {
	Send(ctx context.Context, r erphttp.Request) erphttp.Reply
	LookUp(ctx context.Context, path string, r erphttp.Request) erphttp.Reply
	Probe(ctx context.Context) domain.Answer
}

// Params describes a Syncer.
type Params struct {
	Kafka      kafka.Config
	LeaseID    string        // its transactional id; only this process holds the lease
	Activity   *txn.Activity // notes when records come; nil: nobody asks
	Pace       regulator.Store
	Gates      gates
	CloseGates func(ctx context.Context, ends []GenerationEnd) error // may fail: the projector closes gates too
	ERP        erp
	Settings   setting.Reader
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now
}

// GenerationEnd is the end of a generation, for its gate.
type GenerationEnd struct {
	Sync     domain.Sync
	By       domain.ClosedBy
	Answered bool // the ERP has answered with success, so the next generation needs a new key
}

// Syncer is one instance. It is used for one Run.
type Syncer struct {
	queue      *queue
	session    *txn.Session
	caller     *caller
	callers    callers
	regulator  *regulator.Regulator
	gateCloser *gateCloser
}

// New prepares a Syncer; Run connects it.
func New(p Params) *Syncer {
	if p.Now == nil {
		p.Now = time.Now
	}
	kafkaOutage := dependency("kafka")
	postgresOutage := dependency("postgres")
	inFlight := func() int { return p.Settings.Current().MaxInFlight }
	s := &Syncer{callers: callers{want: inFlight}}
	s.queue = newQueue(func() int { return p.Settings.Current().RetryWeight }, func() { s.session.OfferAgain() })
	s.regulator = regulator.New(regulator.Params{
		ID: p.LeaseID + "/" + strings.ToLower(rand.Text()[:6]), Store: p.Pace, Settings: p.Settings, Probe: p.ERP.Probe, Log: p.Log,
		Now: p.Now, Random: mathrand.Float64,
	})
	s.gateCloser = newGateCloser(p.CloseGates, p.Log, postgresOutage)
	letters := &deadLetters{cfg: p.Kafka, log: p.Log, now: p.Now}
	handler := struct {
		*dispatcher
		*committer
	}{
		&dispatcher{queue: s.queue, room: func() int { return queuePerCall * inFlight() }, due: p.Kafka.Topic(event.TopicDue), deadLetters: letters},
		&committer{queue: s.queue, cfg: p.Kafka, gates: p.Gates, gateCloser: s.gateCloser, deadLetters: letters, log: p.Log, postgres: postgresOutage},
	}
	s.session = txn.New(txn.Config{
		Kafka: p.Kafka, Name: "syncer", TransactionalID: p.LeaseID, MarkerTopic: event.TopicPosition,
		Group: string(event.GroupSyncer), Topics: event.TopicsOf(event.GroupSyncer),
		FlowOf:      func(r *kgo.Record) txn.Flow { return txn.FlowOf(domain.SourceOfKey(string(r.Key))) }, // the audit knows it too
		PollRecords: pollRecords, BatchTasks: commitTasks, BatchBytes: commitBytes, Grace: revokeGrace, Rest: commitRest, IdleCommit: idleCommit,
		Log: p.Log, Activity: p.Activity, Outage: kafkaOutage, OnCommit: func(d time.Duration) { commitSeconds.Observe(d.Seconds()) },
	}, handler)
	s.caller = &caller{
		cfg: p.Kafka, queue: s.queue, lanes: s.session, owns: s.session.Owns, gates: newGateReads(p.Gates), pace: s.regulator, erp: p.ERP, settings: p.Settings, deadLetters: letters,
		log: p.Log, now: p.Now, postgres: postgresOutage, kafka: kafkaOutage,
	}
	return s
}

// dependency returns the Outage of a service that the syncer needs.
func dependency(name string) *run.Outage {
	return &run.Outage{
		Began: "dependency failing; retrying until it answers", Ended: "dependency answers again", Fields: []any{"dependency", name},
	}
}

// Run works until ctx ends. Then it hands over what is in flight: this takes revokeGrace and one transaction at most.
func (s *Syncer) Run(ctx context.Context) error {
	producer, err := kgo.NewClient(append(s.caller.cfg.Options(), kgo.AllowIdempotentProduceCancellation())...)
	if err != nil {
		return fmt.Errorf("syncer: connecting to Kafka: %w", err)
	}
	defer producer.Close()
	s.caller.intents = &intents{produce: producer.Produce}

	done := make(chan struct{})
	var workers, pacing sync.WaitGroup
	hiring, fire := context.WithCancel(ctx)
	paced, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the last call has ended
	defer stop()
	pacing.Go(func() { s.regulator.Run(paced) })
	workers.Go(func() {
		s.callers.run(hiring, &workers, func(surplus func() bool) { s.caller.run(hiring, surplus) })
	})
	workers.Go(func() { s.gateCloser.run(done) })
	err = s.session.Run(ctx)
	fire()
	s.queue.close()
	close(done)
	workers.Wait()
	stop()
	pacing.Wait()
	if err != nil && !errors.Is(err, txn.ErrOffsetMissing) {
		err = fmt.Errorf("syncer: %w", err)
	}
	return err
}
