package projector

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// unreadable is an order's request, or the retry after so many calls, as it stands in the topic with a value that nobody can
// read.
func (b *bench) unreadable(order, calls int, topic string, offset int64) *kgo.Record {
	b.Helper()
	s := openGate(order, 1).RequestedSync(nil, "evt")
	v := event.Sync{Sync: s}
	rec, err := event.NewSync(event.TopicRequested, v, event.Context{At: began})
	if calls > 0 {
		s.Version, s.Attempts = domain.AttemptVersion(1, calls, domain.PhaseAfter), calls
		rec, err = event.NewRetry(event.Sync{Sync: s}, began.Add(time.Minute), event.Context{At: began})
	}
	require.NoError(b, err)
	r := b.cfg.Record(rec)
	r.Topic, r.Offset, r.Value = b.cfg.Topic(topic), offset, []byte("{")
	return r
}

func (b *bench) sendLetter(r *kgo.Record, c deadletter.Cause) *kgo.Record {
	b.Helper()
	return b.write(deadletter.Record(b.cfg, r, c))
}

// gateOf is an order's gate.
func (b *bench) gateOf(order int) domain.Gate {
	b.Helper()
	gates, err := gate.NewStore(b.pool).Read(b.ctx, []string{ref(order).Key()})
	require.NoError(b, err)
	return *gates[ref(order).Key()]
}

func (b *bench) stopped(order int) func() bool {
	return func() bool {
		g := b.gateOf(order)
		return g.State == domain.GateClosed && g.ClosedBy == domain.ClosedByDeadLetter
	}
}

// judged waits until so many letters are listed and all are judged.
func (b *bench) judged(letters int) []deadletter.Entry {
	b.Helper()
	var entries []deadletter.Entry
	b.within("the letters are judged", func() bool {
		var err error
		entries, _, err = deadletter.List(b.ctx, b.pool, deadletter.Filter{After: -1, Limit: 100})
		require.NoError(b, err)
		left := query(b, b.pool, `SELECT FROM erp_dead_letter WHERE NOT judged`)
		return len(entries) == letters && len(left) == 0
	})
	return entries
}

// relayed gives what stands in the outbox to the log, as the relay does, and empties it.
func (b *bench) relayed() (records []event.Record) {
	b.Helper()
	batch, err := outbox.NewReader(b.pool, outbox.Limits{}).Next(b.ctx, outbox.Cursor{})
	require.NoError(b, err)
	for _, row := range batch.Rows {
		rec := outbox.FromMessage(row.Topic, row.Message())
		records = append(records, rec)
		b.write(b.cfg.Record(rec))
	}
	_, err = b.pool.Exec(b.ctx, `DELETE FROM erp_outbox`)
	require.NoError(b, err)
	return records
}

// An order whose record nobody could read used to stay queued for ever.
func TestADeadLetterStopsItsOrder(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		syncer, delayer := deadletter.Cause{By: deadletter.BySyncer, Reason: "no JSON"}, deadletter.Cause{By: deadletter.ByDelayer, Reason: "no due time"}
		for order := range 3 {
			b.accept(order)
		}
		b.run()
		b.sendLetter(b.unreadable(0, 0, event.TopicRequested, 7), syncer)
		b.sendLetter(b.unreadable(1, 2, event.RetryTiers[2].Topic, 8), delayer)
		b.sendLetter(b.unreadable(2, 1, event.TopicDue, 9), syncer)
		for order := range 3 {
			b.within("the order is stopped", b.stopped(order))
		}
		b.judged(3)
		facts := b.relayed()
		require.Len(b, facts, 3)
		for order, calls := range []int{0, 2, 1} {
			b.within("the row says so, though nobody could read a request", func() bool { return b.status(order) == domain.Failed })
			row := query(b, b.pool, fmt.Sprintf(`SELECT attempts, last_error, generation, last_attempt_at IS NOT NULL AS called FROM vendor_erp_sync WHERE sync_id = %d`, order+1))[0]
			require.Equal(b, map[string]any{
				"attempts": int32(calls), "last_error": domain.DeadLetterText(ref(order)), "generation": int32(1), "called": calls > 0,
			}, row)
		}
		lines := query(b, b.pool, `SELECT error_code, status, cause FROM vendor_erp_sync_event ORDER BY sync_id`)
		require.Equal(b, map[string]any{"error_code": "record_unreadable", "status": "failed", "cause": "dead_letter"}, lines[0])

		b.sendLetter(b.unreadable(0, 0, event.TopicRequested, 7), syncer) // as a crash repeats it
		b.sendLetter(b.unreadable(0, 0, event.TopicRequested, 17), syncer)
		entries := b.judged(4)
		require.Empty(b, b.relayed(), "once")
		require.Equal(b, 1, *entries[0].Generation)
		require.Nil(b, entries[3].Generation, "a second letter of the order")
	})
}

func TestWhatIsNoEndOfAnOrderStopsNone(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		b.accept(0)
		b.accept(1)
		b.publish(success(1)[:1])
		b.run()
		syncer := deadletter.Cause{By: deadletter.BySyncer}
		request := b.unreadable(0, 0, event.TopicRequested, 7)
		garbage := &kgo.Record{Topic: b.cfg.Topic(event.TopicRequested), Key: []byte(ref(0).Key()), Value: []byte("garbage\x00\xff"), Offset: 8}
		strange := &kgo.Record{
			Topic: "elsewhere", Offset: 9, Key: []byte("\x00\xff\x1b[2J"),
			Headers: []kgo.RecordHeader{{Key: event.HeaderDue, Value: []byte("9223372036854775807")}, {Key: event.HeaderTime, Value: []byte("0000-01-01T00:00:00Z")}},
		}
		other := b.unreadable(0, 0, event.TopicRequested, 10)
		other.Key = []byte("nobody")
		b.sendLetter(request, deadletter.Cause{By: deadletter.ByProjector})
		b.sendLetter(request, deadletter.Cause{})
		b.sendLetter(request, deadletter.Cause{By: deadletter.BySyncer, Ended: true})
		b.sendLetter(garbage, syncer)
		b.sendLetter(strange, syncer)
		b.sendLetter(other, syncer)
		b.sendLetter(b.unreadable(5, 0, event.TopicRequested, 11), syncer)
		b.write(&kgo.Record{Topic: b.cfg.Topic(event.TopicDeadLetter)})
		entries := b.judged(8)
		require.Equal(b, domain.GateOpen, b.gateOf(0).State)
		require.Empty(b, b.relayed())
		for _, e := range entries {
			require.Nil(b, e.Generation)
			require.Equal(b, deadletter.Open, e.State)
		}
		require.Equal(b, "\uFFFD\uFFFD\x1b[2J", entries[4].OrderKey)
		require.Nil(b, entries[4].DueAt)

		// The chain is known to have gone on: the record that was read again is not the one that is alive.
		b.publish(success(1)[1:3])
		b.within("the answer is applied", func() bool {
			return len(query(b, b.pool, `SELECT FROM vendor_erp_sync WHERE sync_id = 2 AND attempts = 1`)) == 1
		})
		b.sendLetter(b.unreadable(1, 0, event.TopicRequested, 12), syncer)
		require.Nil(b, b.judged(9)[8].Generation)
	})
}

// Dead letters of before dead_letter_by are known by how they were written: the syncer and the delayer write in transactions.
func TestALetterOfAnOlderReleaseStopsItsOrderToo(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		b.accept(0)
		b.accept(1)
		letter := deadletter.Record(b.cfg, b.unreadable(0, 0, event.TopicRequested, 7), deadletter.Cause{})
		producer := txn.NewProducer(b.cfg, "syncer-0")
		defer producer.Close()
		require.NoError(b, producer.Commit(b.ctx, txn.Batch{Records: []*kgo.Record{letter}}))
		b.sendLetter(b.unreadable(1, 0, event.TopicRequested, 8), deadletter.Cause{}) // the projector's
		b.run()
		b.within("the order is stopped", b.stopped(0))
		b.judged(2)
		require.Equal(b, domain.GateOpen, b.gateOf(1).State)
	})
}

func TestALetterOfAnOrderThatSomebodyHoldsIsJudgedLater(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		b.accept(0)
		holder, err := b.pool.Begin(b.ctx)
		require.NoError(b, err)
		defer func() { _ = holder.Rollback(context.Background()) }()
		_, err = holder.Exec(b.ctx, `SELECT FROM erp_sync_gate WHERE order_key = $1 FOR UPDATE`, ref(0).Key())
		require.NoError(b, err)
		b.run()
		b.sendLetter(b.unreadable(0, 0, event.TopicRequested, 7), deadletter.Cause{By: deadletter.BySyncer})
		b.within("the letter is listed", func() bool { return len(query(b, b.pool, `SELECT FROM erp_dead_letter WHERE NOT judged`)) == 1 })
		b.publish(success(1))
		b.within("the projection goes on", func() bool { return b.status(1) == domain.Success })
		require.NoError(b, holder.Rollback(b.ctx))
		b.within("the catch-up, without another record", b.stopped(0))
	})
}

// A projector that died after it had listed a letter left its order queued.
func TestALetterThatWasListedBeforeACrashIsJudgedAtTheStart(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		b.accept(0)
		l := b.sendLetter(b.unreadable(0, 0, event.TopicRequested, 7), deadletter.Cause{By: deadletter.BySyncer})
		p := New(b.cfg, b.pool, slog.New(slog.DiscardHandler))
		read := deadletter.Read(b.cfg, l)
		require.NoError(b, p.store.apply(b.ctx, batch{
			deadLetters: []deadletter.Letter{read}, before: map[kafka.TopicPartition]int64{deadLetters: 0}, after: map[kafka.TopicPartition]int64{deadLetters: 1},
		}))
		require.Equal(b, domain.GateOpen, b.gateOf(0).State)
		b.run()
		b.within("the order is stopped", b.stopped(0))
	})
}

// The row of an order whose record was sent back says failed until the projection hears of that. A catch-up in between closed
// the gate, and the record was passed over: lost.
func TestTheGateOfARedrivenRecordStaysOpen(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		b.accept(0)
		stop := b.run()
		l := b.unreadable(0, 2, event.TopicDue, 9)
		b.sendLetter(l, deadletter.Cause{By: deadletter.BySyncer})
		b.within("the order is stopped", b.stopped(0))
		b.relayed()
		b.within("the row says so", func() bool { return b.status(0) == domain.Failed })
		stop()
		letter := b.judged(1)[0]
		next, ok := b.gateOf(0).Redrive(letter.ChainRecord(), time.Now())
		require.True(b, ok)
		require.NoError(b, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error { return gate.Save(b.ctx, tx, []domain.Gate{next}) }))
		require.NoError(b, New(b.cfg, b.pool, slog.New(slog.DiscardHandler)).catchUp(b.ctx))
		require.Equal(b, domain.GateOpen, b.gateOf(0).State)

		// Nor does the letter close it again when the topic is read once more, from its start.
		_, err := b.pool.Exec(b.ctx, `DELETE FROM projector_position; DELETE FROM vendor_erp_sync; DELETE FROM vendor_erp_sync_event`)
		require.NoError(b, err)
		b.run()
		b.publish(success(1))
		b.within("the log is read again", func() bool { return b.status(1) == domain.Success && b.status(0) == domain.Failed })
		b.within("up to its end", func() bool {
			return len(query(b, b.pool, `SELECT FROM projector_position WHERE topic = 'vendor_erp_sync_dead_letter' AND next_offset = 1`)) == 1
		})
		require.Equal(b, domain.GateOpen, b.gateOf(0).State)
	})
}
