package projector

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// bench is a cluster with a log, a database, and a projector between them once run is called.
type bench struct {
	*testing.T

	ctx    context.Context //nolint:containedctx // the test's deadline
	cfg    kafka.Config
	client *kgo.Client
	pool   *pgxpool.Pool
}

// onBrokers is for what the log itself decides: where reading begins, and what a log that was cut off means.
func onBrokers(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) { onBroker(t, cfg, test) })
}

// onOneBroker is for what Postgres decides: records are read in the same way from any broker.
func onOneBroker(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) { onBroker(t, cfg, test) })
}

func onBroker(t *testing.T, cfg kafka.Config, test func(b *bench)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*testkit.Patience)
	t.Cleanup(cancel)
	admin, err := topics.NewAdmin(cfg, partitions)
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	_, err = admin.Ensure(ctx, false)
	require.NoError(t, err)
	client, err := kgo.NewClient(append(cfg.Options(), kgo.ConsumeTopics(cfg.Topic(event.TopicDeadLetter)))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	test(&bench{T: t, ctx: ctx, cfg: cfg, client: client, pool: testkit.Postgres(t).Pool})
}

// run starts a projector that is stopped with the test, or before.
func (b *bench) run() (stop func()) {
	b.Helper()
	return b.runs(New(b.cfg, b.pool, slog.New(slog.DiscardHandler)))
}

func (b *bench) runs(p *Projector) (stop func()) {
	b.Helper()
	p.catchUpInterval = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(b, <-done)
	})
	b.Cleanup(stop)
	return stop
}

// publish writes facts to the log, each once the one before is there.
func (b *bench) publish(facts []fact) {
	b.Helper()
	for _, f := range facts {
		b.write(b.recordOf(f))
	}
}

func (b *bench) recordOf(f fact) *kgo.Record {
	v := event.Sync{Sync: f.Sync, Error: f.Error}
	if f.Response != nil {
		v.Response = &event.Response{Status: *f.httpStatus, Body: *f.Response}
	}
	rec, err := event.NewSync(f.at.Topic, v, event.Context{At: f.Time})
	if err != nil {
		b.Error(err)
	}
	return b.cfg.Record(rec)
}

func (b *bench) write(r *kgo.Record) *kgo.Record {
	b.Helper()
	written, err := b.client.ProduceSync(b.ctx, r).First()
	require.NoError(b, err)
	return written
}

// within waits for a condition.
func (b *bench) within(what string, holds func() bool) {
	b.Helper()
	testkit.Eventually(b, holds, "%s", what)
}

// status is the projection's, "" without a row.
func (b *bench) status(order int) domain.Status {
	b.Helper()
	for _, row := range query(b, b.pool, fmt.Sprintf(`SELECT status FROM vendor_erp_sync WHERE sync_id = %d`, order+1)) {
		return domain.Status(row["status"].(string)) //nolint:forcetypeassert // a text column
	}
	return ""
}

// accept puts an order and its open gate on the write side.
func (b *bench) accept(order int) {
	b.Helper()
	g := openGate(order, 1)
	require.NoError(b, pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
		if _, err := gate.Lock(b.ctx, tx, []domain.OrderRef{g.Ref}, began); err != nil {
			return err
		}
		if err := gate.Save(b.ctx, tx, []domain.Gate{g}); err != nil {
			return err
		}
		_, err := tx.Exec(b.ctx, `INSERT INTO sales_order (order_key, source, increment_id, snapshot, created_at, updated_at)
			VALUES ($1, $2, $3, '{}', now(), now())`, g.Ref.Key(), g.Ref.Source, g.Ref.IncrementID)
		return err
	}))
}

// writeSide is the gate's state and the order's erp_synced.
func (b *bench) writeSide(order int) (state string, synced int) {
	b.Helper()
	err := b.pool.QueryRow(b.ctx, `SELECT state, erp_synced FROM erp_sync_gate JOIN sales_order USING (order_key) WHERE order_key = $1`,
		ref(order).Key()).Scan(&state, &synced)
	require.NoError(b, err)
	return state, synced
}

// updated reports whether the write side knows that the ERP has the order.
func (b *bench) updated(order int) func() bool {
	return func() bool {
		state, synced := b.writeSide(order)
		return state == "closed" && synced == 1
	}
}

func TestASuccessClosesTheGateAndMarksTheOrder(t *testing.T) {
	onBrokers(t, func(b *bench) {
		b.accept(0)
		b.accept(1)
		b.run()
		b.publish(success(0))
		b.within("the write side is updated", b.updated(0))
		require.Equal(b, domain.Success, b.status(0))
		state, synced := b.writeSide(1)
		require.Equal(b, "open", state)
		require.Zero(b, synced)
	})
}

// The catch-up used to wait for the next record, which on a quiet log may never come.
func TestALockedGateDoesNotStopTheProjectionAndIsClosedAfterwards(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		b.accept(0)
		b.accept(1)
		holder, err := b.pool.Begin(b.ctx)
		require.NoError(b, err)
		defer func() { _ = holder.Rollback(context.Background()) }()
		_, err = holder.Exec(b.ctx, `SELECT FROM erp_sync_gate JOIN sales_order USING (order_key) WHERE order_key = $1 FOR UPDATE`, ref(0).Key())
		require.NoError(b, err)
		b.run()
		b.publish(append(success(0), success(1)...))
		b.within("the write side of the other order is updated", b.updated(1))
		b.within("the projection goes on", func() bool { return b.status(0) == domain.Success })
		state, synced := b.writeSide(0)
		require.Equal(b, "open", state)
		require.Zero(b, synced)
		require.NoError(b, holder.Rollback(b.ctx))
		b.within("the catch-up, without another record", b.updated(0))
	})
}

// A resync that holds the gate while the answer goes by carries the answered key on; the one after it must not.
func TestAnAnswerThatMetALockedGateUsesUpTheKey(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		b.accept(0)
		next := openGate(0, 1).Resync(5, false, began)
		require.NoError(b, pgx.BeginFunc(b.ctx, b.pool, func(resync pgx.Tx) error {
			if _, err := gate.Lock(b.ctx, resync, []domain.OrderRef{ref(0)}, began); err != nil {
				return err
			}
			b.run()
			b.publish(success(0))
			b.within("the projection goes on", func() bool { return b.status(0) == domain.Success })
			return gate.Save(b.ctx, resync, []domain.Gate{next})
		}))
		b.within("the key is known to be used up", func() bool {
			gates, err := gate.NewStore(b.pool).Read(b.ctx, []string{ref(0).Key()})
			return err == nil && gates[ref(0).Key()].KeyAnswered
		})
		gates, err := gate.NewStore(b.pool).Read(b.ctx, []string{ref(0).Key()})
		require.NoError(b, err)
		require.Equal(b, next.Generation, gates[ref(0).Key()].Generation)
		require.Equal(b, domain.GateOpen, gates[ref(0).Key()].State)
	})
}

// letter reads the next dead letter.
func (b *bench) letter() *kgo.Record {
	b.Helper()
	fetches := b.client.PollRecords(b.ctx, 1)
	require.NoError(b, fetches.Err())
	return fetches.Records()[0]
}

func TestARecordNobodyCanApplyGoesToTheDeadLettersAndTheProjectorGoesOn(t *testing.T) {
	spoil := func(change func(*domain.Sync)) []byte {
		s := success(2)[3].Sync
		change(&s)
		value, err := domain.EncodeJSON(event.Sync{Sync: s})
		require.NoError(t, err)
		return value
	}
	bad := map[string]struct {
		value  []byte
		reason string
	}{
		"not JSON":                 {[]byte("{"), "decoding the record's value"},
		"empty":                    {nil, "decoding the record's value"},
		"no sync":                  {[]byte("{}"), "sync_id"},
		"a status nobody knows":    {spoil(func(s *domain.Sync) { s.Status = "bogus" }), "vendor_erp_sync_status_check"},
		"a second sync of order 1": {spoil(func(s *domain.Sync) { s.SyncID, s.Source, s.OrderIncrementID = 99, "default", "1" }), "unique"},
		"text no column can hold":  {spoil(func(s *domain.Sync) { s.IdempotencyKey = "\x00" }), "invalid byte sequence"},
		"a number no column holds": {spoil(func(s *domain.Sync) { s.Attempts = 1 << 40 }), "range"},
	}
	onBrokers(t, func(b *bench) {
		stop := b.run()
		b.publish(success(0))
		b.within("the first order is applied", func() bool { return b.status(0) == domain.Success })
		stop() // so that the others come in one batch
		at := began.Format(time.RFC3339)
		origin := map[string]*kgo.Record{}
		for name, spoiled := range bad {
			origin[name] = b.write(&kgo.Record{
				Topic: b.cfg.Topic(event.TopicSuccess), Key: []byte(name), Value: spoiled.value,
				Headers: []kgo.RecordHeader{{Key: event.HeaderTime, Value: []byte(at)}},
			})
		}
		b.publish(success(1))
		b.run()
		b.within("what follows is applied", func() bool { return b.status(1) == domain.Success })
		for range bad {
			r := b.letter()
			from, want := origin[string(r.Key)], bad[string(r.Key)]
			require.NotNil(b, from, "a letter twice, or of a record that is fine: %s", r.Key)
			delete(origin, string(r.Key))
			require.Equal(b, want.value, r.Value)
			require.Contains(b, string(kafka.Header(r, event.HeaderReason)), want.reason, "%s", r.Key)
			require.Equal(b, []string{from.Topic, fmt.Sprint(from.Partition), fmt.Sprint(from.Offset), at}, []string{
				string(kafka.Header(r, event.HeaderOriginTopic)), string(kafka.Header(r, event.HeaderOriginPartition)), string(kafka.Header(r, event.HeaderOriginOffset)), string(kafka.Header(r, event.HeaderTime)),
			})
		}
		require.Len(b, query(b, b.pool, `SELECT FROM vendor_erp_sync`), 2)
	})
}

func TestAProjectorThatIsStartedAgainGoesOnWhereItStopped(t *testing.T) {
	onBrokers(t, func(b *bench) {
		stop := b.run()
		b.publish(success(0))
		b.within("the first has applied it", func() bool { return b.status(0) == domain.Success })
		stop()
		b.publish(success(1))
		b.run()
		b.within("the second goes on", func() bool { return b.status(1) == domain.Success })
		require.Len(b, shown(b, b.pool).Timeline, 8)
	})
}

// Under load records wait in memory for those that follow. The positions must not move past them: whoever is started next reads them again.
func TestRecordsThatWaitAreAppliedByTheNextProjector(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		const orders = 2000
		written := make(chan struct{})
		go func() {
			defer close(written)
			b.writeUnderLoad(orders)
		}()
		for stops := 0; ; stops++ {
			from, stop := b.applied(), b.run()
			b.within("it has applied some records", func() bool { return b.applied() >= min(from+500, 4*orders) })
			stop()
			if b.applied() == 4*orders {
				require.Positive(b, stops)
				break
			}
		}
		<-written
		v, found := b.verify()
		require.Empty(b, found)
		require.Equal(b, int64(orders), v.Rows)
	})
}

// writeUnderLoad writes the records of orders of which many are under way at any time.
func (b *bench) writeUnderLoad(orders int) {
	const atOnce, underWay = 10, 200
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var outcomes []*kgo.Record
	for order := range orders {
		facts := success(order)
		b.client.Produce(b.ctx, b.recordOf(facts[0]), nil)
		b.client.Produce(b.ctx, b.recordOf(facts[1]), nil)
		outcomes = append(outcomes, b.recordOf(facts[2]), b.recordOf(facts[3]))
		if order%atOnce == 0 {
			<-tick.C
		}
		if len(outcomes) > 2*underWay {
			b.client.Produce(b.ctx, outcomes[0], nil)
			b.client.Produce(b.ctx, outcomes[1], nil)
			outcomes = outcomes[2:]
		}
	}
	for _, r := range outcomes {
		b.client.Produce(b.ctx, r, nil)
	}
	if err := b.client.Flush(b.ctx); err != nil {
		b.Error(err)
	}
}

// applied is how many records lie before the positions.
func (b *bench) applied() (n int) {
	b.Helper()
	require.NoError(b, b.pool.QueryRow(b.ctx, `SELECT coalesce(sum(next_offset), 0)::int FROM projector_position`).Scan(&n))
	return n
}

func TestAProjectorStopsWhenTheLogDoesNotHoldWhatComesNext(t *testing.T) {
	onBrokers(t, func(b *bench) {
		_, err := b.pool.Exec(b.ctx, `INSERT INTO projector_position VALUES ($1, 0, 100)`, event.TopicSuccess)
		require.NoError(b, err)
		err = New(b.cfg, b.pool, slog.New(slog.DiscardHandler)).Run(b.ctx)
		require.ErrorIs(b, err, errPositions)
		require.ErrorContains(b, err, event.TopicSuccess+" partition 0 holds offsets 0 to 0, and 100 comes next")
	})
}

// Whether a projector works or none, and whatever came by transactions: what the log held is applied.
func TestCatchUp(t *testing.T) {
	onOneBroker(t, func(b *bench) {
		log := slog.New(slog.DiscardHandler)
		require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, log), "an empty log")
		b.publish(success(0))
		require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, log))
		require.Equal(b, domain.Success, b.status(0))
		require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, log), "nothing came since")

		b.run()
		b.inTransaction(success(1), kgo.TryCommit)
		b.inTransaction(success(2), kgo.TryAbort)
		require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, log))
		require.Equal(b, domain.Success, b.status(1))
		require.Equal(b, domain.Status(""), b.status(2))
	})
}

// inTransaction writes facts in one transaction.
func (b *bench) inTransaction(facts []fact, end kgo.TransactionEndTry) {
	b.Helper()
	client, err := kgo.NewClient(append(b.cfg.Options(), kgo.TransactionalID(b.cfg.Prefix+"test"))...)
	require.NoError(b, err)
	defer client.Close()
	require.NoError(b, client.BeginTransaction())
	for _, f := range facts {
		v := event.Sync{Sync: f.Sync, Error: f.Error}
		if f.Response != nil {
			v.Response = &event.Response{Status: *f.httpStatus, Body: *f.Response}
		}
		rec, err := event.NewSync(f.at.Topic, v, event.Context{At: f.Time})
		require.NoError(b, err)
		require.NoError(b, client.ProduceSync(b.ctx, b.cfg.Record(rec)).FirstErr())
	}
	require.NoError(b, client.EndTransaction(b.ctx, end))
}

func TestCatchingUpWithALogThatLostRecordsFails(t *testing.T) {
	onBrokers(t, func(b *bench) {
		_, err := b.pool.Exec(b.ctx, `INSERT INTO projector_position VALUES ($1, 0, 100)`, event.TopicSuccess)
		require.NoError(b, err)
		require.ErrorIs(b, CatchUp(b.ctx, b.cfg, b.pool, slog.New(slog.DiscardHandler)), ErrLogShorter)
	})
}

// What the log no longer holds can be caught up with by nobody.
func TestCatchingUpWithALogThatWasTrimmedFails(t *testing.T) {
	onBrokers(t, func(b *bench) {
		for range 2 {
			b.publish(success(0))
		}
		adm, trimmed := kadm.NewClient(b.client), kadm.Offsets{}
		ends, err := adm.ListEndOffsets(b.ctx, b.cfg.Topic(event.TopicSuccess))
		require.NoError(b, err)
		ends.Each(func(o kadm.ListedOffset) {
			if o.Offset > 0 {
				trimmed.AddOffset(o.Topic, o.Partition, o.Offset-1, -1)
			}
		})
		_, err = adm.DeleteRecords(b.ctx, trimmed)
		require.NoError(b, err)
		require.ErrorContains(b, CatchUp(b.ctx, b.cfg, b.pool, slog.New(slog.DiscardHandler)), "does not hold the records to read")
	})
}
