//go:build speed

package repair

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
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
		admin, err := topics.NewAdmin(cfg, 8)
		require.NoError(t, err)
		defer admin.Close()
		_, err = admin.Ensure(t.Context(), false)
		require.NoError(t, err)
		client, err := kgo.NewClient(cfg.Options()...)
		require.NoError(t, err)
		defer client.Close()
		for o := range speedOrders {
			_, recs := sold(t, o)
			for _, rec := range recs {
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
