package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// told collects what a destination of alerts gets.
type told struct {
	*httptest.Server

	mu      sync.Mutex
	ids     []string
	notices []alert.Notice
}

func listensToAlerts(t *testing.T) *told {
	t.Helper()
	l := &told{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n alert.Notice
		if json.NewDecoder(r.Body).Decode(&n) != nil {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ids, l.notices = append(l.ids, r.Header.Get("webhook-id")), append(l.notices, n)
	}))
	t.Cleanup(l.Close)
	return l
}

// heard are the notices so far, and their ids.
func (l *told) heard() (ids []string, notices []alert.Notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ids), slices.Clone(l.notices)
}

// tellsAlerts is who is told of the product's alerts from now on.
func (p *product) tellsAlerts() *told {
	p.t.Helper()
	listener := listensToAlerts(p.t)
	status, made := p.do(http.MethodPost, httpapi.BasePath+"/alerts/destinations", map[string]any{"name": "on-call", "kind": "webhook", "address": listener.URL})
	require.Equal(p.t, http.StatusCreated, status, "%v", made)
	return listener
}

// Orders fail for one reason: one alert tells of them, and not one for each. What an audit has found is told too, when it was asked to.
func TestAlertsOfFailedOrdersAndOfAnAudit(t *testing.T) {
	t.Parallel()
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		p := newProduct(t, brokers)
		p = start(t, p.cfg)
		listener := p.tellsAlerts()
		p.fail(mockerp.Fault{Status: http.StatusUnprocessableEntity, Times: 5})
		for i := range 5 {
			order := fmt.Sprint(100 + i)
			p.publish(invoice("e"+order, order))
		}
		for i := range 5 {
			p.becomes(fmt.Sprint(100+i), ended("failed"))
		}
		testkit.Eventually(t, func() bool { _, all := listener.heard(); return len(all) > 0 }, "nobody was told")
		_, all := listener.heard()
		require.Equal(t, "orders_failed.opened", all[0].Type)
		require.Contains(t, all[0].Data.Text, "failed with: HTTP 422: ")
		require.LessOrEqual(t, all[0].Data.Level, int64(5))

		execute(t, p.cfg.DatabaseURL, `UPDATE erp_sync_gate SET state = 'open', closed_by = NULL WHERE increment_id = '100'`)
		require.NotZero(t, p.audit("--alert").verdict.Breaks)
		testkit.Eventually(t, func() bool { _, all := listener.heard(); return len(all) > 1 }, "nobody was told of the audit")
		_, all = listener.heard()
		require.Len(t, all, 2, "five orders are one alert")
		require.Equal(t, "audit.opened", all[1].Type)
		require.Contains(t, fmt.Sprint(all[1].Data.Details), "gate_open_after_end")
		_, list := p.do(http.MethodGet, httpapi.BasePath+"/alerts?state=open", nil)
		require.Len(t, list["alerts"], 2)
	})
}

// With audit_interval nobody has to ask: the scheduler audits by itself, and what it finds is told like what others have found.
func TestAnAuditByItselfRaisesTheAlert(t *testing.T) {
	t.Parallel()
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		p := newProduct(t, brokers)
		p = start(t, p.cfg)
		listener := p.tellsAlerts()
		p.succeeds("100")
		execute(t, p.cfg.DatabaseURL, `UPDATE erp_sync_gate SET state = 'open', closed_by = NULL WHERE increment_id = '100'`)
		p.set(`{"audit_interval": "24h", "reason": "each day"}`)
		testkit.Eventually(t, func() bool { _, all := listener.heard(); return len(all) > 0 }, "nobody was told of the audit")
		_, all := listener.heard()
		require.Equal(t, "audit.opened", all[0].Type)
		require.Contains(t, fmt.Sprint(all[0].Data.Details), "gate_open_after_end")
		newest := func() map[string]any { return p.runs()[0].(map[string]any) }
		testkit.Eventually(t, func() bool { return newest()["state"] == "done" }, "the run does not end")
		require.Len(t, p.runs(), 1, "it is not due again")
		require.Equal(t, []any{"audit", "scheduler", "setting audit_interval"}, []any{newest()["kind"], newest()["made_by"], newest()["asked_by"]})
	})
}

// The process that sends dies between sending a notice and noting that. The one that stood by sends it again, under the same id.
func TestAnAlertIsToldAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		c := newCrashCase(t, binary, brokers)
		listener := listensToAlerts(t)
		pool := testkit.PoolOf(t, c.p.cfg.DatabaseURL)
		store := alert.NewStore(pool)
		_, err := store.Add(t.Context(), alert.Destination{Name: "x", Kind: alert.KindWebhook, Address: listener.URL, Secret: alert.NewSecret(), Enabled: true}, "test")
		require.NoError(t, err)
		require.NoError(t, store.NoteAudit(t.Context(), alert.Audit{Breaks: 1, Found: map[string]int{}}))
		first := c.run("alerter.after_send", "alerter")
		require.Equal(t, syscall.SIGKILL, first.ended(t))
		ids, _ := listener.heard()
		require.Len(t, ids, 1)
		second := *c.p
		second.cfg.HTTP.Addr = testkit.FreeAddr(t)
		(&crashCase{p: &second, binary: c.binary, erp: c.erp}).run("", "alerter")
		c.run("", "alerter")
		delivered := func() bool {
			past, _, err := store.List(t.Context(), alert.Filter{Limit: 1})
			return err == nil && len(past) == 1 && len(past[0].Deliveries) == 1 && past[0].Deliveries[0].State == alert.Delivered
		}
		testkit.Eventually(t, delivered, "it is not noted as delivered")
		ids, all := listener.heard()
		require.Equal(t, []string{ids[0], ids[0]}, ids, "two processes send it once")
		require.Equal(t, all[0], all[1])
		require.Equal(t, domain.AlertAudit, all[0].Data.Alert)
		require.True(t, strings.HasPrefix(ids[0], "msg_"))
	})
}
