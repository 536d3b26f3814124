package txn

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxOfferWait is the longest time until a record is offered again.
const maxOfferWait = time.Second

// OfferAgain has what was not taken offered again. It is for a handler that has room now. It does not block, so Take may call it.
func (s *Session) OfferAgain() {
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// offerWhenAsked offers what was not taken when the handler asks for it.
func (s *Session) offerWhenAsked(done <-chan struct{}) {
	for {
		select {
		case <-s.room:
			s.offerAgain()
		case <-done:
			return
		}
	}
}

// offerAgain offers what was not taken.
func (s *Session) offerAgain() {
	if a := s.current.Load(); a != nil {
		s.offer(a)
	}
}

// offer gives the waiting records to the handler, partition by partition, until it takes no more. The partition is first whose record has
// waited longest: with too little room for all, none would wait many times as long as another. It pauses partitions with many waiting
// records and resumes the others.
func (s *Session) offer(a *assignment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping.Load() {
		return
	}
	next := time.Duration(0)
	for _, p := range a.byAge() {
		retryIn := s.offerPartition(p)
		if len(p.backlog)+p.waiting > 0 {
			retryIn = min(cmp.Or(retryIn, maxOfferWait), maxOfferWait)
		}
		if retryIn > 0 && (next == 0 || retryIn < next) {
			next = retryIn
		}
		s.pause(p, len(p.backlog) > s.cfg.Backlog)
		if _, needed := p.toRead(); needed {
			s.catchUpNow()
		}
	}
	if next > 0 {
		s.again.Reset(next)
	}
}

// byAge is the partitions in the order in which their first records came; those without any come first, as they take no room.
func (a *assignment) byAge() []*partition {
	since := make(map[*partition]time.Time, len(a.partitions))
	for _, p := range a.partitions {
		since[p] = p.oldest()
	}
	return slices.SortedFunc(maps.Keys(since), func(p, q *partition) int { return since[p].Compare(since[q]) })
}

// offerPartition offers one partition's records in their order: first those of flows that are behind. It stops at the
// first record that is not taken, unless its flow can fall behind.
func (s *Session) offerPartition(p *partition) (retryIn time.Duration) {
	if s.lanes.IsHeld(p.Partition) {
		return 0
	}
	for _, flow := range p.flowsBehind() {
		s.offerBehind(p, p.behind[flow])
	}
	p.rejoin()
	for len(p.backlog) > 0 {
		done, retryIn := s.offerNext(p, p.backlog[0])
		if !done {
			return retryIn
		}
		p.backlog[0], p.backlog = nil, p.backlog[1:]
	}
	return 0
}

// offerBehind offers the waiting records of a flow that is behind.
func (s *Session) offerBehind(p *partition, l *laggard) {
	for len(l.waiting) > 0 && p.canBeginBehind(l, l.waiting[0].Offset) {
		if taken, _ := s.take(p, l.tracker, l.waiting[0]); !taken {
			return
		}
		p.begun(l)
	}
}

// offerNext offers the next record of a partition. With done, the partition has come past it.
func (s *Session) offerNext(p *partition, r *kgo.Record) (done bool, retryIn time.Duration) {
	flow := s.flowOf(r)
	switch l := p.behind[flow]; {
	case l != nil && r.Offset >= l.start:
		p.passTo(l, r)
		return true, 0
	case p.tracker.isDone(r.Offset): // a former owner may have finished it, out of order
		p.tracker.skip(r.Offset)
		return true, 0
	case !p.canBegin(r.Offset):
		return false, 0
	}
	taken, retryIn := s.take(p, p.tracker, r)
	if taken {
		return true, 0
	}
	if l := p.fallBehind(flow, r); l != nil {
		p.passTo(l, r)
		return true, 0
	}
	return false, retryIn
}

// take offers a record to the handler.
func (s *Session) take(p *partition, t *tracker, r *kgo.Record) (taken bool, retryIn time.Duration) {
	p.assignment.inHand.Add(1) // its lock is held and it is not stopping, so nobody waits for inHand yet
	taken, retryIn = s.handler.Take(&Task{Record: r, session: s, part: p, tracker: t})
	if !taken {
		p.assignment.inHand.Done()
		return false, retryIn
	}
	t.begin(r.Offset)
	return true, 0
}

// flowOf returns the flow of a record.
func (s *Session) flowOf(r *kgo.Record) Flow {
	if s.cfg.FlowOf == nil {
		return 0
	}
	return s.cfg.FlowOf(r)
}

func (s *Session) pause(p *partition, pause bool) {
	if p.paused == pause {
		return
	}
	p.paused = pause
	one := map[string][]int32{p.Topic: {p.Partition}}
	if pause {
		p.assignment.paused.Add(1) // before: no fetch without the partition is patient
		s.member.client.PauseFetchPartitions(one)
	} else {
		s.stir() // a fetch is made before it is sent, perhaps without this partition
		s.member.client.ResumeFetchPartitions(one)
		p.assignment.paused.Add(-1)
	}
}

// stir keeps fetches short for a while.
func (s *Session) stir() { s.stirred.Store(time.Now().UnixNano()) }

// isPatient reports whether the next fetch may wait for long: no partition is paused, nor was when the fetch was made, and none will be
// before something comes.
func (s *Session) isPatient() bool {
	a := s.current.Load()
	return a != nil && a.paused.Load() == 0 && time.Since(time.Unix(0, s.stirred.Load())) > patientAfter
}
