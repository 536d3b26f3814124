package audit

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// The kinds of entries of the snapshot. The kind stands after the order's key. Entries of the log are all of one kind.
const (
	entryEvent byte = iota // an accepted event: its message uuid
	entryRow               // a row of the outbox: id, topic and message uuid
	entryGate              // a gateRow
)

// bucket is what is known of some orders of a partition.
type bucket struct {
	orders        map[string]*order
	unknownOrders map[string]unknownOrder // keys that the snapshot does not know
}

// eachBucket gives what is known of the orders of a bucket to do, which may not keep it. What is packed of them is given up. Where that is
// more than limit bytes the bucket is split, and its parts are given one after the other.
func eachBucket(snapshot, log part, limit int, do func(*bucket) error) error {
	return eachSplit(snapshot, log, limit, 0, do)
}

func eachSplit(snapshot, log part, limit, splits int, do func(*bucket) error) error {
	size := snapshot.size() + log.size()
	if size == 0 {
		return nil
	}
	if size <= limit || splits == maxSplits {
		ofSnapshot, err := snapshot.take()
		if err != nil {
			return err
		}
		ofLog, err := log.take()
		if err != nil {
			return err
		}
		return do(unpackBucket(ofSnapshot, ofLog))
	}
	to := func(key []byte) int { return splitOf(key, splits+1) }
	snapshots, err := snapshot.of.split(snapshot.bucket, 1<<splitBits, to)
	if err != nil {
		return err
	}
	logs, err := log.of.split(log.bucket, 1<<splitBits, to)
	if err != nil {
		return err
	}
	for n := range 1 << splitBits {
		if err := eachSplit(part{snapshots, n}, part{logs, n}, limit, splits+1, do); err != nil {
			return err
		}
	}
	return nil
}

// unpackBucket unpacks what the snapshot says of a bucket's orders, and then what the log says of them.
func unpackBucket(snapshot, log []byte) *bucket {
	b := &bucket{orders: map[string]*order{}, unknownOrders: map[string]unknownOrder{}}
	for all := unpacker(snapshot); len(all) > 0; {
		u := unpacker(all.bytes())
		key, kind := u.bytes(), u.byte()
		o := b.orders[string(key)]
		if o == nil {
			o = &order{key: string(key)}
			b.orders[o.key] = o
		}
		switch kind {
		case entryEvent:
			o.events = append(o.events, u.hash())
		case entryRow:
			o.rows = append(o.rows, row{id: u.number(), fact: fact{topic: u.byte(), uuid: u.hash()}})
		default:
			g := u.gate()
			o.gate = &g
		}
	}
	for all := unpacker(log); len(all) > 0; {
		u := unpacker(all.bytes())
		key, r := u.bytes(), u.record()
		if o := b.orders[string(key)]; o != nil {
			o.add(r)
		} else {
			b.noteUnknown(string(key), r.place, r.at)
		}
	}
	return b
}

// noteUnknown keeps the first record of an order that the snapshot does not know. Most such orders came after the snapshot: one record
// is enough to ask about them at the end.
func (b *bucket) noteUnknown(key string, at place, when time.Time) {
	if first, met := b.unknownOrders[key]; !met || at.topic < first.topic {
		b.unknownOrders[key] = unknownOrder{at, when}
	}
}

var (
	gateStates = []domain.GateState{domain.GateNone, domain.GateHeld, domain.GateOpen, domain.GateClosed}
	closedBys  = []domain.ClosedBy{
		"", domain.ClosedByAnswer, domain.ClosedByFailure, domain.ClosedByWebhook, domain.ClosedByHand, domain.ClosedByRejected,
		domain.ClosedByCancelled, domain.ClosedBySuperseded, domain.ClosedByDeadLetter,
	}
)

// append packs a gate; unpacker.gate is its inverse.
func (g gateRow) append(b []byte) []byte {
	for _, n := range []int64{g.syncID, int64(g.generation), int64(g.requests), int64(g.settling)} {
		b = appendNumber(b, n)
	}
	return binary.LittleEndian.AppendUint64(append(b, indexOf(gateStates, g.state), indexOf(closedBys, g.closedBy)), g.key)
}

func (u *unpacker) gate() gateRow {
	g := gateRow{syncID: u.number(), generation: int(u.number()), requests: int(u.number()), settling: int(u.number())}
	g.state, g.closedBy, g.key = gateStates[u.byte()], closedBys[u.byte()], u.hash()
	return g
}

// indexOf is a state's number in the packed form. An unknown one, of a newer release, counts as the first, which is none.
func indexOf[T comparable](all []T, one T) byte {
	for i, x := range all {
		if x == one {
			return byte(i)
		}
	}
	return 0
}

// append packs a record; unpacker.record is its inverse.
func (r logRecord) append(b []byte) []byte {
	flags := byte(0)
	for i, set := range [...]bool{r.byOutbox, r.old, r.readable, r.unreadable, r.held, r.byGate} {
		if set {
			flags |= 1 << i
		}
	}
	b = appendTime(appendNumber(append(b, flags, r.topic), r.offset), r.at)
	if r.byOutbox {
		b = binary.LittleEndian.AppendUint64(b, r.uuid)
	}
	if r.readable {
		for _, n := range []int64{int64(r.generation), r.syncID, int64(r.attempt), int64(r.attempts)} {
			b = appendNumber(b, n)
		}
		b = appendTime(binary.LittleEndian.AppendUint64(b, r.key), r.written)
	}
	return appendText(b, r.redrive)
}

func (u *unpacker) record() (r logRecord) {
	flags := u.byte()
	for i, set := range [...]*bool{&r.byOutbox, &r.old, &r.readable, &r.unreadable, &r.held, &r.byGate} {
		*set = flags&(1<<i) != 0
	}
	r.topic, r.offset, r.at = u.byte(), u.number(), u.time()
	if r.byOutbox {
		r.uuid = u.hash()
	}
	if r.readable {
		r.generation, r.syncID, r.attempt, r.attempts = int(u.number()), u.number(), int(u.number()), int(u.number())
		r.key, r.written = u.hash(), u.time()
	}
	r.redrive = string(u.bytes())
	return r
}

// unpacker takes what was packed off its front.
type unpacker []byte

func (u *unpacker) byte() byte {
	b := (*u)[0]
	*u = (*u)[1:]
	return b
}

func (u *unpacker) number() int64 {
	n, size := binary.Varint(*u)
	*u = (*u)[size:]
	return n
}

// bytes are valid as long as what they were unpacked from.
func (u *unpacker) bytes() []byte {
	n := u.number()
	b := (*u)[:n]
	*u = (*u)[n:]
	return b
}

func (u *unpacker) hash() uint64 {
	h := binary.LittleEndian.Uint64(*u)
	*u = (*u)[8:]
	return h
}

func (u *unpacker) time() time.Time {
	n := u.number()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

func appendNumber(b []byte, n int64) []byte { return binary.AppendVarint(b, n) }

func appendText(b []byte, s string) []byte { return append(appendNumber(b, int64(len(s))), s...) }

// appendTime packs a time to the nanosecond. The zero time, and that of 1970, stand for none.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return appendNumber(b, 0)
	}
	return appendNumber(b, t.UnixNano())
}

func appendHash(b []byte, s string) []byte { return binary.LittleEndian.AppendUint64(b, hash(s)) }

// seed is of the hashes of one run.
var seed = maphash.MakeSeed()

// hash stands for a uuid or a key among those of one order, so that no two of a hundred are ever the same.
func hash(s string) uint64 { return maphash.String(seed, s) }
