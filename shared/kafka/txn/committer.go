package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/run"
)

// maxRefused is how often a task may be given other records before its lane is held instead.
const maxRefused = 2

// After a transaction of some tasks the session rests, unless more wait than one takes. So the next one takes more: a transaction costs
// the broker about the same for ten tasks as for fifty. Nobody works on a task that waits for its transaction. After one of fewer tasks it
// rests for Config.Rest, or until as many have finished: so a process that is killed leaves few outcomes uncommitted.
const (
	restTasks = 8
	restTimes = 4. // what the transaction took
	maxRest   = 40 * time.Millisecond
)

// commitFinished commits finished tasks, batch after batch: the records and the consumed offsets of a batch are one Kafka
// transaction. While one batch commits, and in a rest after it, the next one collects.
func (s *Session) commitFinished(done <-chan struct{}) {
	pace, enough := run.Pace{Rest: restTimes}, math.MaxInt
	var offsetsOnly []*Task // they have no records to write, so they wait for others that have
	idle := time.NewTimer(s.cfg.IdleCommit)
	defer idle.Stop()
	for {
		flush := false
		select {
		case <-s.finished.signal:
			flush = s.rest(pace.Left(), enough, done)
		case <-idle.C:
			flush = true
		case <-s.flush:
			flush = true
		case <-done:
			return
		}
		taken, full := s.finished.take(s.cfg.BatchTasks, s.cfg.BatchBytes, s.waits)
		batch := append(offsetsOnly, taken...)
		offsetsOnly = nil
		if !flush && !writes(batch) {
			offsetsOnly = batch
			continue
		}
		idle.Reset(s.cfg.IdleCommit)
		began := time.Now()
		s.commit(batch)
		if !full && len(batch) > 0 {
			pace.Min, pace.Max, enough = s.restAfter(len(batch))
			pace.Worked(began)
		}
	}
}

// restAfter returns the least and the longest rest after a transaction of so many tasks, and how many that finish are enough to end it.
func (s *Session) restAfter(tasks int) (least, most time.Duration, enough int) {
	if tasks < restTasks {
		return s.cfg.Rest, s.cfg.Rest, restTasks
	}
	return 0, maxRest, math.MaxInt
}

// rest waits for that long, or until enough tasks have finished, or until those that have shall be committed now. There is none while the
// partitions are handed over: that waits for these tasks.
func (s *Session) rest(d time.Duration, enough int, done <-chan struct{}) (flush bool) {
	if d == 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	more := s.finished.signal
	if enough == math.MaxInt {
		more = nil
	}
	for !s.isHandingOver() && !s.finished.has(enough, s.waits) {
		select {
		case <-timer.C:
			return false
		case <-more:
		case <-s.flush:
			return true
		case <-done:
			return false
		}
	}
	return false
}

// waits reports whether a task must wait for its lane. At a hand-over nothing waits: each task gets one last try.
func (s *Session) waits(t *Task) bool { return s.lanes.IsHeld(t.Lane()) && !t.Stopping() }

// writes reports whether a batch is worth a transaction: a task has records to write, or its partition is taken away.
func writes(batch []*Task) bool {
	for _, t := range batch {
		if t.writes || t.Stopping() {
			return true
		}
	}
	return false
}

// commit retries until each task of the batch is committed, waits for its held lane, or is dropped. The handler does
// not work on any of them again.
func (s *Session) commit(batch []*Task) {
	wait := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	undecided := false
	for {
		batch = s.dropLost(batch)
		if len(batch) == 0 {
			return
		}
		err := s.tryCommit(batch, undecided)
		var refused *RefusedError
		var unavailable *UnavailableError
		switch {
		case err == nil:
			s.confirm(batch)
			return
		case errors.As(err, &refused):
			s.split(batch, refused)
			return
		case errors.As(err, &unavailable):
			if others := s.holdUnwritten(batch, unavailable); len(others) < len(batch) {
				batch = others
				continue
			}
		}
		undecided = errors.Is(err, ErrCommitUnknown)
		s.cfg.Outage.Report(s.cfg.Log, err)
		if !wait.Sleep(s.stopped) {
			s.drop(batch)
			return
		}
	}
}

// tryCommit commits the batch. When the result of an earlier try is unknown, it first finds out: otherwise the records
// might be written twice. While that cannot be found out, the error is ErrCommitUnknown.
func (s *Session) tryCommit(batch []*Task, undecided bool) error {
	if undecided {
		committed, err := s.wasCommitted(batch)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCommitUnknown, err)
		}
		if committed {
			return nil
		}
	}
	err := s.commitOnce(batch)
	if !errors.Is(err, ErrCommitUnknown) {
		return err
	}
	committed, unknown := s.wasCommitted(batch)
	switch {
	case unknown != nil:
		return fmt.Errorf("%w: %w", err, unknown)
	case committed:
		return nil
	}
	return s.commitOnce(batch)
}

// commitOnce writes one transaction. The context is not the session's: a transaction that has begun is brought to its end.
func (s *Session) commitOnce(batch []*Task) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	s.handler.Prepare(ctx, batch)
	var records []*kgo.Record
	for _, t := range batch {
		records = append(records, t.records...)
	}
	if len(records) == 0 {
		records = []*kgo.Record{s.offsetMarker(len(batch))}
	}
	offsets, err := s.offsets(ctx, batch)
	if err != nil {
		return err
	}
	failpoint.Hit(s.cfg.Name + ".before_commit")
	began := time.Now()
	if err := s.producer.Commit(ctx, Batch{Records: records, Offsets: offsets}); err != nil {
		return err
	}
	if s.cfg.OnCommit != nil {
		s.cfg.OnCommit(time.Since(began))
	}
	failpoint.Hit(s.cfg.Name + ".committed")
	return nil
}

// offsetMarker returns the record for a transaction that has only offsets to commit: without any record the client
// would not end it.
func (s *Session) offsetMarker(tasks int) *kgo.Record {
	value, _ := json.Marshal(map[string]int{"passed_over": tasks}) // a map of ints always encodes
	return &kgo.Record{Topic: s.cfg.Kafka.Topic(s.cfg.MarkerTopic), Key: []byte(s.cfg.Name + "/" + s.cfg.TransactionalID), Value: value}
}

// offsets returns the positions of all partitions of the batch, as they are once the batch is done.
func (s *Session) offsets(ctx context.Context, batch []*Task) (*Offsets, error) {
	byPartition := map[*partition][]*Task{}
	for _, t := range batch {
		byPartition[t.part] = append(byPartition[t.part], t)
	}
	o, err := s.member.offsets(ctx)
	if err != nil {
		return nil, err
	}
	a := batch[0].part.assignment
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, done := range byPartition {
		at, err := p.offset(done)
		if err != nil {
			return nil, err
		}
		o.Add(p.Topic, p.Partition, at)
	}
	return o, nil
}

// confirm ends the tasks of a committed batch. The trackers move on, and there is room for other tasks.
func (s *Session) confirm(batch []*Task) {
	s.cfg.Outage.Report(s.cfg.Log, nil)
	a := batch[0].part.assignment
	a.mu.Lock()
	for tracker, finished := range finishedBy(batch) {
		tracker.confirm(finished)
	}
	a.mu.Unlock()
	s.noteWritten(batch)
	s.handler.Committed(batch)
	s.end(batch)
	s.offer(a)
}

// noteWritten resumes lanes whose partitions have taken records.
func (s *Session) noteWritten(batch []*Task) {
	if !s.lanes.Any() {
		return
	}
	var lanes []int32
	for _, t := range batch {
		if len(t.records) > 0 {
			lanes = append(lanes, t.Lane())
		}
	}
	s.lanes.Written(lanes)
}

// split commits a refused batch in halves, until the task that the brokers refuse is alone. That task gets other
// records from the handler.
func (s *Session) split(batch []*Task, refused *RefusedError) {
	if len(batch) > 1 {
		middle := len(batch) / 2
		s.commit(batch[:middle])
		s.commit(batch[middle:])
		return
	}
	t := batch[0]
	t.refused++
	if t.refused > maxRefused {
		s.holdTasks(batch, t.Record.Topic, refused)
		return
	}
	s.handler.Refused(t, refused.Err, t.refused)
	s.commit(batch)
}

// drop forgets tasks that were not committed. Their records are still in the log, and the next owner works on them again.
func (s *Session) drop(batch []*Task) {
	if len(batch) == 0 {
		return
	}
	s.handler.Dropped(batch)
	s.end(batch)
}

func (s *Session) end(batch []*Task) {
	for _, t := range batch {
		t.part.assignment.inHand.Done()
	}
}

// dropLost drops the tasks of lost assignments and returns the others.
func (s *Session) dropLost(batch []*Task) []*Task {
	var kept, lost []*Task
	for _, t := range batch {
		if t.part.assignment.lost.Load() {
			lost = append(lost, t)
		} else {
			kept = append(kept, t)
		}
	}
	s.drop(lost)
	return kept
}

// wasCommitted finds out whether a transaction was committed whose end no broker has confirmed. Opening the producer
// anew decides the transaction, and then the group's offsets say how.
func (s *Session) wasCommitted(batch []*Task) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	if err := s.producer.Open(ctx); err != nil {
		return false, err
	}
	positions, err := ReadPositions(ctx, s.cfg.Kafka, s.member.admin, s.cfg.Group)
	if err != nil {
		return false, err
	}
	for _, t := range batch {
		if !positions.Done(t.part.Topic, t.part.Partition, s.flowOf(t.Record), t.Record.Offset) {
			return false, nil
		}
	}
	return true, nil
}
