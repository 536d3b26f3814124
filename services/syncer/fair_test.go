package syncer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var atOnce = domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 3}

// flood writes requests of a shop's orders into all partitions.
func (b *bench) flood(t *testing.T, shop string, orders int) {
	t.Helper()
	records := make([]*kgo.Record, 0, orders)
	for i := range orders {
		_, r := b.requestRecord(t, domain.OrderRef{Source: shop, IncrementID: fmt.Sprint(shop, i)}, "an item", atOnce)
		records = append(records, r)
	}
	require.NoError(t, b.cl.ProduceSync(t.Context(), records...).FirstErr())
}

// steppingERP answers each call of the shop "noisy" when it is let go, and others at once.
type steppingERP struct {
	*scriptedERP

	step chan struct{}
	mu   sync.Mutex
	seen []string // the orders, in the order of their calls
}

func (e *steppingERP) Send(ctx context.Context, r erphttp.Request) erphttp.Reply {
	noisy := strings.Contains(string(r.Payload), `"noisy`)
	e.mu.Lock()
	if noisy {
		e.seen = append(e.seen, "noisy")
	} else {
		e.seen = append(e.seen, "other")
	}
	e.mu.Unlock()
	if noisy {
		<-e.step
	}
	return e.scriptedERP.Send(ctx, r)
}

func (e *steppingERP) calls() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.seen...)
}

// Symptom: an order waited for all those of another shop that had come before: 100,000 of them took five minutes.
func TestAShopWithManyOrdersDelaysNoOther(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		const orders, inFlight = 3000, 2 // in four partitions, and 16 find room in the queue
		b := setup(t, cfg)
		erp := &steppingERP{scriptedERP: b.erp, step: make(chan struct{})}
		b.flood(t, "noisy", orders)
		s := setting.Defaults()
		s.MaxInFlight = inFlight
		y := b.syncer(func(p *Params) { p.ERP, p.Settings = erp, setting.Fixed(s) })
		stop := b.run(t, y)
		release := sync.OnceFunc(func() { close(erp.step) })
		t.Cleanup(release) // before the syncer is stopped
		testkit.Eventually(t, func() bool { return len(erp.calls()) == inFlight }, "calls of the noisy shop")

		_, other := b.requestRecord(t, domain.OrderRef{Source: "other", IncrementID: "1"}, "an item", atOnce)
		require.NoError(t, b.cl.ProduceSync(t.Context(), other).FirstErr())
		testkit.Eventually(t, func() bool {
			y.queue.mu.Lock()
			defer y.queue.mu.Unlock()
			return y.queue.turns.waiting("other", classRequested) == 1
		}, "the other shop's order is in the queue, before any order of the noisy shop has ended")
		for range 2 {
			erp.step <- struct{}{}
		}
		testkit.Eventually(t, func() bool { return len(erp.calls()) >= inFlight+2 }, "the next calls")
		require.Contains(t, erp.calls()[:inFlight+2], "other", "it waits for one call of the noisy shop at most")
		release()
		b.collect(t, func(seen map[string]int) bool { return seen["vendor_erp_sync_success other/1"] == 1 })
		stop()

		b.start(t, func(p *Params) { p.ERP, p.Settings = erp, setting.Fixed(s) })
		testkit.Eventually(t, func() bool { return b.allCalls() == orders+1 }, "all orders are sent")
		b.erp.mu.Lock()
		defer b.erp.mu.Unlock()
		for id, n := range b.erp.calls {
			require.Equal(t, 1, n, id)
		}
	})
}
