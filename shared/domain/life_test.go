package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// life is one order, from its first invoice on: the gate, its living record, and the row that a status query shows.
type life struct {
	t     *testing.T
	now   time.Time
	gate  Gate
	chain *Sync // nil: none is alive
	row   *Row
}

func newLife(t *testing.T, p RequestPolicy) *life {
	t.Helper()
	l := &life{t: t, now: noon, gate: Gate{Ref: OrderRef{"default", "1"}, State: GateNone}}
	p.MaxAttempts = 2
	l.gate, _ = l.gate.Request(7, p, l.now)
	l.request()
	return l
}

func (l *life) tell(s Sync, f Fact) {
	f.Sync, f.Time = s, l.now
	row := Fold(l.row, f)
	l.row = &row
}

// request writes the gate's request, and makes it the living record when it is released.
func (l *life) request() {
	s := l.gate.RequestedSync(nil, "")
	l.tell(s, Fact{})
	if *s.Released {
		l.chain = &s
	}
}

// call is the turn of the living record: the gate is asked, and the ERP if the gate lets it.
func (l *life) call(o Outcome) {
	l.t.Helper()
	require.NotNil(l.t, l.chain, "a record is alive")
	l.now = l.now.Add(time.Minute)
	s := *l.chain
	if a := Advise(&l.gate, s); a.Stop {
		l.chain = nil
		l.tell(Closed(s, a.ClosedBy, l.now), Fact{})
		return
	}
	l.tell(Sending(s, l.now), Fact{Payload: ptr("order")})
	d := Decide(s, o, RetryPolicy{BaseDelay: time.Minute}, l.now, 0)
	var failure *string
	if o.Error != "" {
		failure = &o.Error
	}
	l.tell(d.After, Fact{Response: ptr("answer"), Error: failure})
	l.chain = &d.After
	if d.Terminal != nil {
		l.tell(*d.Terminal, Fact{Error: failure})
		l.chain = nil
		l.gate.State, l.gate.ClosedBy = GateClosed, d.Terminal.EndedBy()
	}
}

func (l *life) settle(s Settlement) Settled {
	l.now = l.now.Add(time.Minute)
	next, released, what := l.gate.Settle(s, l.now)
	if released {
		g := next
		g.State = GateOpen
		l.gate = g
		l.request()
	}
	if l.gate = next; what == SettledNow {
		l.tell(next.SettledSync(nil, s.Reference, ""), Fact{})
	}
	return what
}

// is what a status query answers.
func (l *life) is(status Status, attempts int, reference, failure string) {
	l.t.Helper()
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	require.Equal(l.t, []any{status, attempts, reference, failure}, []any{l.row.Status, l.row.Attempts, text(l.row.ErpReference), text(l.row.LastError)})
	require.Equal(l.t, status == Queued && attempts > 0 && l.chain != nil, l.row.NextAttemptAt != nil, "only a retry has a next attempt")
}

var (
	atOnce  = RequestPolicy{Enabled: true, ImmediateSync: true}
	booked  = Outcome{Kind: OutcomeSuccess, Reference: ptr("ERP-1")}
	busy    = Outcome{Kind: OutcomeRetryable, Code: ErrorUnavailable, Error: "busy"}
	refused = Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: "no such sku"}
)

// The lives that an order may have, as a status query tells them after each step.
func TestLivesOfAnOrder(t *testing.T) {
	t.Parallel()
	for name, live := range map[string]func(l *life){
		"booked_at_once": func(l *life) {
			l.is(Queued, 0, "", "")
			l.call(booked)
			l.is(Success, 1, "ERP-1", "")
			require.Equal(l.t, []*string{ptr("order"), ptr("answer")}, []*string{l.row.Payload, l.row.Response})
		},
		"booked_by_the_second_call": func(l *life) {
			l.call(busy)
			l.is(Queued, 1, "", "busy")
			require.Equal(l.t, l.now.Add(2*time.Minute), *l.row.NextAttemptAt)
			l.call(booked)
			l.is(Success, 2, "ERP-1", "")
		},
		"refused_and_sent_once_more_under_the_same_key": func(l *life) {
			key := l.gate.IdempotencyKey
			l.call(refused)
			l.is(Failed, 1, "", "no such sku")
			l.gate = l.gate.Resync(2, false, l.now)
			l.request()
			l.is(Queued, 0, "", "")
			require.Equal(l.t, 2, l.row.Generation)
			require.Nil(l.t, l.row.Payload, "what was sent belongs to the generation before")
			l.call(booked)
			l.is(Success, 1, "ERP-1", "")
			require.Equal(l.t, key, l.row.IdempotencyKey)
		},
		"no_attempts_left": func(l *life) {
			l.call(busy)
			l.call(busy)
			l.is(Failed, 2, "", "busy")
			require.Nil(l.t, l.chain)
		},
		"settled_by_the_ERP_between_two_calls": func(l *life) {
			l.call(busy)
			require.Equal(l.t, SettledNow, l.settle(Settlement{By: ClosedByWebhook, Reference: ptr("ERP-9"), IdempotencyKey: l.gate.IdempotencyKey, Heard: &Heard{}}))
			l.is(Success, 1, "ERP-9", "")
			l.call(booked)
			l.is(Success, 1, "ERP-9", "")
			require.Nil(l.t, l.chain, "the retry ended without a call")
			require.NotEqual(l.t, l.gate.IdempotencyKey, l.gate.Resync(2, false, l.now).IdempotencyKey, "the key is used up")
		},
		"rejected_by_the_ERP_and_then_accepted": func(l *life) {
			l.call(busy)
			l.settle(Settlement{By: ClosedByRejected, Heard: &Heard{}})
			l.is(Failed, 1, "", "")
			l.settle(Settlement{By: ClosedByWebhook, Reference: ptr("ERP-9"), Heard: &Heard{}})
			l.is(Success, 1, "ERP-9", "")
		},
		"cancelled_while_it_waits": func(l *life) {
			l.call(busy)
			l.settle(Settlement{By: ClosedByCancelled})
			l.is(Failed, 1, "", "")
			require.Equal(l.t, SettledBefore, l.settle(Settlement{By: ClosedByCancelled}), "once is enough")
			l.call(booked)
			l.is(Failed, 1, "", "")
		},
		"superseded_by_a_resync": func(l *life) {
			l.call(busy)
			old := *l.chain
			l.gate = l.gate.Resync(2, false, l.now)
			l.request()
			newer := l.chain
			l.chain = &old
			l.call(booked)
			l.is(Queued, 0, "", "")
			l.chain = newer
			l.call(booked)
			l.is(Success, 1, "ERP-1", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live(newLife(t, atOnce))
		})
	}
}

// The same for an order that is held at first, because the cron sends it or the connector is off.
func TestLivesOfAHeldOrder(t *testing.T) {
	t.Parallel()
	for by, p := range map[HeldBy]RequestPolicy{HeldByCron: {Enabled: true}, HeldByDisabled: {ImmediateSync: true}} {
		l := newLife(t, p)
		l.is(Pending, 0, "", "")
		require.Equal(t, by, l.gate.HeldBy)
		require.Nil(t, l.chain, "nothing is sent")
		l.gate, _ = l.gate.Release(l.now)
		l.request()
		l.is(Queued, 0, "", "")
		l.call(booked)
		l.is(Success, 1, "ERP-1", "")

		l = newLife(t, p)
		require.Equal(t, SettledNow, l.settle(Settlement{By: ClosedByHand, Reference: ptr("ERP-7")}))
		l.is(Success, 0, "ERP-7", "")
		l.call(booked)
		l.is(Success, 0, "ERP-7", "")
		require.Nil(t, l.chain, "its record was released to end the generation, and was not sent")
	}
}

// A generation that ends without a call counts none, and says why.
func TestEndsThatTheRowShows(t *testing.T) {
	t.Parallel()
	for code, end := range map[ErrorCode]func(Sync, time.Time) Sync{ErrorPayloadInvalid: Unsendable, ErrorRecordRefused: Refused} {
		l := newLife(t, atOnce)
		s := end(*l.chain, l.now)
		l.tell(s, Fact{Error: ptr(string(code))})
		l.is(Failed, 0, "", string(code))
		require.Equal(t, code, s.ErrorCode)
		require.Equal(t, ClosedByFailure, s.EndedBy())
		require.True(t, Passed(*l.chain, s.Version), "the record was consumed")
	}
}
