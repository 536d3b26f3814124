//go:build speed

package audit

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var (
	auditedOrders = flag.Int("audit.orders", 100_000, "orders, of five records each, all ended")
	payloadBytes  = flag.Int("audit.bytes", 1500, "bytes of an order")
)

// TestSpeedOfAudit prints figures and claims none; it is built with the tag speed only: how long the audit of orders that
// have all ended takes, how far the heap grows meanwhile, and how much of that is the cut.
func TestSpeedOfAudit(t *testing.T) {
	testkit.OnApache(t, func(t *testing.T, cfg kafka.Config) {
		t.Helper()
		admin, err := topics.NewAdmin(cfg, 8)
		require.NoError(t, err)
		defer admin.Close()
		_, err = admin.Ensure(t.Context(), false)
		require.NoError(t, err)
		pool := testkit.Postgres(t).Pool
		filled(t, cfg, pool)

		kept := &store{}
		cut, err := readSnapshot(t.Context(), Params{Pool: pool}, 8, tuning{bucketOrders: *auditedOrders}, kept)
		require.NoError(t, err)
		bytes := 0
		for n := range int32(8) {
			bytes += cut.part(n, 0).size()
		}
		require.NoError(t, kept.close())
		t.Logf("the cut packs %d bytes an order", bytes / *auditedOrders)
		for _, p := range []Params{{}, {From: time.Now().Add(-time.Hour)}} {
			p.Kafka, p.Pool = cfg, pool
			measured(t, *auditedOrders, func() {
				r, err := Run(t.Context(), p)
				require.NoError(t, err)
				require.Empty(t, r.Violations)
				require.Equal(t, Counts{Accepted: *auditedOrders, Relayed: *auditedOrders, Success: *auditedOrders}, r.Total())
			})
		}
	})
}

func filled(t *testing.T, cfg kafka.Config, pool *pgxpool.Pool) {
	t.Helper()
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	padding := make([]byte, *payloadBytes)
	for i := range padding {
		padding[i] = byte('a' + i%26)
	}
	payload := string(padding)
	var last int64
	_, err = outbox.Extend(t.Context(), pool, outbox.MaxWidth, int64(2**auditedOrders))
	require.NoError(t, err)
	for first := 0; first < *auditedOrders; first += 1000 {
		var rows []event.Record
		var records []*kgo.Record
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			for o := first; o < first+1000; o++ {
				accepted, log := story(t, o, payload)
				rows = append(rows, accepted...)
				for _, r := range append(accepted, log...) {
					records = append(records, cfg.Record(r))
				}
			}
			return outbox.Publish(t.Context(), tx, rows)
		}))
		require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
	}
	for _, statement := range []string{
		`INSERT INTO accepted_event SELECT 'default', 'e' || o, (100000000 + o)::text, '', now() FROM generate_series(0, $1 - 1) o`,
		`INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, closed_by, idempotency_key, updated_at)
			SELECT (100000000 + o)::text, 'default', (100000000 + o)::text, o + 1, 1, 'closed', 'answer', 'key', now() FROM generate_series(0, $1 - 1) o`,
	} {
		_, err := pool.Exec(t.Context(), statement, *auditedOrders)
		require.NoError(t, err)
	}
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT max(id) FROM erp_outbox`).Scan(&last))
	at, err := checkpoint.Position{LastID: last, At: time.Now()}.Record()
	require.NoError(t, err)
	at.Topic = cfg.Topic(event.TopicPosition)
	require.NoError(t, client.ProduceSync(t.Context(), at).FirstErr())
	consumedAll(t, cfg)
}

// story is the records of an order that the ERP took at once: those of the outbox, and those of the syncer.
func story(t *testing.T, o int, payload string) (accepted, log []event.Record) {
	t.Helper()
	now := time.Now()
	ref := domain.OrderRef{Source: "default", IncrementID: fmt.Sprint(100_000_000 + o)}
	order := []byte(fmt.Sprintf("%q", payload))
	released := true
	s := domain.Sync{
		SyncID: int64(o + 1), Source: ref.Source, OrderIncrementID: ref.IncrementID, Status: domain.Queued, Generation: 1,
		Version: domain.RequestVersion(1, 0), IdempotencyKey: "key", Released: &released, MaxAttempts: 5,
	}
	write := func(topic string, v event.Sync) event.Record {
		v.Order = order
		r, err := event.NewSync(topic, v, event.Context{At: now})
		require.NoError(t, err)
		return r
	}
	body := []byte(fmt.Sprintf(`{"event_id":"e%d","order":%s}`, o, order))
	d := domain.Decide(s, domain.Outcome{Kind: domain.OutcomeSuccess}, domain.RetryPolicy{}, now, 0)
	invoice := event.NewCommerce(event.Commerce{EventID: fmt.Sprint("e", o), Type: event.InvoiceCreated}, ref, body, now, "")
	accepted = []event.Record{invoice, write(event.TopicRequested, event.Sync{Sync: s})}
	log = []event.Record{
		write(event.TopicBeforeSend, event.Sync{Sync: domain.Sending(s, now), Payload: &payload}),
		write(event.TopicAfterSend, event.Sync{Sync: d.After}),
		write(event.TopicSuccess, event.Sync{Sync: *d.Terminal}),
	}
	return accepted, log
}

func measured(t *testing.T, orders int, work func()) {
	t.Helper()
	runtime.GC()
	var most atomic.Uint64
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapAlloc))
			<-tick.C
		}
	}()
	began := time.Now()
	work()
	took := time.Since(began)
	cancel()
	<-done
	t.Logf("%d orders in %s, heap at most %d MiB, %d MiB before", orders, took.Round(10*time.Millisecond), most.Load()>>20, before.HeapAlloc>>20)
}

// consumedAll commits the syncer's position at the ends of its topics.
func consumedAll(t *testing.T, cfg kafka.Config) {
	t.Helper()
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(t.Context(), cfg.Topic(event.TopicRequested))
	require.NoError(t, err)
	require.NoError(t, admin.CommitAllOffsets(t.Context(), cfg.Group(string(event.GroupSyncer)), ends.Offsets()))
}
