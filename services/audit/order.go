package audit

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// partition is one Kafka partition while it is audited. What is known of its orders stands in the auditor's buckets.
type partition struct {
	a         *auditor
	number    int32
	before    consumed // P
	suspects  []*order // look broken, and are looked at again
	suspected int      // their facts
	entry     []byte   // the last one that was packed
}

// unknownOrder is the first record of an order that the snapshot does not know: it was accepted later, was not asked for, or is
// nobody's.
type unknownOrder struct {
	place
	at time.Time
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

// facts are how many things are known of the order: its size in memory by some forty bytes.
func (o *order) facts() int {
	n := 1 + len(o.events) + len(o.rows) + len(o.records) + len(o.unreadable) + len(o.redrives)
	for _, g := range o.generations {
		n += 1 + len(g.links) + len(g.before) + len(g.after) + len(g.ends)
	}
	return n
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

// logRecord is what one record of the log says of its order.
type logRecord struct {
	place
	at         time.Time // when the fact occurred; zero where the record does not say it
	uuid       uint64    // where byOutbox
	byOutbox   bool      // of a topic that only the outbox writes to
	old        bool      // retention may have dropped its row
	unreadable bool
	redrive    string // not empty: an operator sent a record back from the dead letters; who, which and why

	readable bool // what follows is known
	saying
}

// saying is what a record says of its generation.
type saying struct {
	generation        int
	syncID            int64
	key               uint64
	attempt, attempts int
	held              bool // requested and not released
	byGate            bool
	written           time.Time
}

func sayingOf(s domain.Sync, written time.Time) saying {
	return saying{
		generation: s.Generation, syncID: s.SyncID, key: hash(s.IdempotencyKey), attempt: s.Version.Attempt(), attempts: s.Attempts,
		held: s.Released != nil && !*s.Released, byGate: s.ClosedBy != "", written: written,
	}
}

// add adds a record to what is known of its order. Topics are read one after the other, so what comes first says nothing about what
// happened first.
func (o *order) add(r logRecord) {
	if r.byOutbox {
		o.records = append(o.records, record{fact: fact{topic: r.topic, uuid: r.uuid}, place: r.place, old: r.old})
	}
	switch {
	case r.redrive != "":
		of := Redrive{Source: domain.DefaultSource, Order: o.key, Generation: r.generation, At: r.at.UTC(), What: r.redrive}
		if ref, err := domain.ParseKey(o.key); err == nil {
			of.Source, of.Order = ref.Source, ref.IncrementID
		}
		o.redrives = append(o.redrives, of)
	case r.unreadable:
		o.unreadable = append(o.unreadable, r.place)
	case r.readable:
		o.generation(r.generation).add(r.place, r.saying)
	}
}

func (g *generation) add(at place, s saying) {
	g.syncID, g.key = s.syncID, s.key
	switch topic := names[at.topic]; topic {
	case event.TopicRequested:
		if s.held {
			g.held = true
			return
		}
		g.links = append(g.links, link{at, 0})
	case event.TopicBeforeSend:
		if !marked(g.before, s.attempt) { // an intent may repeat
			g.before = append(g.before, mark{at, s.attempt})
		}
	case event.TopicAfterSend:
		g.after = append(g.after, mark{at, s.attempt})
	case event.TopicSuccess, event.TopicFailed:
		g.ends = append(g.ends, end{at, s.written, topic == event.TopicSuccess, s.attempts, s.byGate})
	default:
		g.links = append(g.links, link{at, s.attempts})
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
