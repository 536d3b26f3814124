package audit

import (
	"cmp"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// everyState is a ledger with an order in each state in which nothing is broken. What the syncer is to have consumed beside that
// is written by the functions.
func everyState(t *testing.T, consumed ...func(l *ledger)) *ledger {
	t.Helper()
	l := newLedger(t)
	l.accept("success", "failed", "parked", "due", "set-aside")
	l.place("placed")
	l.acceptAs(ref("held"), domain.RequestPolicy{Enabled: true, MaxAttempts: 5})
	l.acceptAs(domain.OrderRef{Source: "outlet", IncrementID: "1"}, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5})
	l.relay()
	l.call("success", domain.OutcomeSuccess)
	l.call("failed", domain.OutcomeFinal)
	l.call("parked", domain.OutcomeRetryable)
	l.call("outlet/1", domain.OutcomeSuccess)
	l.deadLetter("set-aside")
	for _, write := range consumed {
		write(l)
	}
	l.consumed()
	l.write(event.TopicDue, "due", l.syncs["due"])
	l.accept("requested")
	l.relay()
	l.accept("on-its-way")
	l.applied()
	return l
}

func TestEachOrderIsCountedOnceInItsState(t *testing.T) {
	t.Parallel()
	l := everyState(t)
	r := l.audit()
	require.Empty(t, r.Violations)
	require.True(t, r.Conserved())
	require.Equal(t, []*Counts{
		{
			Source: "default", Accepted: 9, Relayed: 8, UnderWay: 1, Success: 1, Failed: 1, NotRequested: 1,
			Alive: Alive{Outbox: 1, Held: 1, Requested: 1, Parked: 1, Due: 1, SetAside: 1},
		},
		{Source: "outlet", Accepted: 1, Relayed: 1, Success: 1},
	}, r.Sources)
	require.Equal(t, Counts{
		Accepted: 10, Relayed: 9, UnderWay: 1, Success: 2, Failed: 1, NotRequested: 1,
		Alive: Alive{Outbox: 1, Held: 1, Requested: 1, Parked: 1, Due: 1, SetAside: 1},
	}, r.Total())
	require.Equal(t, 6, r.Total().Alive.Sum())
	require.EqualValues(t, 1, r.KeptFrom)
}

// A source and a range of time choose orders by their first event.
func TestOnlyTheOrdersThatWereAskedForAreAudited(t *testing.T) {
	t.Parallel()
	l := everyState(t)
	l.exec(`UPDATE accepted_event SET accepted_at = '2026-01-02T10:00:00Z' WHERE order_key = 'failed'`)
	accepted := func(change func(*Params)) int { return l.audit(change).Total().Accepted }
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	require.Equal(t, 1, accepted(func(p *Params) { p.Source = "outlet" }))
	require.Equal(t, 1, accepted(func(p *Params) { p.From, p.To = day(2), day(3) }))
	require.Zero(t, accepted(func(p *Params) { p.From, p.To = day(1), day(2) }))
	require.Zero(t, accepted(func(p *Params) { p.From, p.To = day(3), day(4) }))
	require.Equal(t, 9, accepted(func(p *Params) { p.From = day(3) }))
	require.Equal(t, 8, accepted(func(p *Params) { p.From, p.Source = day(3), "default" }))
}

// Retention drops whole partitions of the outbox: what it has dropped is not missed.
func TestRowsThatRetentionHasDroppedAreNotMissed(t *testing.T) {
	t.Parallel()
	l := everyState(t)
	before := l.audit().Sources
	l.relay()
	l.exec(`DROP TABLE erp_outbox_p0`)
	r := l.audit()
	require.Empty(t, r.Violations)
	require.Greater(t, r.KeptFrom, l.lastID)
	before[0].Relayed, before[0].UnderWay, before[0].Alive.Outbox, before[0].Alive.Requested = 9, 0, 0, 2
	require.Equal(t, before, r.Sources)
}

// Each kind of violation is planted in an order of its own, among orders of which nothing is broken.
func TestEachPlantedViolationIsFound(t *testing.T) {
	t.Parallel()
	want := map[string][]Kind{}
	l := everyState(t, func(l *ledger) {
		for _, p := range plantings {
			p.first(l, p.order)
		}
	})
	l.relay()
	for _, p := range plantings {
		if p.plant != nil {
			p.plant(l, p.order)
		}
		want[cmp.Or(p.named, p.order)] = p.want
	}
	l.accept("still-on-its-way")
	l.applied()
	r := l.audit()
	require.Equal(t, want, kinds(r))
	require.False(t, r.Conserved())
	require.Equal(t, len(plantings), r.Total().Broken)
	require.Equal(t, Alive{Outbox: 1, Held: 1, Requested: 2, Parked: 1, Due: 1, SetAside: 1}, r.Total().Alive, "the others are counted as they are")
	for _, v := range r.Violations {
		require.Equal(t, means[v.Kind], v.Means)
		require.Equal(t, domain.DefaultSource, v.Source)
		require.True(t, v.OutboxID != 0 || v.Offset != nil || v.SyncID != 0 || v.Kind == EventNotPublished, "%+v says where it is", v)
	}
	all := r.ViolationsAll
	few := l.audit(func(p *Params) { p.Limit = 2 })
	require.Len(t, few.Violations, 2)
	require.Equal(t, all, few.ViolationsAll, "all are counted, however many are listed")
}

// ends brings an order through its one call.
func hasEnded(l *ledger, order string) {
	isRequested(l, order)
	l.call(order, domain.OutcomeSuccess)
}

// isRequested accepts an order whose request is then in Kafka.
func isRequested(l *ledger, order string) {
	l.t.Helper()
	l.accept(order)
	l.relay()
}

// isUnknown writes nothing: the planting accepts the order.
func isUnknown(*ledger, string) {}

// planting breaks an order: first is written before the syncer's position moves over it, plant after that.
type planting struct {
	order string
	first func(l *ledger, order string)
	plant func(l *ledger, order string)
	want  []Kind
	named string // as the report names the order; empty: so
}

var plantings = []planting{
	{"twice", hasEnded, func(l *ledger, o string) { l.again(event.TopicSalesOrder, o, nil) }, []Kind{TwiceInKafka}, ""},
	{"unknown-record", hasEnded, func(l *ledger, o string) { l.again(event.TopicSalesOrder, o, renamed) }, []Kind{RecordUnknown}, ""},
	{"row-gone", hasEnded, func(l *ledger, o string) {
		l.exec(`DELETE FROM erp_outbox WHERE key = $1 AND topic = $2`, o, event.TopicSalesOrder)
	}, []Kind{RecordUnknown}, ""},
	{"ended-twice", hasEnded, func(l *ledger, o string) { l.again(event.TopicSuccess, o, nil) }, []Kind{EndedTwice}, ""},
	{"answered-twice", hasEnded, func(l *ledger, o string) { l.again(event.TopicAfterSend, o, nil) }, []Kind{AfterSendTwice}, ""},
	{"announced", hasEnded, func(l *ledger, o string) {
		l.write(event.TopicBeforeSend, o, domain.Sending(l.syncs[o], time.Now()))
	}, []Kind{BeforeSendAlone}, ""},
	{"alive", hasEnded, func(l *ledger, o string) { l.write(event.TopicDue, o, l.syncs[o]) }, []Kind{AliveAfterEnd}, ""},
	{"unreadable", hasEnded, func(l *ledger, o string) {
		l.again(event.TopicAfterSend, o, func(r *kgo.Record) { r.Value = []byte("{") })
	}, []Kind{Unreadable}, ""},
	{"gate-gone", hasEnded, func(l *ledger, o string) { l.exec(`DELETE FROM erp_sync_gate WHERE order_key = $1`, o) }, []Kind{LogWithoutGate}, ""},
	{"gate-open", hasEnded, gateIs(`state = 'open', closed_by = NULL`), []Kind{GateOpenAfterEnd}, ""},
	{"gate-ahead", hasEnded, gateIs(`generation = 2`), []Kind{GateWithoutLog}, ""},
	{"gate-key", hasEnded, gateIs(`idempotency_key = 'ERP_another'`), []Kind{GateKey}, ""},
	{"gate-sync-id", hasEnded, gateIs(`sync_id = sync_id + 1000000`), []Kind{GateSyncID}, ""},
	{"gate-behind", hasEnded, func(l *ledger, o string) {
		s := l.syncs[o]
		s.Generation, s.Version, s.Attempts = 2, domain.AttemptVersion(2, 1, domain.PhaseTerminal), 1
		l.write(event.TopicSuccess, o, s)
	}, []Kind{GateGeneration}, ""},
	{"stranger", hasEnded, func(l *ledger, o string) {
		l.again(event.TopicSalesOrder, o, func(r *kgo.Record) { r.Key = []byte("nobody") })
	}, []Kind{LogWithoutGate}, "nobody"},
	{"lost", isRequested, nil, []Kind{NeitherAliveNorEnded}, ""},
	{"two-alive", isUnknown, func(l *ledger, o string) {
		isRequested(l, o)
		l.write(event.TopicDue, o, l.syncs[o])
	}, []Kind{TwoAlive}, ""},
	{"gate-closed", isUnknown, func(l *ledger, o string) {
		isRequested(l, o)
		gateIs(`state = 'closed', closed_by = 'answer'`)(l, o)
	}, []Kind{GateClosedWithoutEnd}, ""},
	{"gate-closed-by-hand", isUnknown, func(l *ledger, o string) {
		isRequested(l, o)
		gateIs(`state = 'closed', closed_by = 'hand'`)(l, o)
	}, []Kind{GateClosedWithoutEnd}, ""},
	{"gate-held", isUnknown, func(l *ledger, o string) {
		isRequested(l, o)
		gateIs(`state = 'held', held_by = 'cron'`)(l, o)
	}, []Kind{GateHeldButReleased}, ""},
	{"held-opened", isUnknown, func(l *ledger, o string) {
		l.acceptAs(ref(o), domain.RequestPolicy{Enabled: true, MaxAttempts: 5})
		l.relay()
		gateIs(`state = 'open', held_by = NULL`)(l, o)
	}, []Kind{GateOpenButHeld}, ""},
	{"event-gone", isUnknown, func(l *ledger, o string) {
		l.accept(o)
		l.exec(`DELETE FROM erp_outbox WHERE key = $1 AND topic = $2`, o, event.TopicSalesOrder)
		l.relay()
	}, []Kind{EventNotPublished}, ""},
	{"request-gone", isUnknown, func(l *ledger, o string) {
		l.accept(o)
		l.exec(`DELETE FROM erp_outbox WHERE key = $1 AND topic = $2`, o, event.TopicRequested)
		l.relay()
	}, []Kind{GateWithoutLog}, ""},
	{"passed-over", isUnknown, func(l *ledger, o string) {
		l.accept(o)
		l.position(l.lastID)
	}, []Kind{RowNotInKafka, RowNotInKafka}, ""},
}

func gateIs(set string) func(l *ledger, order string) {
	return func(l *ledger, order string) { l.exec(`UPDATE erp_sync_gate SET `+set+` WHERE order_key = $1`, order) }
}

// renamed gives a record another uuid.
func renamed(r *kgo.Record) {
	for i := range r.Headers {
		if r.Headers[i].Key == event.HeaderUUID {
			r.Headers[i].Value = []byte("another")
		}
	}
}

// again produces an order's record of a topic a second time; change may alter it.
func (l *ledger) again(topic, order string, change func(r *kgo.Record)) {
	l.t.Helper()
	r := l.find(topic, order)
	again := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
	if change != nil {
		change(again)
	}
	l.produce(again)
}

// find reads an order's first record of a topic.
func (l *ledger) find(topic, order string) *kgo.Record {
	l.t.Helper()
	client, err := kgo.NewClient(append(l.cfg.Options(), kgo.ConsumeTopics(l.cfg.Topic(topic)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	require.NoError(l.t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(l.t.Context(), testkit.Patience)
	defer cancel()
	for {
		fetches := client.PollFetches(ctx)
		require.NoError(l.t, fetches.Err(), "%s of %s", topic, order)
		for _, r := range fetches.Records() {
			if string(r.Key) == order {
				return r
			}
		}
	}
}
