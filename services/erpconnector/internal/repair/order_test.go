package repair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/reconcile"
)

// What differs decides whether there is anything to mend; what was counted beside it does not.
func TestFits(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*Report{
		"nothing": {}, "much_was_compared": {Records: 9, Since: time.Now(), OrdersIn: 3, Requested: 2, Renamed: 1, Mended: true},
	} {
		require.True(t, r.Fits(), name)
	}
	for name, r := range map[string]*Report{
		"a_lost_record": {Lost: 1}, "a_row_twice": {Again: 1}, "a_reused_id": {Reused: 1}, "the_relay_refuses": {Mismatch: checkpoint.ErrMismatch}, "an_interrupted_repair": {Open: true},
	} {
		require.False(t, r.Fits(), name)
	}
}

// Only a server that took this one's place, or one that Kafka knows nothing of, needs a word more before it is written to.
func TestAnotherServer(t *testing.T) {
	t.Parallel()
	here := outbox.Server{System: "7", Timeline: 3}
	for name, c := range map[string]struct {
		position checkpoint.Position
		other    bool
	}{
		"this_one":                     {checkpoint.Position{System: "7", Timeline: 3}, false},
		"it_was_promoted_since":        {checkpoint.Position{System: "7", Timeline: 2}, false},
		"one_that_has_replaced_it":     {checkpoint.Position{System: "7", Timeline: 4}, true},
		"another_cluster":              {checkpoint.Position{System: "8", Timeline: 3}, true},
		"a_position_of_an_old_release": {checkpoint.Position{Timeline: 9}, false},
		"nothing_was_relayed":          {checkpoint.Position{}, false},
		"another_one_at_its_beginning": {checkpoint.Position{System: "8", Timeline: 1}, true},
	} {
		r := &repairer{report: &Report{Position: c.position, Server: here}}
		require.Equal(t, c.other, r.isOtherServer(), name)
	}
}

// fact is a record of a request of an order's generation.
func fact(t *testing.T, n, generation int) *kgo.Record {
	t.Helper()
	s := domain.Sync{
		SyncID: int64(n), Source: "default", OrderIncrementID: refOf(n).IncrementID, Status: domain.Queued, MaxAttempts: 5, Generation: generation,
		Version: domain.RequestVersion(generation, 0),
	}
	r, err := event.NewSync(event.TopicRequested, event.Sync{Sync: s}, event.Context{At: time.Now()})
	require.NoError(t, err)
	return kafka.Config{}.Record(r)
}

// An order is listed once, with all that was lost of it; a record that nobody can read is counted all the same.
func TestWhatIsListedOfAnOrder(t *testing.T) {
	t.Parallel()
	r := &repairer{report: &Report{}, orders: map[string]*Order{}}
	key := refOf(1).Key()
	r.note(lostRecord{fact(t, 1, 2), event.TopicRequested, 0})
	r.note(lostRecord{fact(t, 1, 1), event.TopicRequested, 1})
	r.note(lostRecord{&kgo.Record{Key: []byte(key), Value: []byte(`{"event_id":"e1"}`)}, event.TopicSalesOrder, 2})
	r.note(lostRecord{&kgo.Record{Key: []byte(key), Value: []byte(`no JSON`)}, event.TopicSalesOrder, 3})
	r.note(lostRecord{&kgo.Record{Key: []byte("outlet/9"), Value: []byte(`no JSON`)}, event.TopicCallback, 4})
	r.noteRows(&reconcile.Comparison{
		Repeated: []reconcile.Row{{ID: 1, Key: key}, {ID: 2, Key: key}}, Reused: []reconcile.Row{{ID: 3, Key: "outlet/9"}, {ID: 4, Key: "a"}},
	})
	for limit, keys := range map[int][]string{0: {key, "a", "outlet/9"}, 3: {key, "a", "outlet/9"}, 2: {key, "a"}, 1: {key}} {
		r.report, r.Limit = &Report{}, limit
		r.finishReport()
		require.Equal(t, 3, r.report.OrdersIn, "all are counted")
		var got []string
		for _, o := range r.report.Orders {
			got = append(got, o.Key)
		}
		require.Equal(t, keys, got, "by their keys, %d at most", limit)
	}
	require.Equal(t, map[string]*Order{
		key:        {Key: key, Events: []string{"e1"}, SyncID: 1, Generation: 2, Facts: 2, Again: 2},
		"outlet/9": {Key: "outlet/9", Facts: 1, Reused: 1},
		"a":        {Key: "a", Reused: 1},
	}, r.orders)
}

// Of what is read, the lost records alone are passed on: an order's events before what follows from them, a transaction's worth
// at a time, each with its place.
func TestLostRecordsArePassedOn(t *testing.T) {
	t.Parallel()
	const prefix = "a."
	s := &lostSink{prefix: prefix, places: map[reconcile.Record]int{}}
	var all []*kgo.Record
	for n := range 2*maxRecords + 10 {
		for i, topic := range []string{event.TopicCallback, event.TopicRequested, event.TopicSalesOrder} {
			all = append(all, &kgo.Record{Topic: prefix + topic, Partition: int32(i), Offset: int64(n)}) //nolint:gosec // small
			if n < maxRecords+1 {
				s.places[reconcile.Record{Topic: topic, Partition: int32(i), Offset: int64(n)}] = 10*n + i //nolint:gosec // small
			}
		}
	}
	var calls []string
	s.use = func(_ context.Context, records []lostRecord) error {
		calls = append(calls, fmt.Sprintf("%s %d", records[0].topic, len(records)))
		for _, r := range records {
			require.Equal(t, prefix+r.topic, r.Topic)
			require.Equal(t, 10*int(r.Offset)+int(r.Partition), r.place)
		}
		return nil
	}
	require.NoError(t, s.Take(t.Context(), all))
	require.Equal(t, []string{
		event.TopicSalesOrder + " 200", event.TopicSalesOrder + " 1", event.TopicRequested + " 200", event.TopicRequested + " 1", event.TopicCallback + " 200", event.TopicCallback + " 1",
	}, calls)
	require.NoError(t, s.Take(t.Context(), nil))
	s.use = func(context.Context, []lostRecord) error { return io.ErrUnexpectedEOF }
	require.ErrorIs(t, s.Take(t.Context(), all), io.ErrUnexpectedEOF)
}

// An id is found by its place, at both ends of each stretch.
func TestPlaces(t *testing.T) {
	t.Parallel()
	free := places{{first: 10, place: 0}, {first: 20, place: 3}, {first: 100, place: 4}}
	for place, id := range []int64{10, 11, 12, 20, 100, 101, 102} {
		require.Equal(t, id, free.at(place))
	}
}

// What an event record must have, to be an accepted event again.
func TestEventsAreReadFromTheLog(t *testing.T) {
	t.Parallel()
	record := func(value string, headers ...kgo.RecordHeader) event.View {
		return kafka.Config{}.Event(&kgo.Record{Topic: event.TopicSalesOrder, Key: []byte("outlet/1"), Value: []byte(value), Headers: headers})
	}
	at := kgo.RecordHeader{Key: event.HeaderTime, Value: []byte("2024-01-15T11:30:00.123456+01:00")}
	a, err := acceptedOf(record(`{"event_id":"e1","type":"order.placed","source":"outlet"}`, at))
	require.NoError(t, err)
	require.Equal(t, []any{"e1", event.OrderPlaced, "outlet", "outlet/1"}, []any{a.EventID, a.Type, a.Source, a.key})
	require.Equal(t, "2024-01-15T10:30:00.123Z", a.at.Format(time.RFC3339Nano))
	require.Len(t, a.digest, 32)
	b, err := acceptedOf(record(`{"event_id":"e1","type":"order.placed"}`, at))
	require.NoError(t, err)
	require.Equal(t, domain.DefaultSource, b.Source, "the shop that need not name itself")
	require.NotEqual(t, a.digest, b.digest)
	for want, view := range map[string]event.View{
		"decoding the event: ":      record("no JSON", at),
		"header ce_time is missing": record(`{}`),
		"looking for beginning of":  record(`{"event_id": }`, at),
		"cannot unmarshal number":   record(`{"event_id": 7}`, at),
		"unexpected end of JSON":    record("", at),
		"header ce_time: ":          record(`{}`, kgo.RecordHeader{Key: event.HeaderTime, Value: []byte("noon")}),
	} {
		_, err := acceptedOf(view)
		require.ErrorContains(t, err, want)
	}
}

// Which state an event brings, if any, and of when it is.
func TestTheStateOfAnEvent(t *testing.T) {
	t.Parallel()
	accepted := accepted{at: time.Date(2024, 1, 16, 0, 0, 0, 0, time.UTC)}
	accepted.EventID, accepted.OccurredAt = "e1", "2024-01-15T09:00:00Z"
	for name, c := range map[string]struct {
		order   string
		at      string // empty: not known
		orderID *int64
	}{
		"its_own_time":      {`{"order_id": 7, "updated_at": "2024-01-15 10:30:00"}`, "10:30", new(int64(7))},
		"when_it_occurred":  {`{}`, "09:00", nil},
		"a_time_to_come":    {`{"updated_at": "2030-01-15 10:30:00"}`, "09:00", nil},
		"a_time_that_is_no": {`{"updated_at": "noon"}`, "09:00", nil},
	} {
		accepted.Order = []byte(c.order)
		s, err := stateOf(accepted)
		require.NoError(t, err, name)
		require.Equal(t, c.order, s.order, name)
		require.Equal(t, c.at, s.at.UTC().Format("15:04"), name)
		require.Equal(t, c.orderID, s.orderID, name)
	}
	for _, none := range []string{"", "null"} {
		accepted.Order = []byte(none)
		s, err := stateOf(accepted)
		require.NoError(t, err)
		require.Nil(t, s, "an invoice that names its order brings no state")
	}
	accepted.Order = []byte(`{"order_id": "seven"}`)
	_, err := stateOf(accepted)
	require.ErrorContains(t, err, "decoding the order of event e1: ")
}

// The order in which states were accepted decides, not the one in which they are read; a known order id is never forgotten.
func TestTheNewestState(t *testing.T) {
	t.Parallel()
	at := func(hour int) *time.Time { h := time.Date(2024, 1, 15, hour, 0, 0, 0, time.UTC); return &h }
	states := []*state{
		{"third", nil, at(11), *at(3)}, {"first", new(int64(7)), at(9), *at(1)}, {"second", nil, at(12), *at(2)},
	}
	first, newest := newestOf(states)
	require.Equal(t, *at(1), first)
	require.Equal(t, state{"second", new(int64(7)), at(12), *at(3)}, newest, "the third is older by its own time")
	require.Equal(t, "third", states[0].order, "what is given stays as it was")
	first, newest = newestOf(states[:1])
	require.Equal(t, []any{*at(3), "third"}, []any{first, newest.order})
	_, newest = newestOf([]*state{{"a", nil, nil, *at(1)}, {"b", nil, nil, *at(2)}})
	require.Equal(t, "b", newest.order, "without times the later wins")
}

// However the lost records are read, the state is the same: partitions come side by side.
func TestTheNewestStateIsTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	begin := time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		var states []*state
		for n := range rapid.IntRange(1, 8).Draw(t, "states") {
			s := &state{order: fmt.Sprint(n), accepted: begin.Add(time.Duration(n) * time.Second)}
			if hour := rapid.IntRange(-1, 5).Draw(t, "hour"); hour >= 0 {
				s.at = new(begin.Add(time.Duration(hour) * time.Hour))
			}
			if id := rapid.Int64Range(0, 3).Draw(t, "order id"); id > 0 {
				s.orderID = &id
			}
			states = append(states, s)
		}
		wantFirst, want := newestOf(states)
		first, newest := newestOf(rapid.Permutation(states).Draw(t, "read"))
		require.Equal(t, wantFirst, first)
		require.Equal(t, want, newest)
		var known *time.Time
		for _, s := range states {
			if s.at != nil && (known == nil || s.at.After(*known)) {
				known = s.at
			}
		}
		require.Equal(t, known, newest.at, "the newest time known is never forgotten")
		require.Equal(t, states[len(states)-1].accepted, newest.accepted)
	})
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, ErrBusy, "stop the relay to compare all the same")
	require.ErrorContains(t, fmt.Errorf("%w: %w", ErrOtherServer, errors.New("why")), "say --this-server if it is the right one: why")
}

// What the command prints as JSON of an order leaves out what there is none of.
func TestAnOrderAsJSON(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Order{
		`{"order":"1"}`: {Key: "1"},
		`{"order":"1","events":["e"],"sync_id":7,"generation":2,"facts":3,"again":4,"reused":5}`: {
			Key: "1", Events: []string{"e"}, SyncID: 7, Generation: 2, Facts: 3, Again: 4, Reused: 5,
		},
	} {
		got, err := json.Marshal(o)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}
