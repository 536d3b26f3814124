package txn

import (
	"cmp"
	"context"
	"time"
)

// maxOfferWait is the longest time until a record is offered again.
const maxOfferWait = time.Second

// untilNext returns a context that ends when a record that was not taken must be offered again.
func (s *Session) untilNext(ctx context.Context) (context.Context, context.CancelFunc) {
	if next := s.next.Load(); next > 0 {
		return context.WithTimeout(ctx, time.Duration(next))
	}
	return context.WithCancel(ctx)
}

// offer gives the waiting records to the handler, partition by partition, until it takes no more. It pauses partitions
// with many waiting records and resumes the others.
func (s *Session) offer(a *assignment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping.Load() {
		return
	}
	next := time.Duration(0)
	for _, p := range a.partitions {
		retryIn := s.offerPartition(p)
		if len(p.backlog) > 0 {
			retryIn = min(cmp.Or(retryIn, maxOfferWait), maxOfferWait)
		}
		if retryIn > 0 && (next == 0 || retryIn < next) {
			next = retryIn
		}
		s.pause(p, len(p.backlog) > s.cfg.Backlog)
	}
	s.next.Store(int64(next))
}

// offerPartition offers one partition's records in their order, and stops at the first that is not taken.
func (s *Session) offerPartition(p *partition) (retryIn time.Duration) {
	for len(p.backlog) > 0 && !s.lanes.IsHeld(p.Partition) && p.tracker.canBegin(p.backlog[0].Offset) {
		r := p.backlog[0]
		if !p.tracker.isDone(r.Offset) { // a former owner may have finished it, out of order
			p.assignment.inHand.Add(1) // its lock is held and it is not stopping, so nobody waits for inHand yet
			taken, retryIn := s.handler.Take(&Task{Record: r, session: s, part: p})
			if !taken {
				p.assignment.inHand.Done()
				return retryIn
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
