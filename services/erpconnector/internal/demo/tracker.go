package demo

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo/internal/shop"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// tracker keeps what became of the events, and the state of each invoiced order. It is safe for concurrent use.
type tracker struct {
	mu       sync.Mutex
	events   counts
	placed   map[domain.OrderRef]bool // whether the order.placed was known before this run
	armed    map[domain.OrderRef]orderFault
	invoiced map[domain.OrderRef]*tracked
	open     []*tracked // those that may still change
	ended    []*tracked // the others, in the order they ended
}

// counts are of events.
type counts struct {
	published, accepted, refused int
	again                        int // duplicates sent on purpose
	known                        int // duplicates because of an earlier run
	differ                       int // of these, other content than then
	refusals                     []refusal
}

// refusal is what a shop was told of an event that was not accepted.
type refusal struct {
	order, reasons string
	onPurpose      bool
}

// tracked is the state of one order.
type tracked struct {
	ref      domain.OrderRef
	accepted time.Time // of its invoice
	fresh    bool      // accepted in this run
	ask      time.Time // when to ask next
	status   status
	fault    orderFault
	next     time.Time     // attempt; zero: none is planned
	early    int           // how often it was told to have ended without being told how
	took     time.Duration // from accepted until seen to have succeeded
}

// orderFault is the mock ERP's fault for an order.
type orderFault struct {
	kind  shop.FaultKind
	words string
	times int // ERP calls
}

func newTracker() *tracker {
	return &tracker{placed: map[domain.OrderRef]bool{}, armed: map[domain.OrderRef]orderFault{}, invoiced: map[domain.OrderRef]*tracked{}}
}

// took counts an answer. first is true for the first event that an earlier run had published.
func (b *tracker) took(e shop.Event, v verdict, now time.Time) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events.published++
	switch {
	case v.Result == "refused":
		b.events.refused++
		b.events.refusals = append(b.events.refusals, refusal{name(e.Ref), v.reasons, e.Kind == shop.Mistake})
		return false
	case v.Result == "accepted":
		b.events.accepted++
	case e.Kind == shop.Again:
		b.events.again++
	default:
		b.events.known++
		first = b.events.known == 1
	}
	if v.Differs {
		b.events.differ++
	}
	switch e.Type {
	case event.OrderPlaced:
		b.placed[e.Ref] = b.placed[e.Ref] || (v.Result == "duplicate" && e.Kind == shop.New)
	case event.InvoiceCreated:
		if b.invoiced[e.Ref] == nil {
			s := &tracked{ref: e.Ref, accepted: now, ask: now, fresh: v.Result == "accepted", fault: b.armed[e.Ref]}
			b.invoiced[e.Ref] = s
			b.open = append(b.open, s)
		}
	case event.OrderUpdated:
	}
	return first
}

// knownBefore reports whether an earlier run has placed the order. Its ERP call may be long over, so a fault would never happen.
func (b *tracker) knownBefore(ref domain.OrderRef) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.placed[ref]
}

// arm notes what the mock ERP will do to an order.
func (b *tracker) arm(ref domain.OrderRef, t orderFault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed[ref] = t
}

// due is the open order that has waited longest to be asked about, if its time has come.
func (b *tracker) due(now time.Time) (domain.OrderRef, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.open) == 0 {
		return domain.OrderRef{}, false
	}
	s := slices.MinFunc(b.open, func(x, y *tracked) int { return x.ask.Compare(y.ask) })
	return s.ref, !s.ask.After(now)
}

// learn takes in a status, and says what of it is worth showing.
func (b *tracker) learn(ref domain.OrderRef, got status, now time.Time) (kind, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.invoiced[ref]
	if got.Status == domain.Success && s.took == 0 && s.fresh {
		s.took = now.Sub(s.accepted)
	}
	s.ask = now.Add(min(max(now.Sub(s.accepted)/10, 50*time.Millisecond), 2*time.Second))
	if got.ahead() && s.early < maxAhead {
		s.early++
		return "", ""
	}
	news := got.Attempts > s.status.Attempts || got.Status != s.status.Status
	s.status, s.next = got, time.Time{}
	if t, err := domain.ParseTime(got.NextAttemptAt); err == nil && got.Status == domain.Queued {
		s.next = t
	}
	if s.next.After(s.ask) {
		s.ask = s.next
	}
	if got.Status == domain.Success || got.Status == domain.Failed || got.Status == domain.Pending {
		b.open = slices.DeleteFunc(b.open, func(o *tracked) bool { return o == s })
		b.ended = append(b.ended, s)
	}
	if !news || !s.fresh {
		return "", ""
	}
	return s.news(now)
}

// maxAhead is how often a status that is ahead is asked for anew: some ERPs give no reference.
const maxAhead = 10

// ahead reports whether the end is known already, but not yet how it came about: the attempts are those of before.
func (s status) ahead() bool {
	return (s.Status == domain.Success && s.ErpReference == "") || (s.Status == domain.Failed && s.LastError == "")
}

// news is what is worth showing of an order's state: that something went wrong, or that it is well again.
func (s *tracked) news(now time.Time) (kind, text string) {
	at := s.status
	switch {
	case at.Status == domain.Failed:
		return "failed", fmt.Sprintf("order %s at attempt %d: %s", name(s.ref), at.Attempts, s.why())
	case at.Status == domain.Pending:
		return "held", fmt.Sprintf("order %s: the connector is off, or leaves it to the cron", name(s.ref))
	case at.Status == domain.Success && at.Attempts > 1:
		return "mended", fmt.Sprintf("order %s is in the ERP at attempt %d, %s after its invoice", name(s.ref), at.Attempts, round(s.took))
	case at.Status == domain.Success && s.took > time.Second:
		return "slow", fmt.Sprintf("order %s is in the ERP %s after its invoice%s", name(s.ref), round(s.took), some(s.fault.times, ": "+s.fault.words+", and other orders did not wait for it"))
	case at.Status == domain.Queued && !s.next.IsZero():
		return "retry", fmt.Sprintf("order %s: %s; attempt %d of %d follows at %s, in %s", name(s.ref), s.why(),
			at.Attempts+1, at.MaxAttempts, s.next.Local().Format(time.TimeOnly), max(0, s.next.Sub(now)).Round(time.Second))
	}
	return "", ""
}

// why is what went wrong: what we had the mock ERP do, or what the connector says of it.
func (s *tracked) why() string {
	const most = 120
	if s.status.Attempts <= s.fault.times {
		return s.fault.words
	}
	if text := []rune(s.status.LastError); len(text) > most {
		return string(text[:most]) + "…"
	}
	return s.status.LastError
}

// settled reports whether no order will change before end.
func (b *tracker) settled(end time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.ContainsFunc(b.open, func(s *tracked) bool { return !s.next.After(end) })
}

func (b *tracker) counts() counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.events
}

// Tally counts the invoiced orders by state.
type Tally struct {
	Success, Failed int
	Retried         int // of the successes, those that took more than one attempt
	Waiting         int // for their next attempt
	Held            int // the connector is off, or waits for the cron
	UnderWay        int
	Attempts        int
}

func (b *tracker) tally() Tally {
	b.mu.Lock()
	defer b.mu.Unlock()
	var t Tally
	for _, s := range slices.Concat(b.open, b.ended) {
		t.Attempts += s.status.Attempts
		switch {
		case s.status.Status == domain.Success:
			t.Success++
			if s.status.Attempts > 1 {
				t.Retried++
			}
		case s.status.Status == domain.Failed:
			t.Failed++
		case s.status.Status == domain.Pending:
			t.Held++
		case !s.next.IsZero():
			t.Waiting++
		default:
			t.UnderWay++
		}
	}
	return t
}

// name is an order as people read it: number and shop, or the number alone in the default shop.
func name(ref domain.OrderRef) string {
	if ref.Source == domain.DefaultSource {
		return ref.IncrementID
	}
	return ref.Source + "/" + ref.IncrementID
}

// round shows no more digits than a person reads.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
