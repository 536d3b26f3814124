package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/run"
)

// maxRefused is how often a task may be given other records before its lane is held instead.
const maxRefused = 2

// commitFinished writes what tasks came to: of each batch all records and the consumed offsets, in one Kafka transaction.
// While one commits, the next batch collects.
func (s *Session) commitFinished(done <-chan struct{}) {
	var silent []*Task // consumed without a record to write
	idle := time.NewTimer(s.cfg.IdleCommit)
	defer idle.Stop()
	for {
		alone := false
		select {
		case <-s.finished.signal:
		case <-idle.C:
			alone = true
		case <-s.flush:
			alone = true
		case <-done:
			return
		}
		batch := append(silent, s.finished.take(s.cfg.BatchTasks, s.cfg.BatchBytes, s.waits)...)
		silent = nil
		if !alone && !writes(batch) {
			silent = batch
			continue
		}
		idle.Reset(s.cfg.IdleCommit)
		s.commit(batch)
	}
}

// waits holds back the tasks of a held lane; at a hand-over each gets one more try.
func (s *Session) waits(t *Task) bool { return s.lanes.IsHeld(t.Lane()) && !t.Stopping() }

func writes(batch []*Task) bool {
	for _, t := range batch {
		if t.writes || t.Stopping() {
			return true
		}
	}
	return false
}

// commit repeats until each task of the batch is committed, is left to its held lane, or is lost. Nothing is worked again for
// it.
func (s *Session) commit(batch []*Task) {
	wait := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	undecided := false
	for {
		batch = s.dropLost(batch)
		if len(batch) == 0 {
			return
		}
		err := s.try(batch, undecided)
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

// try commits the batch, once it is known that an earlier try did not: else its outcomes would stand in the log twice.
// While nobody knows, the error is ErrCommitUnknown.
func (s *Session) try(batch []*Task, undecided bool) error {
	if undecided {
		committed, err := s.committed(batch)
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
	committed, unknown := s.committed(batch)
	switch {
	case unknown != nil:
		return fmt.Errorf("%w: %w", err, unknown)
	case committed:
		return nil
	}
	return s.commitOnce(batch)
}

func (s *Session) commitOnce(batch []*Task) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	s.handler.Prepare(ctx, batch)
	var records []*kgo.Record
	for _, t := range batch {
		records = append(records, t.records...)
	}
	if len(records) == 0 {
		records = []*kgo.Record{s.marker(len(batch))}
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
	if s.cfg.Took != nil {
		s.cfg.Took(time.Since(began))
	}
	failpoint.Hit(s.cfg.Name + ".committed")
	return nil
}

// marker is the record that carries offsets when nothing else does: a transaction needs one.
func (s *Session) marker(tasks int) *kgo.Record {
	value, _ := json.Marshal(map[string]int{"passed_over": tasks}) // a map of ints always encodes
	return &kgo.Record{Topic: s.cfg.Kafka.Topic(s.cfg.Markers), Key: []byte(s.cfg.Name + "/" + s.cfg.Slot), Value: value}
}

// offsets is the positions of all partitions the batch touches, as if the batch were done.
func (s *Session) offsets(ctx context.Context, batch []*Task) (*Offsets, error) {
	byPartition := map[*partition][]int64{}
	for _, t := range batch {
		byPartition[t.part] = append(byPartition[t.part], t.Record.Offset)
	}
	o, err := s.member.offsets(ctx)
	if err != nil {
		return nil, err
	}
	a := batch[0].part.assignment
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, done := range byPartition {
		position, metadata, err := p.tracker.snapshot(done)
		if err != nil {
			return nil, err
		}
		o.Add(p.Topic, p.Partition, Offset{At: position, Metadata: metadata})
	}
	return o, nil
}

// confirm ends the tasks of a committed batch: the trackers move, and there is room for others.
func (s *Session) confirm(batch []*Task) {
	s.cfg.Outage.Report(s.cfg.Log, nil)
	a := batch[0].part.assignment
	a.mu.Lock()
	for _, t := range batch {
		t.part.tracker.confirm([]int64{t.Record.Offset})
	}
	a.mu.Unlock()
	s.noteWritten(batch)
	s.handler.Committed(batch)
	s.end(batch)
	s.offer(a)
}

// noteWritten lets lanes go whose partitions have taken records.
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

// split finds the task that the brokers refuse for what it writes, by halves. That one writes something else.
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

// holdUnwritten takes the tasks out of the batch whose records were not written, and holds their lanes; the others go on at
// once.
func (s *Session) holdUnwritten(batch []*Task, unavailable *UnavailableError) (others []*Task) {
	unwritten := map[int]bool{}
	for _, place := range unavailable.Records {
		unwritten[place] = true
	}
	var held []*Task
	place, topic := 0, ""
	for _, t := range batch {
		is := false
		for _, r := range t.records {
			if unwritten[place] {
				is, topic = true, r.Topic
			}
			place++
		}
		if is {
			held = append(held, t)
			s.lanes.Hold(t.Lane(), topic, unavailable.Err)
		} else {
			others = append(others, t)
		}
	}
	// What else is in a held lane waits with it, so that a key's records keep their order.
	kept := others[:0]
	for _, t := range others {
		if s.lanes.IsHeld(t.Lane()) {
			held = append(held, t)
		} else {
			kept = append(kept, t)
		}
	}
	s.putBack(held)
	return kept
}

func (s *Session) holdTasks(batch []*Task, topic string, why error) {
	for _, t := range batch {
		s.lanes.Hold(t.Lane(), topic, why)
	}
	s.putBack(batch)
}

// putBack lets tasks wait for their lane; at a hand-over they are left to the next owner instead.
func (s *Session) putBack(tasks []*Task) {
	var wait, leave []*Task
	for _, t := range tasks {
		if t.Stopping() {
			leave = append(leave, t)
		} else {
			wait = append(wait, t)
		}
	}
	s.finished.putFirst(wait)
	s.drop(leave)
}

// drop forgets tasks whose outcome was not committed: the record is still there, and its next reader works it again.
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

// committed finds out whether a transaction whose end nobody confirmed did commit: once the slot is fenced anew the
// transaction is decided, and the group's offsets say how.
func (s *Session) committed(batch []*Task) (bool, error) {
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
		if !positions.Done(t.part.Topic, t.part.Partition, t.Record.Offset) {
			return false, nil
		}
	}
	return true, nil
}
