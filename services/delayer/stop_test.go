package delayer

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Symptom: each SIGTERM logged the warning "retries cannot be forwarded … context canceled", though a stop is no failure.
func TestAStopIsNotLoggedAsAFailure(t *testing.T) {
	t.Parallel()
	cfg := testkit.EmbeddedBroker(t)
	admin, err := topics.NewAdmin(cfg, 1)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()

	joined := func() {
		testkit.Eventually(t, func() bool {
			groups, err := kadm.NewClient(client).DescribeGroups(t.Context(), cfg.Prefix+string(event.GroupDelayer))
			g := groups[cfg.Prefix+string(event.GroupDelayer)]
			return err == nil && g.State == "Stable" && len(g.Members) == 1
		}, "the delayer has joined its group")
	}
	for when, running := range map[string]bool{"before_kafka_has_answered": false, "once_it_waits_for_retries": true} {
		t.Run(when, func(t *testing.T) {
			var log testkit.Log
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			d := New(Params{Kafka: cfg, LeaseID: "delayer-0", Log: slog.New(slog.NewTextHandler(&log, nil))})
			if !running {
				stop()
			}
			go func() { done <- d.Run(ctx) }()
			if running {
				joined()
			}
			stop()
			require.NoError(t, <-done)
			require.Empty(t, log.Lines())
		})
	}
}
