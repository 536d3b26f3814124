package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

// Gap is why a stream could not go on where it ended.
type Gap string

// The gaps. The zero value is none.
const (
	GapTooOld Gap = "too_old"   // more than Limits.Behind records came since, or the log does not go back so far
	GapOther  Gap = "other_log" // the id is of another installation, or the topics were made anew
)

// Reader is one stream. It is for one goroutine.
type Reader struct {
	// Gap says that facts between the id and now are not sent.
	Gap Gap

	hub    *Hub
	of     *session
	next   []int64 // by partition, of what was taken
	number int64   // of the next fact in the ring; -1: not in the ring yet
	budget int64   // of records that it may still read from Kafka; more come while it catches up
}

// reader makes a stream after an id; nil: now.
func (s *session) reader(ctx context.Context, h *Hub, after *ID) (*Reader, error) {
	if err := s.failed(); err != nil {
		return nil, err
	}
	r := &Reader{hub: h, of: s, budget: 2 * s.limits.Behind}
	if after != nil {
		gap, err := s.gapSince(ctx, *after)
		if err != nil {
			return nil, err
		}
		if r.Gap = gap; gap == "" {
			r.next, r.number = slices.Clone(after.next), -1
			return r, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.next, r.number = slices.Clone(s.ring.next), s.ring.end()
	return r, nil
}

// gapSince tells whether a stream can go on at the id.
func (s *session) gapSince(ctx context.Context, id ID) (Gap, error) {
	if id.log != s.log || len(id.next) != len(s.partitions) {
		return GapOther, nil
	}
	s.mu.Lock()
	now := slices.Clone(s.ring.next)
	s.mu.Unlock()
	behind, ahead := int64(0), false
	for i, offset := range id.next {
		if offset < s.begin[i] {
			return GapTooOld, nil
		}
		behind += max(0, now[i]-offset)
		ahead = ahead || offset > now[i]
	}
	if behind > s.limits.Behind {
		return GapTooOld, nil
	}
	if ahead { // another process has read on already, or the log ends before
		return s.gapAhead(ctx, id)
	}
	return "", nil
}

func (s *session) gapAhead(ctx context.Context, id ID) (Gap, error) {
	ends, err := kafka.Listed(s.admin.ListEndOffsets(ctx, s.cfg.Topics(Types)...))
	if err != nil {
		return "", errors.Join(ErrLog, fmt.Errorf("reading the ends of topics: %w", err))
	}
	for i, p := range s.partitions {
		if end, _ := ends.Lookup(p.Topic, p.Partition); id.next[i] > end.Offset {
			return GapOther, nil
		}
	}
	return "", nil
}

// Close ends the stream.
func (r *Reader) Close() { r.hub.leave(r.of) }

// ID is the place after all facts that were taken.
func (r *Reader) ID() ID { return ID{log: r.of.log, next: r.next} }

// Took notes that the fact was taken.
func (r *Reader) Took(f Fact) { r.next[f.partition] = f.offset + 1 }

// CatchUp gives the facts to take that the ring does not hold any more: it reads them from Kafka. Call it before Next.
func (r *Reader) CatchUp(ctx context.Context, take func([]Fact) error) error {
	for !r.enter() {
		if r.budget <= 0 {
			return ErrTooSlow
		}
		select {
		case <-r.hub.catchUps:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := r.readLog(ctx, take)
		r.hub.catchUps <- struct{}{}
		if err != nil {
			return err
		}
	}
	return nil
}

// enter goes over to the ring, when that holds all facts that are left.
func (r *Reader) enter() bool {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	if r.number < 0 && r.of.ring.holds(r.next) {
		r.number = r.of.ring.first
	}
	return r.number >= 0
}

// readLog reads from Kafka up to where the ring ends now.
func (r *Reader) readLog(ctx context.Context, take func([]Fact) error) error {
	r.of.mu.Lock()
	ends := slices.Clone(r.of.ring.next)
	r.of.mu.Unlock()
	var spans []*logreader.Span
	for i, p := range r.of.partitions {
		if r.next[i] < ends[i] {
			topic := strings.TrimPrefix(p.Topic, r.of.cfg.Prefix)
			spans = append(spans, &logreader.Span{Topic: topic, Partition: p.Partition, First: r.next[i], Next: r.next[i], End: ends[i]})
			r.budget -= ends[i] - r.next[i]
		}
	}
	var failed error
	err := logreader.Read(ctx, r.of.cfg, spans, sink{r, take, &failed}, func() error { return nil })
	switch {
	case failed != nil || ctx.Err() != nil:
		return errors.Join(failed, ctx.Err())
	case err != nil:
		return errors.Join(ErrLog, err)
	}
	for i := range r.next { // markers and aborted records are no facts
		r.next[i] = max(r.next[i], ends[i])
	}
	return nil
}

// sink hands on what is read from Kafka.
type sink struct {
	of     *Reader
	take   func([]Fact) error
	failed *error // of take
}

// Take gives the facts of the records to the reader.
func (s sink) Take(_ context.Context, records []*kgo.Record) error {
	*s.failed = s.take(s.of.of.factsOf(records))
	return *s.failed
}

// Next waits for facts that come after those it gave before. It returns ErrTooSlow when the ring has dropped some of them, ErrLog when no
// more can come, and ctx's error when that ended first.
func (r *Reader) Next(ctx context.Context) ([]Fact, error) {
	for {
		r.of.mu.Lock()
		facts, ok := r.of.ring.from(r.number, factsAtATime)
		changed, err := r.of.changed, r.of.err
		r.of.mu.Unlock()
		if !ok {
			return nil, ErrTooSlow
		}
		came := len(facts)
		r.number += int64(came)
		facts = slices.DeleteFunc(facts, func(f Fact) bool { return f.offset < r.next[f.partition] }) // it had these before it came back
		switch {
		case len(facts) > 0:
			return facts, nil
		case came > 0:
			continue
		case err != nil:
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
