package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/crash"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Limits of the committer.
const (
	commitMost    = 500             // works in one transaction
	silentAfter   = time.Second     // offsets with nothing to produce ride along, or go alone after this
	gateRereadFor = time.Second     // the second reading of the gate is advice: without Postgres the outcome commits all the same
	commitWithin  = 9 * time.Second // one transaction; the broker aborts it after 10 s
)

// committer writes outcomes: of each batch, after_send, the terminal event or the retry record, and the consumed
// offsets, in one Kafka transaction. While one commits, the next batch collects.
func (s *Syncer) committer(done <-chan struct{}) {
	var silent []*work // consumed without a record to write
	timer := time.NewTimer(silentAfter)
	defer timer.Stop()
	for {
		alone := false
		select {
		case <-s.inbox.signal:
		case <-timer.C:
			alone = true
		case <-s.flush:
			alone = true
		case <-done:
			return
		}
		batch := append(silent, s.inbox.take(commitMost)...)
		silent = nil
		if !alone && !writes(batch) {
			silent = batch
			continue
		}
		timer.Reset(silentAfter)
		if len(batch) > 0 {
			s.commit(batch)
		}
	}
}

func writes(batch []*work) bool {
	for _, w := range batch {
		if w.decision != nil || len(w.records) > 0 || w.letter != nil {
			return true
		}
	}
	return false
}

// commit repeats until the batch is committed or its assignment is lost; the ERP is not called again for it.
func (s *Syncer) commit(batch []*work) {
	wait := backoff{first: 20 * time.Millisecond, most: time.Second}
	undecided := false
	for {
		batch = s.dropLost(batch)
		if len(batch) == 0 {
			return
		}
		committed, err := s.try(batch, undecided)
		if committed {
			s.confirm(batch)
			return
		}
		undecided = errors.Is(err, kafka.ErrCommitUnknown)
		s.kafkaDown.report(s.log, err)
		if !wait.sleep(s.stopped) {
			s.drop(batch)
			return
		}
	}
}

// try commits the batch, once it is known that an earlier try did not: else its outcomes would stand in the log twice.
// While nobody knows, the error is ErrCommitUnknown.
func (s *Syncer) try(batch []*work, undecided bool) (committed bool, err error) {
	if !undecided {
		err := s.commitOnce(batch)
		if !errors.Is(err, kafka.ErrCommitUnknown) {
			return err == nil, err
		}
	}
	committed, err = s.committed(batch)
	if err != nil {
		return false, fmt.Errorf("%w: %w", kafka.ErrCommitUnknown, err)
	}
	if !committed {
		err = s.commitOnce(batch)
	}
	return committed || err == nil, err
}

func (s *Syncer) commitOnce(batch []*work) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitWithin)
	defer cancel()
	s.renderAll(ctx, batch)
	var records []*kgo.Record
	for _, w := range batch {
		for _, r := range w.records {
			records = append(records, s.cfg.Record(r))
		}
		if w.letter != nil {
			records = append(records, w.letter)
		}
	}
	if len(records) == 0 {
		records = []*kgo.Record{s.carrier(len(batch))}
	}
	offsets, err := s.offsets(ctx, batch)
	if err != nil {
		return err
	}
	crash.Point("syncer.before_commit")
	began := time.Now()
	if err := s.producer.Commit(ctx, kafka.Batch{Records: records, Offsets: []kafka.GroupOffsets{offsets}}); err != nil {
		return err
	}
	commitSeconds.Observe(time.Since(began).Seconds())
	crash.Point("syncer.committed")
	return nil
}

// renderAll reads the gates of all outcomes a second time, in one query, and renders the records under their advice.
func (s *Syncer) renderAll(ctx context.Context, batch []*work) {
	var called []*work
	var syncs []domain.Sync
	for _, w := range batch {
		if w.decision != nil {
			called, syncs = append(called, w), append(syncs, w.value.Sync)
		}
	}
	if len(called) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, gateRereadFor)
	defer cancel()
	advices, err := s.gates.Advise(ctx, syncs)
	s.postgresDown.report(s.log, err)
	if err != nil {
		advices = make([]domain.Advice, len(called))
	}
	for i, w := range called {
		if err := w.render(advices[i]); err != nil {
			s.dead(w, err)
		}
	}
}

// carrier is the record that carries offsets when nothing else does: a transaction needs one.
func (s *Syncer) carrier(works int) *kgo.Record {
	value, _ := json.Marshal(map[string]int{"passed_over": works}) // a map of ints always encodes
	return &kgo.Record{Topic: s.cfg.Topic(event.TopicPosition), Key: []byte("syncer/" + s.slotID), Value: value}
}

// offsets is the positions of all partitions the batch touches, as if the batch were done.
func (s *Syncer) offsets(ctx context.Context, batch []*work) (kafka.GroupOffsets, error) {
	byPartition := map[*partition][]int64{}
	for _, w := range batch {
		byPartition[w.part] = append(byPartition[w.part], w.record.Offset)
	}
	g, err := s.consumer.GroupOffsets(ctx)
	if err != nil {
		return g, err
	}
	a := batch[0].part.assignment
	a.mu.Lock()
	defer a.mu.Unlock()
	for p, done := range byPartition {
		position, metadata, err := p.tracker.Snapshot(done)
		if err != nil {
			return g, err
		}
		g.Add(p.topic, p.id, kafka.OffsetMeta{Offset: position, LeaderEpoch: -1, Metadata: metadata})
	}
	return g, nil
}

// confirm ends the works of a committed batch: the trackers move, orders are released, gates are told.
func (s *Syncer) confirm(batch []*work) {
	s.kafkaDown.report(s.log, nil)
	a := batch[0].part.assignment
	a.mu.Lock()
	for _, w := range batch {
		w.part.tracker.Confirm([]int64{w.record.Offset})
	}
	a.mu.Unlock()
	var endings []Ending
	for _, w := range batch {
		if last := w.last(); last != nil {
			s.gates.Committed(*last)
		}
		endings = append(endings, w.endings...)
		handled.WithLabelValues(outcomeOf(w)).Inc()
		s.logHandled(w)
		s.end(w)
	}
	s.hints.put(endings)
	s.intake(a)
}

// drop forgets works whose outcome was not committed: the record is still there, and its next reader repeats it under
// the same idempotency key.
func (s *Syncer) drop(batch []*work) {
	for _, w := range batch {
		s.end(w)
	}
}

func (s *Syncer) end(w *work) {
	if w.queued {
		s.queue.release(w.key)
	}
	w.part.assignment.started.Done()
}

func (s *Syncer) dropLost(batch []*work) []*work {
	kept := batch[:0:0]
	for _, w := range batch {
		if w.part.assignment.lost.Load() {
			s.end(w)
			continue
		}
		kept = append(kept, w)
	}
	return kept
}

// committed finds out whether a transaction whose end nobody confirmed did commit: once a new client has fenced the old
// one the transaction is decided, and the group's offsets say how.
func (s *Syncer) committed(batch []*work) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitWithin)
	defer cancel()
	if err := s.producer.Open(ctx); err != nil {
		return false, err
	}
	positions, err := s.consumer.Committed(ctx)
	if err != nil {
		return false, err
	}
	for _, w := range batch {
		if !positions.Done(w.part.topic, w.part.id, w.record.Offset) {
			return false, nil
		}
	}
	return true, nil
}
