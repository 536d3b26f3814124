package audit

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
)

// spoiled is a world of which a record may be lost, or twice there.
func spoiled(t *rapid.T, order string) world {
	worlds := drawWorlds(t, ref(order))
	w := worlds[len(worlds)-1].clone()
	if len(w.log) == 0 {
		return w
	}
	i := rapid.IntRange(0, len(w.log)-1).Draw(t, "record")
	switch rapid.IntRange(0, 3).Draw(t, "planted") {
	case 0:
		w.log = append(w.log[:i:i], w.log[i+1:]...)
	case 1:
		w = w.write(w.log[i].topic(), w.log[i].uuid, w.log[i].sync)
	}
	return w
}

// pack packs the world as the snapshot and the topics have it.
func (w world) pack(t *rapid.T, a *auditor) {
	key := w.gate.Ref.Key()
	one := func(kind byte, more func([]byte) []byte) { require.NoError(t, a.snapshot.add(kind, key, more)) }
	one(entryEvent, func(b []byte) []byte { return binary.LittleEndian.AppendUint64(b, shopsEvent) })
	for _, r := range w.rows {
		one(entryRow, func(b []byte) []byte {
			return binary.LittleEndian.AppendUint64(append(appendNumber(b, r.id), r.topic), r.uuid)
		})
	}
	one(entryGate, gateOf(w).append)
	for _, r := range w.log {
		entry := logRecord{place: r.place, uuid: r.uuid}
		_, entry.byOutbox = relayed[r.topic()]
		if r.topic() != event.TopicSalesOrder && r.topic() != event.TopicCallback {
			entry.readable, entry.saying = true, sayingOf(r.sync, time.Unix(r.offset, 0))
		}
		require.NoError(t, a.log.add(bucketOf(key, a.snapshot.buckets), entry.append(appendText(nil, key))))
	}
}

// judgedWithin is the report on worlds with these limits.
func judgedWithin(t *rapid.T, limits tuning, listed int, worlds map[string]world) *Report {
	kept := &store{limit: limits.memory}
	defer func() { require.NoError(t, kept.close()) }()
	buckets := 1 + len(worlds)/limits.bucketOrders
	a := &auditor{tuning: limits, snapshot: &snapshot{partitions: 1, buckets: buckets, packed: newSpill(kept, buckets)}, log: newSpill(kept, buckets)}
	for _, w := range worlds {
		w.pack(t, a)
	}
	r := newReport(Params{Limit: listed})
	for n := range buckets {
		require.NoError(t, eachBucket(a.snapshot.part(0, n), part{a.log, n}, limits.bucketBytes, func(b *bucket) error {
			for key, o := range b.orders {
				j := &judgement{o: o, relayed: int64(worlds[key].relayed), gate: o.gate, before: func(p place) bool { return worlds[key].consumed[p] }}
				j.run()
				r.count(j)
			}
			return nil
		}))
	}
	require.Len(t, kept.free, kept.next, "each chunk was given up")
	r.finish()
	return r
}

// Whatever the limits of memory, an audit finds the same, and lists the same.
func TestLimitsChangeNothingThatIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		worlds := map[string]world{}
		for i := range rapid.IntRange(1, 12).Draw(t, "orders") {
			w := spoiled(t, string(rune('a'+i)))
			worlds[w.gate.Ref.Key()] = w
		}
		for _, listed := range []int{0, 3} {
			want := newReport(Params{Limit: listed}) // without packing anything
			for key, w := range worlds {
				l := looks{w, w, w, w, w, w}
				o := l.order()
				j := &judgement{o: o, relayed: int64(w.relayed), gate: o.gate, before: func(p place) bool { return worlds[key].consumed[p] }}
				j.run()
				want.count(j)
			}
			want.finish()
			large := judgedWithin(t, limits, listed, worlds)
			require.Equal(t, want, large)
			tiny := judgedWithin(t, tuning{bucketOrders: 3, bucketBytes: rapid.IntRange(0, 400).Draw(t, "bytes")}, listed, worlds)
			require.Equal(t, large, tiny)
		}
	})
}
