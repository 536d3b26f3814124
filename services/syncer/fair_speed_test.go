//go:build speed

package syncer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/pace/pacetest"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// timedERP answers after 50 ms, and notes when each order of the shop "other" came.
type timedERP struct {
	mu    sync.Mutex
	calls int
	came  map[string]time.Time
}

func (e *timedERP) Send(_ context.Context, r erphttp.Request) erphttp.Reply {
	payload := string(r.Payload)
	e.mu.Lock()
	e.calls++
	if _, id, is := strings.Cut(payload, `"order_increment_id":"other`); is {
		id, _, _ = strings.Cut(id, `"`)
		e.came["other"+id] = time.Now()
	}
	e.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	return erphttp.Reply{Answer: domain.Answer{StatusCode: 201, Body: domain.AnswerBodyOf([]byte(`{"erp_reference":"E"}`))}}
}

func (e *timedERP) LookUp(context.Context, string, erphttp.Request) erphttp.Reply {
	return erphttp.Reply{Answer: domain.Answer{StatusCode: 404}}
}

func (e *timedERP) Probe(context.Context) domain.Answer { return domain.Answer{StatusCode: 200} }

func (e *timedERP) sent() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls
}

// awaitCall returns how long after a moment the order was sent.
func (e *timedERP) awaitCall(t *testing.T, id string, since time.Time) (delay time.Duration) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		at, is := e.came[id]
		delay = at.Sub(since)
		return is
	}, "order %s is sent", id)
	return delay
}

// TestSpeedOfAnOrderBehindAnotherShop prints how long an order waits while another shop has 100,000 in Kafka, in four
// partitions, at an ERP that answers in 50 ms: 16 calls at once, and with a limit of 50 calls a second. Alone they would
// take five minutes, and half an hour.
func TestSpeedOfAnOrderBehindAnotherShop(t *testing.T) {
	const orders, samples = 100_000, 40
	testkit.OnApache(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		var records []*kgo.Record
		for i := range orders {
			_, r := b.requestRecord(t, domain.OrderRef{Source: "noisy", IncrementID: fmt.Sprint("noisy", i)}, strings.Repeat("an item ", 100), atOnce)
			if records = append(records, r); len(records) == 2000 || i == orders-1 {
				require.NoError(t, b.cl.ProduceSync(t.Context(), records...).FirstErr())
				records = nil
			}
		}
		n := 0
		send := func() (id string, at time.Time) {
			n++
			id = fmt.Sprint("other", n)
			_, r := b.requestRecord(t, domain.OrderRef{Source: "other", IncrementID: id}, "an item", atOnce)
			at = time.Now()
			require.NoError(t, b.cl.ProduceSync(t.Context(), r).FirstErr())
			return id, at
		}
		for _, rate := range []float64{0, 50} {
			erp := &timedERP{came: map[string]time.Time{}}
			s := setting.Defaults()
			s.MaxInFlight, s.Rate = 16, rate
			b.pace = pacetest.New()
			id, at := send()
			began := time.Now()
			stop := b.start(t, func(p *Params) { p.ERP, p.Settings = erp, setting.Fixed(s) })
			t.Logf("rate %g: the syncer starts, and sends the order at the end of the topic after %s", rate, erp.awaitCall(t, id, at).Round(time.Millisecond))
			calls, since := erp.sent(), time.Now()
			var delays []time.Duration
			for range samples {
				id, at := send()
				delays = append(delays, erp.awaitCall(t, id, at))
			}
			slices.Sort(delays)
			t.Logf("rate %g: an order waits %s (median), %s (longest of %d); all shops: %.0f calls a second; %d sent after %s", rate,
				delays[samples/2].Round(time.Millisecond), delays[samples-1].Round(time.Millisecond), samples,
				float64(erp.sent()-calls)/time.Since(since).Seconds(), erp.sent(), time.Since(began).Round(time.Second))
			require.Less(t, delays[samples-1], time.Second)
			stop()
		}
	})
}
