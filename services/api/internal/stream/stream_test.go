package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const partitions = 2

var (
	small = Limits{Readers: 3, Behind: 10_000, RingFacts: 5, RingBytes: 1 << 20}
	at    = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
)

// writer writes facts as the services do, in transactions.
type writer struct {
	cfg    kafka.Config
	client *kgo.Client
	told   []string // the committed ones, in order
}

func newWriter(t *testing.T) *writer {
	t.Helper()
	cfg, _ := testkit.WithTopics(t, partitions)
	client, err := kgo.NewClient(append(cfg.Options(), kgo.TransactionalID(cfg.Prefix+"writer"))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &writer{cfg: cfg, client: client}
}

// write writes so many facts in a transaction, of several orders and types.
func (w *writer) write(t require.TestingT, facts int, commit bool) {
	ctx := context.Background()
	var records []*kgo.Record
	for i := range facts {
		s := domain.Sync{
			SyncID: int64(i + 1), Source: "default", OrderIncrementID: fmt.Sprint(100 + i%7), Status: domain.Queued, Generation: 1,
			Version: domain.RequestVersion(1, 0), CreatedAt: at, UpdatedAt: at,
		}
		r, err := event.NewSync(Types[i%len(Types)], event.Sync{Sync: s, Order: json.RawMessage(`{"customer_email": "zoe@example.com"}`)}, event.Context{At: at})
		require.NoError(t, err)
		records = append(records, w.cfg.Record(r))
	}
	require.NoError(t, w.client.BeginTransaction())
	require.NoError(t, w.client.ProduceSync(ctx, records...).FirstErr())
	require.NoError(t, w.client.EndTransaction(ctx, kgo.TransactionEndTry(commit)))
	if commit {
		for _, r := range records {
			w.told = append(w.told, placeOf(r.Topic[len(w.cfg.Prefix):], r.Partition, r.Offset))
		}
	}
}

func placeOf(topic string, partition int32, offset int64) string {
	return fmt.Sprintf("%s/%d@%06d", topic, partition, offset)
}

// place is where the fact says that it stands.
func place(t require.TestingT, f Fact) string {
	var s shown
	require.NoError(t, json.Unmarshal(f.Data, &s))
	return placeOf(s.Topic, s.Partition, s.Offset)
}

func (w *writer) hub(l Limits) *Hub { return NewHub(w.cfg, l, slog.New(slog.DiscardHandler)) }

// client is who reads a stream, and comes again with the id of the last fact it took.
type client struct {
	hub    *Hub
	reader *Reader
	last   *ID
	got    []string
}

func (c *client) come(t require.TestingT) {
	r, err := c.hub.Subscribe(context.Background(), c.last)
	require.NoError(t, err)
	require.Empty(t, r.Gap)
	c.reader = r
	if c.last == nil {
		c.took()
	}
	require.NoError(t, r.CatchUp(context.Background(), func(facts []Fact) error {
		c.take(t, facts)
		return nil
	}))
}

func (c *client) took() {
	id, err := ParseID(c.reader.ID().String())
	if err != nil {
		panic(err)
	}
	c.last = &id
}

func (c *client) take(t require.TestingT, facts []Fact) {
	for _, f := range facts {
		c.got = append(c.got, place(t, f))
		c.reader.Took(f)
		c.took()
	}
}

// read takes facts until it has so many in all, or more. A reader that was left behind comes again.
func (c *client) read(t require.TestingT, all int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for len(c.got) < all {
		facts, err := c.reader.Next(ctx)
		if err == nil {
			c.take(t, facts)
			continue
		}
		require.ErrorIs(t, err, ErrTooSlow)
		c.reader.Close()
		c.come(t)
	}
}

// Whatever the reader does, be it that it goes and comes again, to another process, or that it is left behind: it gets each fact that was
// committed once, and those of a partition in their order.
func TestEachFactComesOnceHoweverOftenTheReaderComesAgain(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	rapid.Check(t, func(t *rapid.T) {
		w.told = nil
		limits := small
		limits.RingFacts = rapid.IntRange(3, 40).Draw(t, "ring")
		c := &client{hub: w.hub(limits)}
		c.come(t)
		stays, err := c.hub.Subscribe(context.Background(), nil) // so the ring of this process does, too
		require.NoError(t, err)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			w.write(t, rapid.IntRange(1, 12).Draw(t, "facts"), rapid.IntRange(0, 3).Draw(t, "commit") > 0)
			if left := len(w.told) - len(c.got); left > 0 {
				c.read(t, len(c.got)+rapid.IntRange(0, left).Draw(t, "read"))
			}
			switch rapid.IntRange(0, 2).Draw(t, "goes") {
			case 1:
				c.reader.Close()
				c.come(t)
			case 2:
				c.reader.Close()
				stays.Close()
				require.Nil(t, c.hub.current, "nobody reads")
				c.hub = w.hub(limits)
				stays, err = c.hub.Subscribe(context.Background(), nil)
				require.NoError(t, err)
				c.come(t)
			}
		}
		c.read(t, len(w.told))
		c.reader.Close()
		stays.Close()
		require.ElementsMatch(t, w.told, c.got)
		for i, p := range c.got { // of a partition, a later place is a later text
			for _, later := range c.got[i+1:] {
				require.False(t, p[:len(p)-6] == later[:len(later)-6] && later < p, "%s came before %s", p, later)
			}
		}
	})
}

// A reader that takes nothing costs the others nothing, and is cut.
func TestAReaderThatIsLeftBehindIsCut(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	hub := w.hub(small)
	slow, err := hub.Subscribe(t.Context(), nil)
	require.NoError(t, err)
	defer slow.Close()
	quick := &client{hub: hub}
	quick.come(t)
	for range 4 {
		w.write(t, 3, true)
		quick.read(t, len(w.told))
	}
	require.LessOrEqual(t, len(hub.current.ring.facts), small.RingFacts)
	require.NoError(t, slow.CatchUp(t.Context(), nil))
	_, err = slow.Next(t.Context())
	require.ErrorIs(t, err, ErrTooSlow)
	quick.reader.Close()
}

func TestTheRingIsBoundInBytes(t *testing.T) {
	t.Parallel()
	r := newRing([]int64{7, 0}, Limits{RingFacts: 100, RingBytes: 10})
	for i := range 8 {
		r.add(Fact{Data: []byte("four"), partition: i % 2, offset: int64(7*(1-i%2) + i/2)})
	}
	require.Len(t, r.facts, 2)
	require.Equal(t, []int64{10, 3}, r.start)
	require.Equal(t, []int64{11, 4}, r.next)
	require.True(t, r.holds([]int64{10, 3}))
	require.False(t, r.holds([]int64{10, 2}))
	_, ok := r.from(5, 10)
	require.False(t, ok)
	facts, ok := r.from(7, 10)
	require.True(t, ok)
	require.Len(t, facts, 1)
}

func TestReadersAreCounted(t *testing.T) {
	t.Parallel()
	hub := newWriter(t).hub(small)
	var readers []*Reader
	for range small.Readers {
		r, err := hub.Subscribe(t.Context(), nil)
		require.NoError(t, err)
		readers = append(readers, r)
	}
	_, err := hub.Subscribe(t.Context(), nil)
	require.ErrorIs(t, err, ErrFull)
	readers[0].Close()
	r, err := hub.Subscribe(t.Context(), nil)
	require.NoError(t, err)
	for _, r := range append(readers[1:], r) {
		r.Close()
	}
	require.Nil(t, hub.current)
}

// Who cannot go on where they were are told so, and go on now.
func TestAReaderIsToldWhatItHasMissed(t *testing.T) {
	t.Parallel()
	w, other := newWriter(t), newWriter(t)
	limits := small
	limits.Behind = 20
	idNow := func(w *writer) *ID {
		c := client{hub: w.hub(limits)}
		c.come(t)
		defer c.reader.Close()
		return c.last
	}
	before := idNow(w)
	w.write(t, 12, true)
	near := idNow(w)
	w.write(t, 10, true)
	ahead := idNow(w)
	ahead.next = slices.Clone(ahead.next)
	ahead.next[0] += 100
	for name, c := range map[string]struct {
		id  *ID
		gap Gap
	}{
		"too_old": {before, GapTooOld}, "near": {near, ""}, "of_another_installation": {idNow(other), GapOther}, "of_a_longer_log": {ahead, GapOther},
	} {
		r, err := w.hub(limits).Subscribe(t.Context(), c.id)
		require.NoError(t, err, name)
		require.Equal(t, c.gap, r.Gap, name)
		if c.gap != "" {
			require.Equal(t, idNow(w).String(), r.ID().String(), name)
		}
		r.Close()
	}
}

func TestNoStreamWithoutKafka(t *testing.T) {
	t.Parallel()
	hub := NewHub(kafka.Config{Brokers: []string{testkit.FreeAddr(t)}}, small, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := hub.Subscribe(ctx, nil)
	require.ErrorIs(t, err, ErrLog)
	require.Zero(t, hub.readers)
	require.Nil(t, hub.current)
}

func TestParseIDRefusesWhatNoEventHad(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "7", "Ag", "AgAAAAAA", "AQAAAA", "AQAAAACA", "AQAAAAD__________8B", "ÄÖ", "AQAAAAAA="} {
		_, err := ParseID(text)
		require.ErrorIs(t, err, errID, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		id := ID{log: rapid.Uint32().Draw(t, "log"), next: rapid.SliceOfN(rapid.Int64Range(0, 1<<62), 1, 20).Draw(t, "next")}
		again, err := ParseID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, again)
	})
}

func TestATypeIsNamedInFullOrShort(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]string{"failed": event.TopicFailed, "vendor_erp_sync_failed": event.TopicFailed, "sales_order_event": "", "dead_letter": "", "": ""} {
		got, ok := TypeNamed(name)
		require.Equal(t, full, got)
		require.Equal(t, full != "", ok)
	}
}

// A sync's facts stand in several topics, which come in any order.
func TestFactsThatComeAtOnceAreSortedByTime(t *testing.T) {
	t.Parallel()
	fact := func(partition int, offset int64, seconds int, v domain.Version) Fact {
		return Fact{partition: partition, offset: offset, moment: moment{at.Add(time.Duration(seconds) * time.Second), v}}
	}
	facts := []Fact{fact(1, 1, 5, 1), fact(1, 2, 3, 9), fact(2, 1, 1, 1), fact(2, 2, 5, 0), fact(2, 3, 7, 1), fact(3, 1, 4, 1)}
	inOrder(facts)
	var got []string
	for _, f := range facts {
		got = append(got, fmt.Sprint(f.partition, "@", f.offset))
	}
	require.Equal(t, []string{"2@1", "3@1", "2@2", "1@1", "1@2", "2@3"}, got)
}
