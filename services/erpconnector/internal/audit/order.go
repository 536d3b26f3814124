package audit

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// partition is what is known of the orders of one Kafka partition: by the snapshot, and by the topics.
type partition struct {
	a             *auditor
	number        int32
	orders        map[string]*order
	unknownOrders map[string]unknownOrder // keys that the snapshot does not know
	before        consumed                // P
}

// unknownOrder is the first record of an order that the snapshot does not know: it was accepted later, was not asked for, or is
// nobody's.
type unknownOrder struct {
	place
	at time.Time
}

// noteUnknown keeps the first record of an order that the snapshot does not know. Most such orders came after the snapshot: one record
// is enough to ask about them at the end.
func (b *partition) noteUnknown(key string, at place, when time.Time) {
	if first, met := b.unknownOrders[key]; !met || at.topic < first.topic {
		b.unknownOrders[key] = unknownOrder{at, when}
	}
}

// place is where a record stands in its partition.
type place struct {
	topic  byte
	offset int64
}

// fact is what makes a row of the outbox and a record the same: a topic and a hash of the message's uuid.
type fact struct {
	topic byte
	uuid  uint64
}

// row is a row of the outbox.
type row struct {
	fact
	id int64
}

// record is a record of a topic that only the outbox writes to, so there must be a row of it, unless that is old.
type record struct {
	fact
	place place
	old   bool // retention may have dropped its row
}

// order is what is known of one order. Nothing in it depends on the order in which it was read.
type order struct {
	key         string
	events      []uint64
	rows        []row
	gate        *gateRow
	records     []record // of relayed topics
	generations []*generation
	unreadable  []place
	redrives    []Redrive
}

// generation is what the log says of one generation.
type generation struct {
	number        int
	syncID        int64
	key           uint64
	held          bool   // requested and not released, at least at first
	links         []link // chain records
	before, after []mark // before_send and after_send
	ends          []end
}

// link is a chain record: it keeps its generation alive until it is consumed.
type link struct {
	place
	attempts int // made before it
}

// mark is a trace of an attempt: that it was announced, or how it ended.
type mark struct {
	place
	attempt int
}

// end is a terminal event.
type end struct {
	place
	written  time.Time
	success  bool
	attempts int
	byGate   bool // no call's outcome: the gate stopped the record
}

// generation finds a generation, or begins it. An order has few, so a list is enough.
func (o *order) generation(number int) *generation {
	for _, g := range o.generations {
		if g.number == number {
			return g
		}
	}
	g := &generation{number: number}
	o.generations = append(o.generations, g)
	return g
}

// newest is the log's newest generation, nil when it knows none.
func (o *order) newest() (newest *generation) {
	for _, g := range o.generations {
		if newest == nil || g.number > newest.number {
			newest = g
		}
	}
	return newest
}

// noteRedrive keeps who sent the order's record back from the dead letters. A callback that cannot be read is none.
func (o *order) noteRedrive(e event.View) {
	s, err := e.SyncOnly()
	if err == nil && s.IsRedrive() && s.Ref().Key() == o.key {
		o.redrives = append(o.redrives, Redrive{Source: s.Source, Order: s.OrderIncrementID, Generation: s.Generation, At: e.OccurredAt().UTC(), What: s.Cause})
	}
}

// note takes one record of the log into account. Topics are read one after the other, so what comes first says nothing about what
// happened first.
func (g *generation) note(topic string, at place, s domain.Sync, written time.Time) {
	g.syncID, g.key = s.SyncID, hash(s.IdempotencyKey)
	switch topic {
	case event.TopicRequested:
		if s.Released != nil && !*s.Released {
			g.held = true
			return
		}
		g.links = append(g.links, link{at, 0})
	case event.TopicBeforeSend:
		if !marked(g.before, s.Version.Attempt()) { // an intent may repeat
			g.before = append(g.before, mark{at, s.Version.Attempt()})
		}
	case event.TopicAfterSend:
		g.after = append(g.after, mark{at, s.Version.Attempt()})
	case event.TopicSuccess, event.TopicFailed:
		g.ends = append(g.ends, end{at, written, topic == event.TopicSuccess, s.Attempts, s.ClosedBy != ""})
	default:
		g.links = append(g.links, link{at, s.Attempts})
	}
}

func marked(marks []mark, attempt int) bool {
	for _, m := range marks {
		if m.attempt == attempt {
			return true
		}
	}
	return false
}
