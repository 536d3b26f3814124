package txn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Times of a session.
const (
	patientAfter    = time.Second     // without records, and without a partition that goes on
	commitTimeout   = 9 * time.Second // one transaction; the broker aborts it after 10 s
	maxHeartbeatAge = kafka.SessionTimeout / 2
)

// Handler does the work of a session. Its methods are called by several goroutines, but none of them twice at once.
type Handler interface {
	// Take gets the first record of a partition that is not taken yet, or of a flow that is behind. False leaves the
	// record there. It is offered again after the next poll, after the next commit, after OfferAgain, and after retryIn, or after
	// a second if retryIn is zero or longer. Take must not block. It may finish the task at once.
	Take(t *Task) (taken bool, retryIn time.Duration)
	// Prepare is called before each try to commit, with the tasks of the transaction. It may give them other records.
	Prepare(ctx context.Context, tasks []*Task)
	// Committed is called once the tasks' records and offsets are committed.
	Committed(tasks []*Task)
	// Refused is called when the brokers will never take the task's records. It must give the task others. times counts the
	// refusals of this task.
	Refused(t *Task, err error, times int)
	// Dropped is called for finished tasks that are not committed, as their partitions have another owner now.
	Dropped(tasks []*Task)
	// Revoked is called when all partitions are taken away. It must abandon every task that has not begun.
	Revoked()
	// Resumed is called when lanes that were held may go on.
	Resumed(lanes []int32)
}

// Config describes a Session.
type Config struct {
	Kafka kafka.Config
	Name  string // of the service; failpoints and marker records carry it
	// TransactionalID is used by this process alone. Further ids are made from it, "id.1" to "id.7"; no other id may
	// look like these.
	TransactionalID string   // without the prefix
	Group           string   // without the prefix
	Topics          []string // to read, without the prefix
	// MarkerTopic, without the prefix, takes a record when a transaction has only offsets to commit.
	MarkerTopic string
	// FlowOf returns the flow of a record. When the handler does not take a record, its flow falls behind, and records of
	// other flows in its partition go on. Without it each partition is one flow.
	FlowOf func(*kgo.Record) Flow

	PollRecords int           // maximum of one poll
	Backlog     int           // a partition with more waiting records is paused
	BatchTasks  int           // maximum of one transaction
	BatchBytes  int           // maximum of one transaction, roughly; a single task may have more
	Grace       time.Duration // for tasks under way when their partition is taken away
	Rest        time.Duration // after a transaction of a few tasks; default none
	IdleCommit  time.Duration // after it, offsets are committed even when no task has records to write

	Log      *slog.Logger
	Activity *Activity                // notes when records come; nil: nobody asks
	Outage   *run.Outage              // logs when Kafka begins to fail, and when it works again
	OnCommit func(took time.Duration) // called after each transaction; may be nil
}

// Session consumes, works, and produces in one transaction, as one member of a group. It is used for one Run.
type Session struct {
	cfg      Config
	handler  Handler
	producer *Producer
	member   *member
	health   *kafka.Health
	lanes    *Lanes[int32]

	finished *finished
	flush    chan struct{}
	toRead   chan struct{} // records of flows that are behind must be read
	room     chan struct{} // the handler has room for what it did not take
	current  atomic.Pointer[assignment]
	stirred  atomic.Int64    // when records came last, or a partition went on
	stopped  context.Context //nolint:containedctx // ends when results that cannot be committed are given up
	again    *time.Timer     // offers what was not taken, whether or not Kafka sends something meanwhile
}

// New prepares a session; Run connects it.
func New(cfg Config, handler Handler) *Session {
	return &Session{
		cfg: cfg, handler: handler, producer: NewProducer(cfg.Kafka, cfg.TransactionalID), lanes: NewLanes[int32](cfg.Log),
		finished: newFinished(), flush: make(chan struct{}, 1), toRead: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
}

// Run works until ctx ends. Then it hands over what is in flight: this takes Config.Grace and one transaction at most.
// An error is final: ErrOffsetMissing, or the session could not begin.
func (s *Session) Run(ctx context.Context) error {
	stopped, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	s.stopped = stopped
	s.again = time.AfterFunc(math.MaxInt64, s.offerAgain) // offer sets it
	defer s.again.Stop()
	if !s.fence(ctx) {
		return nil
	}
	defer s.producer.Close()
	if err := s.join(); err != nil {
		return err
	}
	done := make(chan struct{})
	var workers sync.WaitGroup
	workers.Go(func() { s.commitFinished(done) })
	workers.Go(func() { s.watchLanes(done) })
	workers.Go(func() { s.catchUp(done) })
	workers.Go(func() { s.offerWhenAsked(done) })

	err := s.poll(ctx)
	if a := s.current.Load(); a != nil {
		s.handOver(a)
	}
	s.member.close()
	giveUp() // after leaving the group nothing can be committed
	close(done)
	workers.Wait()
	return err
}

// fence decides the transaction that a killed user of the id left open, as it hides all later records of its partitions from
// readers. It retries until Kafka answers; it is false when ctx ends first.
func (s *Session) fence(ctx context.Context) bool {
	wait := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	for {
		open, cancel := context.WithTimeout(ctx, commitTimeout)
		err := s.producer.Open(open)
		cancel()
		if ctx.Err() != nil {
			return false
		}
		s.cfg.Outage.Report(s.cfg.Log, err)
		if err == nil {
			return true
		}
		if !wait.Sleep(ctx) {
			return false
		}
	}
}

func (s *Session) join() error {
	m, err := join(s.cfg.Kafka, s.cfg.Group, s.cfg.Topics, s.cfg.Log, callbacks{assigned: s.assigned, revoked: s.revoked, lost: s.lost, patient: s.isPatient})
	if err != nil {
		return fmt.Errorf("joining the group: %w", err)
	}
	s.member, s.health = m, kafka.NewHealth(m.client)
	return nil
}

func (s *Session) poll(ctx context.Context) error {
	for {
		fetches, err := s.member.poll(ctx, s.cfg.PollRecords)
		if a := s.current.Load(); a != nil {
			if !fetches.Empty() {
				s.stir()
				s.cfg.Activity.note()
			}
			a.receive(fetches)
			s.offer(a)
		}
		s.member.client.AllowRebalance()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrOffsetMissing):
			return err
		case err != nil:
			s.cfg.Outage.Report(s.cfg.Log, err)
			run.Sleep(ctx, pollErrorWait)
		}
	}
}

// pollErrorWait keeps a partition that fails at each poll from using up a processor.
const pollErrorWait = 10 * time.Millisecond

// Owns reports whether the group coordinator has answered a heartbeat lately. While it has not, the partitions may soon
// have another owner, so nothing should begin that cannot be taken back.
func (s *Session) Owns() bool { return s.member.heartbeatAge() < maxHeartbeatAge }
