//go:build speed

package repair

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const speedOrders = 50_000

// TestSpeedOfRepair restores a database that has lost everything.
//
//	go test -tags speed -run TestSpeedOfRepair -v ./services/repair
func TestSpeedOfRepair(t *testing.T) {
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		pool := testkit.Postgres(t).Pool
		admin, err := kafka.NewAdmin(cfg, 8)
		require.NoError(t, err)
		defer admin.Close()
		_, err = admin.Ensure(t.Context(), false)
		require.NoError(t, err)
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		defer client.Close()
		for o := range speedOrders {
			for _, rec := range relayedOf(t, o) {
				client.Produce(t.Context(), cfg.Record(rec), nil)
			}
		}
		require.NoError(t, client.Flush(t.Context()))
		server, err := outbox.ServerOf(t.Context(), pool)
		require.NoError(t, err)
		position, err := checkpoint.Position{LastID: 2 * speedOrders, At: time.Now(), UUID: "gone", System: server.System, Timeline: server.Timeline}.Record()
		require.NoError(t, err)
		position.Topic = cfg.Topic(event.TopicPosition)
		require.NoError(t, client.ProduceSync(t.Context(), position).FirstErr())

		for _, mend := range []bool{false, true} {
			began := time.Now()
			report, err := Run(t.Context(), Params{Kafka: cfg, Pool: pool, Log: slog.New(slog.DiscardHandler), Mend: mend, Limit: 10})
			require.NoError(t, err)
			require.Equal(t, 2*speedOrders, report.Lost)
			took := time.Since(began)
			t.Logf("%s: mend=%t: %d records of %d orders in %s, %.0f orders/s", t.Name(), mend, report.Lost, report.OrdersIn, took.Round(10*time.Millisecond), speedOrders/took.Seconds())
		}
	})
}

// relayedOf is what the outbox had of an order.
func relayedOf(t *testing.T, o int) []event.Record {
	t.Helper()
	now := time.Now()
	ref := domain.OrderRef{Source: domain.DefaultSource, IncrementID: fmt.Sprint(100_000_000 + o)}
	order := []byte(`{"order_increment_id":"` + ref.IncrementID + `","items":[{"sku":"A","name":"` + fmt.Sprintf("%900d", o) + `","qty":"1"}]}`)
	body := []byte(`{"event_id":"e` + ref.IncrementID + `","type":"invoice.created","invoice":{"increment_id":"i"},"order":` + string(order) + `}`)
	e := event.Commerce{EventID: "e" + ref.IncrementID, Type: event.InvoiceCreated, Source: ref.Source}
	g, _ := domain.Gate{Ref: ref, State: domain.GateNone}.Request(int64(o+1), domain.Intake{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, now)
	requested, err := event.NewSync(event.TopicRequested, event.Sync{Sync: g.RequestedSync(nil, e.EventID), Order: order}, event.Context{At: now})
	require.NoError(t, err)
	return []event.Record{event.NewCommerce(e, ref, body, now, ""), requested}
}
