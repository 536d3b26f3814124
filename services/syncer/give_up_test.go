package syncer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// calledFor makes the syncer call the ERP, and give up so long after the request.
func (e *forgetful) calledFor(horizon time.Duration) func(*Params) {
	s := setting.Defaults()
	s.ErpBaseURL, s.ErpTimeout, s.BaseDelay, s.GiveUpAfter = e.url, 10*time.Second, 100*time.Millisecond, horizon
	return func(p *Params) {
		p.Settings = setting.Fixed(s)
		p.ERP = erphttp.New(erphttp.Config{InFlight: 16, Settings: p.Settings})
	}
}

// Symptom: nothing but the number of attempts ended an order.
func TestARetryThatWouldComeTooLateIsNotWaitedFor(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b, erp := setup(t, cfg), newForgetful(t)
		erp.calls["1"] = []int{503}
		b.start(t, erp.calledFor(time.Millisecond))
		b.request(t, "1")
		b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_failed 1"] == 1 && s["vendor_erp_sync_after_send 1"] == 1
		})
		after, end := b.values["vendor_erp_sync_after_send 1"], b.values["vendor_erp_sync_failed 1"]
		require.Equal(t, domain.ErrorUnavailable, after.Sync.ErrorCode)
		require.Equal(t, []any{domain.ErrorGivenUp, 1, domain.Failed}, []any{end.Sync.ErrorCode, end.Sync.Attempts, end.Sync.Status})
		require.Contains(t, *end.Error, "retry_give_up_after (1ms)")
		require.Contains(t, *end.Error, "HTTP 503")
	})
}

// A retry may reach the syncer long after it was due: the process was down, or the connector off.
func TestARetryThatComesTooLateMakesNoCall(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b, erp := setup(t, cfg), newForgetful(t)
		erp.calls["1"] = []int{503, 201}
		b.start(t, erp.calledFor(time.Hour))
		b.request(t, "1")
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_retry_1s 1"] == 1 })
		parked := b.values["vendor_erp_sync_retry_1s 1"]
		require.WithinDuration(t, time.Now(), *parked.Sync.RequestedAt, time.Minute)
		parked.Sync.RequestedAt = new(parked.Sync.RequestedAt.Add(-2 * time.Hour))
		r, err := event.NewSync(event.TopicDue, parked, event.Context{At: time.Now()})
		require.NoError(t, err)
		require.NoError(t, b.cl.ProduceSync(t.Context(), b.cfg.Record(r)).FirstErr())
		seen := b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_failed 1"] == 1 })
		end := b.values["vendor_erp_sync_failed 1"]
		require.Equal(t, []any{domain.ErrorGivenUp, 1}, []any{end.Sync.ErrorCode, end.Sync.Attempts})
		require.Contains(t, *end.Error, "HTTP 503")
		require.Zero(t, seen["vendor_erp_sync_before_send 1"])
		require.Zero(t, erp.count(erp.booked))
	})
}
