package txn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Times of a session.
const (
	commitTimeout  = 9 * time.Second // one transaction; the broker aborts it after 10 s
	heartbeatFresh = kafka.SessionTimeout / 2
)

// Handler does the work of a session. Its methods are called by several goroutines, but none of them twice at once.
type Handler interface {
	// Take is offered the first record of a partition that nobody has taken yet. False leaves it there; it is offered again
	// after the next poll, the next commit, and after the time returned beside it, if that is not nought. Take must not
	// block. It may finish the task at once.
	Take(t *Task) (taken bool, again time.Duration)
	// Prepare is called before each try to commit, with the tasks of the transaction: here they may be given other records.
	Prepare(ctx context.Context, tasks []*Task)
	// Committed is called once the tasks' records and offsets are committed.
	Committed(tasks []*Task)
	// Refused is called for a task of which the brokers will never take the records: it must be given others. times is how
	// often that has come to pass with this task.
	Refused(t *Task, err error, times int)
	// Dropped is called for finished tasks that are not committed, as their partitions are somebody else's now.
	Dropped(tasks []*Task)
	// Revoked is called when all partitions are taken away: every task that is not begun must be abandoned.
	Revoked()
	// Resumed is called when lanes that were held may go on.
	Resumed(lanes []int32)
}

// Config is what a Session is made of.
type Config struct {
	Kafka   kafka.Config
	Name    string   // of the service, for failpoints and markers
	Slot    string   // its transactional ids begin with it; held by this process alone
	Group   string   // without the prefix
	Topics  []string // that it reads, without the prefix
	Markers string   // the topic, without the prefix, that takes a record where a transaction has none to write

	PollRecords int           // of one poll
	Backlog     int           // records that a partition may have waiting before it is paused
	BatchTasks  int           // of one transaction
	BatchBytes  int           // of one transaction, about; at least one task
	Grace       time.Duration // that tasks under way get when their partition is taken away
	IdleCommit  time.Duration // after which offsets go without anybody else's records

	Log    *slog.Logger
	Outage *run.Outage         // how the log is told that Kafka fails
	Took   func(time.Duration) // hears how long each transaction took; nil: nobody
}

// Session is one process's part in a group that consumes, works, and produces in one transaction. It is used for one Run.
type Session struct {
	cfg      Config
	handler  Handler
	producer *Producer
	member   *member
	health   *kafka.Health
	lanes    *Lanes[int32]

	finished *finished
	flush    chan struct{}
	current  atomic.Pointer[assignment]
	stopped  context.Context //nolint:containedctx // ends when outcomes that cannot be committed are given up
	next     atomic.Int64    // nanoseconds until something must be offered again; 0: nothing
}

// New prepares a session; Run connects it.
func New(cfg Config, handler Handler) *Session {
	return &Session{
		cfg: cfg, handler: handler, producer: NewProducer(cfg.Kafka, cfg.Slot), lanes: NewLanes[int32](cfg.Log),
		finished: newFinished(), flush: make(chan struct{}, 1),
	}
}

// Run works until ctx ends; then it hands over what is in flight, within the grace and a transaction. Its error is final:
// ErrOffsetMissing, or that it could not begin.
func (s *Session) Run(ctx context.Context) error {
	stopped, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	s.stopped = stopped
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

	err := s.poll(ctx)
	if a := s.current.Load(); a != nil {
		s.handOver(a)
	}
	s.member.close()
	giveUp() // who has left the group commits nothing
	close(done)
	workers.Wait()
	return err
}

// fence decides what a killed holder of the slot left open, as an open transaction hides all later records of its
// partitions from readers. Without Kafka it tries until ctx ends; then it is false.
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
	m, err := join(s.cfg.Kafka, s.cfg.Group, s.cfg.Topics, s.cfg.Log, callbacks{assigned: s.assigned, revoked: s.revoked, lost: s.lost})
	if err != nil {
		return fmt.Errorf("joining the group: %w", err)
	}
	s.member, s.health = m, kafka.NewHealth(m.client)
	return nil
}

func (s *Session) poll(ctx context.Context) error {
	for {
		waiting, cancel := s.untilNext(ctx)
		fetches, err := s.member.poll(waiting, s.cfg.PollRecords)
		cancel()
		if a := s.current.Load(); a != nil {
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

// pollErrorWait keeps a partition whose reading fails at once from using up a processor.
const pollErrorWait = 10 * time.Millisecond

// untilNext ends with the next time at which a record that was not taken is to be offered again.
func (s *Session) untilNext(ctx context.Context) (context.Context, context.CancelFunc) {
	if next := s.next.Load(); next > 0 {
		return context.WithTimeout(ctx, time.Duration(next))
	}
	return context.WithCancel(ctx)
}

// offerInterval is the longest that a record waits to be offered again.
const offerInterval = time.Second

// offer gives the handler the records that wait, partition by partition, until it takes no more; and pauses the partitions
// of which enough waits.
func (s *Session) offer(a *assignment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping.Load() {
		return
	}
	next := time.Duration(0)
	for _, p := range a.partitions {
		again := s.offerOne(p)
		if len(p.backlog) > 0 {
			again = min(cmp.Or(again, offerInterval), offerInterval)
		}
		if again > 0 && (next == 0 || again < next) {
			next = again
		}
		s.pause(p, len(p.backlog) > s.cfg.Backlog)
	}
	s.next.Store(int64(next))
}

func (s *Session) offerOne(p *partition) (again time.Duration) {
	for len(p.backlog) > 0 && !s.lanes.IsHeld(p.Partition) && p.tracker.canBegin(p.backlog[0].Offset) {
		r := p.backlog[0]
		if !p.tracker.isDone(r.Offset) { // before a crash or a rebalance, out of order
			p.assignment.inHand.Add(1) // under its lock, and not stopping
			taken, again := s.handler.Take(&Task{Record: r, session: s, part: p})
			if !taken {
				p.assignment.inHand.Done()
				return again
			}
		}
		p.tracker.begin(r.Offset)
		p.backlog[0], p.backlog = nil, p.backlog[1:]
	}
	return 0
}

func (s *Session) pause(p *partition, pause bool) {
	if p.paused == pause {
		return
	}
	p.paused = pause
	one := map[string][]int32{p.Topic: {p.Partition}}
	if pause {
		s.member.client.PauseFetchPartitions(one)
	} else {
		s.member.client.ResumeFetchPartitions(one)
	}
}

func (s *Session) assigned(all []assigned) {
	s.lanes.Forget()
	s.current.Store(newAssignment(s.stopped, all))
}

// revoked returns only after the last transaction of the partitions has ended: the broker checks member and generation
// of a late commit, not who owns the partition.
func (s *Session) revoked() {
	if a := s.current.Swap(nil); a != nil {
		s.handOver(a)
	}
}

// lost is a revocation that was not asked: somebody else may own the partitions already.
func (s *Session) lost() {
	if a := s.current.Swap(nil); a != nil {
		a.lost.Store(true)
		a.stop()
		a.cancel()
		s.handler.Revoked()
		s.finished.wake()
		<-a.drained()
	}
}

// handOver lets what is under way finish for the grace, cuts off the rest, and waits until each outcome is committed.
func (s *Session) handOver(a *assignment) {
	a.stop()
	s.handler.Revoked()
	s.flushNow()
	drained := a.drained()
	grace := time.NewTimer(s.cfg.Grace)
	defer grace.Stop()
	select {
	case <-drained:
	case <-grace.C:
		a.cancel()
	}
	limit := time.NewTimer(commitTimeout)
	defer limit.Stop()
	select {
	case <-drained:
	case <-limit.C:
		a.lost.Store(true)
		s.finished.wake()
		<-drained
	}
	a.cancel()
}

func (s *Session) flushNow() {
	select {
	case s.flush <- struct{}{}:
	default:
	}
}

// Owns reports whether the group coordinator has heard of this process lately: while no heartbeat is answered the
// partitions may be somebody else's soon, and nothing should begin that cannot be taken back.
func (s *Session) Owns() bool { return s.member.heartbeatAge() < heartbeatFresh }

// IsHeld reports that a lane's partitions take no records at the moment: what would end there must wait.
func (s *Session) IsHeld(lane int32) bool { return s.lanes.IsHeld(lane) }

// Hold says that a record of the lane could not be written to the topic (with the prefix), for the reason given: the lane
// waits until the brokers take records there again, and Resumed is called. It is false when the brokers answer nobody: then
// there is nobody to wait for the lane instead.
func (s *Session) Hold(ctx context.Context, lane int32, topic string, why error) bool {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	sick, err := s.health.Sick(ctx, []string{topic})
	if err != nil {
		return false
	}
	if reason, is := sick.Why[kafka.TopicPartition{Topic: topic, Partition: lane}]; is {
		why = fmt.Errorf("%s: %w", reason, why)
	}
	s.lanes.Hold(lane, topic, why)
	return true
}

// watchLanes lets held lanes go once their partitions look well, and each again on trial.
func (s *Session) watchLanes(done <-chan struct{}) {
	tick := time.NewTicker(laneInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-done:
			return
		}
		lanes := s.lanes.Recheck(s.stopped, s.health, func(lane int32, tp kafka.TopicPartition) bool { return tp.Partition == lane })
		if len(lanes) == 0 {
			continue
		}
		s.handler.Resumed(lanes)
		s.finished.wake()
		if a := s.current.Load(); a != nil {
			s.offer(a)
		}
	}
}
