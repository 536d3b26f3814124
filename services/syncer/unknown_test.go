package syncer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The answer to a commit is lost, and for a while it cannot be found out whether it was committed. Until then nothing
// may be written again, as the outcome may be in the log already.
func TestNothingIsWrittenAgainBeforeItIsKnownWhetherItWasCommitted(t *testing.T) {
	t.Parallel()
	testkit.OnBrokers(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		network := &testkit.Network{}
		log, tried := testkit.Said("dependency failing; retrying until it answers")
		cfg.Dial = network.Dial
		b.cfg = cfg
		held := make(chan struct{})
		b.erp.held["1"] = held
		b.start(t, func(p *Params) { p.Log = log })
		b.request(t, "1")
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_before_send 1"] > 0 })
		refused := network.LoseAnswer(testkit.EndTxn)
		close(held)
		testkit.Await(t, refused)
		testkit.Await(t, tried) // one try has failed
		network.Up()
		b.request(t, "2") // it is committed after the first is decided
		seen := b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_success 2"] > 0 && s["vendor_erp_sync_success 1"] > 0
		})
		require.Equal(t, 1, seen["vendor_erp_sync_after_send 1"])
		require.Equal(t, 1, seen["vendor_erp_sync_success 1"])
		require.Equal(t, 1, b.erp.calls["1"])
	})
}
