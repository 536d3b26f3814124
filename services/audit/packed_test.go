package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// smallestEntry is of a length, a key, a kind and a hash.
const smallestEntry = 1 + 2 + 1 + 8

// Whatever is packed of orders, in any order: each order is in the bucket of its partition, and has all that was said of it, whether it
// stood in memory or in the file.
func TestWhatIsPackedComesOutAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		partitions, buckets := rapid.Int32Range(1, 3).Draw(t, "partitions"), rapid.IntRange(1, 3).Draw(t, "buckets")
		kept := &store{}
		defer func() { require.NoError(t, kept.close()) }()
		s := &snapshot{partitions: partitions, buckets: buckets, packed: newSpill(kept, int(partitions)*buckets)}
		limit := rapid.SampledFrom([]int{0, 1000, 1 << 20}).Draw(t, "limit")
		model := map[string]*order{}
		for range rapid.IntRange(1, 30).Draw(t, "entries") {
			key := fmt.Sprint(rapid.SampledFrom([]string{"", "other/"}).Draw(t, "shop"), rapid.IntRange(1, 9).Draw(t, "order"))
			o := model[key]
			if o == nil {
				o = &order{key: key}
				model[key] = o
			}
			pack := s.packer(t, o)
			for range rapid.SampledFrom([]int{1, 1, 1, 700}).Draw(t, "times") { // the last fills chunks
				require.NoError(t, pack())
			}
		}
		found := 0
		for n := range partitions {
			for i := range buckets {
				require.NoError(t, eachBucket(s.part(n, i), part{newSpill(kept, 1), 0}, limit, func(b *bucket) error {
					facts := 0
					for key, o := range b.orders {
						facts += o.facts() - 1
						require.Equal(t, n, partitionOf(key, partitions))
						require.Equal(t, model[key], o)
						found++
					}
					require.True(t, len(b.orders) == 1 || facts*smallestEntry <= limit, "%d facts of %d orders, and a limit of %d bytes", facts, len(b.orders), limit)
					return nil
				}))
			}
		}
		require.Len(t, model, found)
		require.Len(t, kept.free, kept.next, "each chunk was given up")
	})
}

// packer draws something about an order. What it returns packs it and tells the model.
func (c *snapshot) packer(t *rapid.T, o *order) func() error {
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		id := rapid.StringN(0, 20, -1).Draw(t, "event")
		return func() error {
			o.events = append(o.events, hash(id))
			return c.add(entryEvent, o.key, func(b []byte) []byte { return appendHash(b, id) })
		}
	case 1:
		uuid, id := rapid.StringN(0, 20, -1).Draw(t, "uuid"), rapid.Int64Min(1).Draw(t, "id")
		return func() error {
			o.rows = append(o.rows, row{fact{2, hash(uuid)}, id})
			return c.add(entryRow, o.key, func(b []byte) []byte { return appendHash(append(appendNumber(b, id), 2), uuid) })
		}
	default:
		g := gateRow{
			syncID: rapid.Int64Min(0).Draw(t, "sync id"), generation: rapid.IntMin(0).Draw(t, "generation"), state: rapid.SampledFrom(gateStates).Draw(t, "state"),
			closedBy: rapid.SampledFrom(closedBys).Draw(t, "closed by"), key: rapid.Uint64().Draw(t, "key"),
			requests: rapid.IntMin(0).Draw(t, "requests"), settling: rapid.IntMin(0).Draw(t, "settling"),
		}
		return func() error {
			o.gate = &g
			return c.add(entryGate, o.key, g.append)
		}
	}
}

func TestARecordThatIsPackedComesOutAgain(t *testing.T) {
	t.Parallel()
	times := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return time.Unix(0, rapid.Int64Min(1).Draw(t, "time"))
	})
	rapid.Check(t, func(t *rapid.T) {
		yes := func(name string) bool { return rapid.Bool().Draw(t, name) }
		r := logRecord{
			place: place{rapid.Byte().Draw(t, "topic"), rapid.Int64Min(0).Draw(t, "offset")}, at: times.Draw(t, "at"), byOutbox: yes("by outbox"),
			old: yes("old"), unreadable: yes("unreadable"), redrive: rapid.StringN(0, 20, -1).Draw(t, "redrive"), readable: yes("readable"),
		}
		if r.byOutbox {
			r.uuid = rapid.Uint64().Draw(t, "uuid")
		}
		if r.readable {
			r.saying = saying{
				generation: rapid.IntMin(0).Draw(t, "generation"), syncID: rapid.Int64().Draw(t, "sync id"), key: rapid.Uint64().Draw(t, "key"),
				attempt: rapid.IntMin(0).Draw(t, "attempt"), attempts: rapid.IntMin(0).Draw(t, "attempts"), held: yes("held"), byGate: yes("by gate"),
				written: times.Draw(t, "written"),
			}
		}
		u := unpacker(r.append(nil))
		require.Equal(t, r, u.record())
		require.Empty(t, u)
	})
}

// A state that this release does not know, of a newer one, is none.
func TestAStateOfANewerReleaseIsNone(t *testing.T) {
	t.Parallel()
	u := unpacker(gateRow{state: "split", closedBy: "nobody"}.append(nil))
	require.Equal(t, gateRow{state: domain.GateNone}, u.gate())
}
