package syncer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/setting/settingtest"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func turn(c *settingtest.Changeable, on bool) {
	c.Change(func(s *setting.Settings) { s.Enabled = on })
}

// off returns settings with the connector off, and a change of Params that uses them.
func off() (*settingtest.Changeable, func(*Params)) {
	c := settingtest.New(setting.Defaults())
	turn(c, false)
	return c, func(p *Params) { p.Settings = c }
}

// callersChecked waits until callers have checked many times whether the connector is on.
func callersChecked(t *testing.T, c *settingtest.Changeable) {
	t.Helper()
	since := c.Reads()
	testkit.Eventually(t, func() bool { return c.Reads() > since+30 }, "callers check the settings")
}

func (b *bench) allCalls() (n int) {
	b.erp.mu.Lock()
	defer b.erp.mu.Unlock()
	for _, calls := range b.erp.calls {
		n += calls
	}
	return n
}

func (b *bench) members(t *testing.T, n int) {
	t.Helper()
	name := b.cfg.Prefix + string(event.GroupSyncer)
	testkit.Eventually(t, func() bool {
		groups, err := kadm.NewClient(b.cl).DescribeGroups(t.Context(), name)
		return err == nil && groups[name].State == "Stable" && len(groups[name].Members) == n
	}, "the group has %d members", n)
}

// The connector is off, a second syncer joins, the first leaves, and the connector is turned on. Each queued order goes
// out once.
func TestWhileTheConnectorIsOffNothingIsCalledAndNothingIsLost(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		const orders = 300 // more than callers and their queue hold
		b := setup(t, cfg)
		settings, use := off()
		stop := b.start(t, use)
		for i := range orders {
			b.request(t, fmt.Sprint("o", i))
		}
		callersChecked(t, settings)
		b.start(t, use, func(p *Params) { p.LeaseID = "syncer-1" })
		b.members(t, 2)
		callersChecked(t, settings)
		began := time.Now()
		stop()
		require.Less(t, time.Since(began), revokeGrace, "callers that wait leave at once")
		callersChecked(t, settings)
		require.Zero(t, b.allCalls())

		began = time.Now()
		turn(settings, true)
		testkit.Eventually(t, func() bool { return b.allCalls() > 0 }, "the first call")
		require.Less(t, time.Since(began), time.Second)
		// before_send, after_send, success: none of them before it was on. An intent may repeat: a broker that is slow to answer is
		// asked again. The others come once.
		seen := b.collect(t, func(s map[string]int) bool { return len(s) >= 3*orders })
		for what, n := range seen {
			if !strings.HasPrefix(what, event.TopicBeforeSend) {
				require.Equal(t, 1, n, what)
			}
		}
		require.Len(t, seen, 3*orders)
		require.Equal(t, orders, b.allCalls())
	})
}

func TestACallInFlightEndsWhenTheConnectorIsTurnedOff(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		answer := make(chan struct{})
		b.erp.held["1"] = answer
		release := sync.OnceFunc(func() { close(answer) })
		settings, use := off()
		turn(settings, true)
		b.start(t, use)
		t.Cleanup(release) // before the syncer is stopped
		b.request(t, "1")
		testkit.Eventually(t, func() bool { return b.allCalls() == 1 }, "the call")
		turn(settings, false)
		b.request(t, "2")
		release()
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_success 1"] == 1 })
		callersChecked(t, settings)
		require.Equal(t, 1, b.allCalls())
		turn(settings, true)
		b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_success 2"] == 1 })
	})
}

// afterAdvice calls do once, after a gate was read and before its order is sent.
type afterAdvice struct {
	gates
	once sync.Once
	do   func()
}

func (a *afterAdvice) Advise(ctx context.Context, records []domain.Sync) ([]domain.Advice, error) {
	advice, err := a.gates.Advise(ctx, records)
	a.once.Do(a.do)
	return advice, err
}

// An operator turns the connector off and cancels an order that is about to be sent. It is not sent when the connector
// is on again.
func TestAGateIsReadAgainOnceTheConnectorIsOn(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		settings, use := off()
		turn(settings, true)
		b.start(t, use, func(p *Params) { p.Gates = &afterAdvice{gates: p.Gates, do: func() { turn(settings, false) }} })
		b.request(t, "1")
		testkit.Eventually(t, func() bool { return !settings.Current().Enabled }, "the connector is off")
		callersChecked(t, settings)
		b.gates.mu.Lock()
		g := *b.gates.gates["1"]
		b.gates.mu.Unlock()
		g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByCancelled
		b.gates.set(g)
		turn(settings, true)
		seen := b.collect(t, func(s map[string]int) bool { return s["vendor_erp_sync_failed 1"] == 1 })
		require.Zero(t, b.allCalls())
		require.Equal(t, map[string]int{"vendor_erp_sync_failed 1": 1}, seen)
	})
}
