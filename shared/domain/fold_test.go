package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// story is a log as the services write it, in the order they write it.
type story struct {
	t     *rapid.T
	now   time.Time
	facts []Fact
}

func (s *story) tell(sync Sync, f Fact) {
	s.now = s.now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(s.t, "ms")) * time.Millisecond)
	sync.UpdatedAt = s.now
	f.Sync, f.Time = sync, s.now
	s.facts = append(s.facts, f)
}

func ptr[T any](v T) *T { return &v }

// generation tells one effort: held or not, attempts with repeated before_sends, callbacks between, an end or none.
func (s *story) generation(n int) {
	g := Gate{Ref: OrderRef{"default", "1"}, SyncID: 1, Generation: n, State: GateOpen, IdempotencyKey: IdempotencyKey(OrderRef{"default", "1"}, n), MaxAttempts: 4}
	if rapid.Bool().Draw(s.t, "held") {
		g.State = GateHeld
		s.tell(g.RequestedSync(nil, "evt"), Fact{})
		g.State, g.RequestNumber = GateOpen, 1
	}
	sync := g.RequestedSync(ptr(int64(7)), "evt")
	s.tell(sync, Fact{})
	callbacks := 0
	s.deadLetters(g, sync.Version)
	for range rapid.IntRange(0, 4).Draw(s.t, "attempts") {
		for range rapid.IntRange(1, 3).Draw(s.t, "before_sends") {
			s.tell(Sending(sync, s.now), Fact{Payload: ptr("payload")})
		}
		if rapid.IntRange(0, 3).Draw(s.t, "callback") == 0 {
			callbacks++
			c := sync
			c.Status, c.ErpReference, c.Version = Success, ptr("CB"), CallbackVersion(n, callbacks)
			s.tell(c, Fact{})
		}
		o := Outcome{Kind: OutcomeKind(rapid.IntRange(1, 3).Draw(s.t, "outcome")), Code: ErrorUnavailable, Error: "busy"}
		if o.Kind == OutcomeSuccess {
			o = Outcome{Kind: OutcomeSuccess, Reference: ptr("ERP")}
		}
		d := Decide(sync, o, RetryPolicy{BaseDelay: time.Second}, s.now, 0)
		s.tell(d.After, Fact{Response: ptr("response " + d.After.Version.String()), Error: ptr(o.Error)})
		sync = d.After
		if d.Terminal != nil {
			s.tell(*d.Terminal, Fact{Response: ptr("response " + d.After.Version.String()), Error: ptr(o.Error)})
			return
		}
	}
	s.deadLetters(g, sync.Version)
	if rapid.Bool().Draw(s.t, "closed") {
		s.tell(Closed(sync, ClosedByRejected, s.now), Fact{})
	}
}

// deadLetters tells that the record of this version became a dead letter and was redriven, some times.
func (s *story) deadLetters(g Gate, v Version) {
	letter := DeadLetter{Version: v, At: s.now}
	say := func(g Gate, text *string) Gate {
		sync := g.DeadLetterSync(letter, nil, "dead letter")
		s.now = sync.UpdatedAt
		s.facts = append(s.facts, Fact{Sync: sync, Time: s.now, Error: text})
		return g
	}
	for range rapid.IntRange(0, 2).Draw(s.t, "dead_letters") {
		g, _ = g.SetAside(letter, v, s.now)
		g, _ = say(g, ptr("unreadable")).Redrive(letter, s.now)
		say(g, nil)
	}
}

func TestFoldIsTheSameInAnyOrderAnyNumberOfTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &story{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		for n := range rapid.IntRange(1, 3).Draw(t, "generations") {
			s.generation(n + 1)
		}
		want := apply(s.facts)
		shuffled := rapid.Permutation(append(append([]Fact{}, s.facts...), s.facts...)).Draw(t, "order")
		require.Equal(t, want, apply(shuffled))
	})
}

func apply(facts []Fact) Row {
	var row *Row
	for _, f := range facts {
		next := Fold(row, f)
		row = &next
	}
	return *row
}

// The order of example 1 and 2 of the design's walk-through: busy once, settled by a webhook while parked.
func TestFoldShowsTheCallbackOverTheEndOfTheParkedRecord(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	g, ok := Gate{Ref: OrderRef{"default", "000000123"}, State: GateNone}.Request(1, RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, now)
	require.True(t, ok)
	requested := g.RequestedSync(nil, "evt-77")
	require.EqualValues(t, 268435456, requested.Version)
	before := Sending(requested, now)
	require.EqualValues(t, 285212681, before.Version)
	d := Decide(requested, Outcome{Kind: OutcomeRetryable, Code: ErrorUnavailable, Error: "busy"}, RetryPolicy{BaseDelay: time.Minute}, now, 0)
	require.EqualValues(t, 285212682, d.After.Version)
	require.Equal(t, now.Add(2*time.Minute), *d.Retry)
	parked := apply([]Fact{{Sync: requested, Time: now}, {Sync: before, Time: now}, {Sync: d.After, Time: now, Error: ptr("busy")}})
	require.Equal(t, Queued, parked.Status)
	require.Equal(t, d.Retry, parked.NextAttemptAt)
	require.Equal(t, "busy", *parked.LastError)

	callback := d.After
	callback.Status, callback.ErpReference, callback.Version = Success, ptr("ERP-9"), CallbackVersion(1, 1)
	require.EqualValues(t, 301989889, callback.Version)
	end := Closed(d.After, ClosedByWebhook, now.Add(2*time.Minute))
	require.EqualValues(t, 285212683, end.Version)
	row := Fold(&parked, Fact{Sync: callback, Time: now.Add(time.Minute)})
	row = Fold(&row, Fact{Sync: end, Time: now.Add(2 * time.Minute)})
	require.Equal(t, Success, row.Status)
	require.Nil(t, row.NextAttemptAt)
	require.Equal(t, "ERP-9", *row.ErpReference)
	require.Equal(t, 1, row.Attempts)
}
