package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/devkafka"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/platform/platformfx"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// product is the whole of it: every service on a real Postgres and a broker, reached by HTTP alone.
type product struct {
	t    *testing.T
	base string
}

func start(t *testing.T, change func(*platform.Config)) *product {
	t.Helper()
	broker, err := devkafka.Start(t.TempDir(), 0)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	s := setting.Defaults()
	s.BaseDelay, s.MaxAttempts, s.ErpTimeout = 100*time.Millisecond, 3, time.Second
	s.ErpBaseURL = "http://" + addr + platform.BasePath
	cfg := platform.Config{
		DatabaseURL: testkit.Postgres(t).URL, KafkaBrokers: broker.Addrs(), Partitions: 4, HTTPAddr: addr, TopicPrefix: "t.",
		APIToken: "token", ErpAPIKey: "key", ErpHMAC: "secret", ErpInFlight: 16, Settings: s,
	}
	if change != nil {
		change(&cfg)
	}
	admin, err := kafka.NewAdmin(kafka.Config{Brokers: cfg.KafkaBrokers, Prefix: cfg.TopicPrefix}, cfg.Partitions)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	problems, err := admin.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)
	options := []fx.Option{platformfx.Platform(cfg, slog.New(slog.NewTextHandler(t.Output(), nil))), fx.NopLogger}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		options = append(options, services[name])
	}
	app := fxtest.New(t, options...)
	app.RequireStart()
	t.Cleanup(app.RequireStop)
	return &product{t: t, base: "http://" + addr}
}

func (p *product) do(method, path string, body any) (int, map[string]any) {
	p.t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(p.t, err)
	if raw, ok := body.(string); ok {
		encoded = []byte(raw)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, bytes.NewReader(encoded))
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer token")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	out := map[string]any{}
	if len(content) > 0 && content[0] == '{' {
		require.NoError(p.t, json.Unmarshal(content, &out), "%s", content)
	}
	return resp.StatusCode, out
}

func (p *product) fail(faults ...mockerp.Fault) {
	p.t.Helper()
	status, _ := p.do(http.MethodPost, "/mockerp/faults", faults)
	require.Equal(p.t, http.StatusOK, status)
}

func invoice(eventID, order string) map[string]any {
	return map[string]any{
		"event_id": eventID, "type": "invoice.created", "invoice": map[string]any{"increment_id": "i-" + order},
		"order": map[string]any{
			"order_increment_id": order, "order_id": 7, "currency": "EUR",
			"items":  []any{map[string]any{"sku": "A", "name": "Größe <L> & more", "qty": "2", "price": "99.990", "row_total": "199.98"}},
			"totals": map[string]any{"subtotal": "199.98", "tax": "20.00", "shipping": "10.00", "discount": "0.00", "grand_total": "229.98"},
		},
	}
}

// becomes waits until the order's status satisfies the condition.
func (p *product) becomes(order string, want func(status map[string]any) bool) map[string]any {
	p.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, got := p.do(http.MethodGet, platform.BasePath+"/sync-status/"+order, nil)
		if want(got) {
			return got
		}
		require.False(p.t, time.Now().After(deadline), "order %s stands at %v", order, got)
		<-tick.C
	}
}

func ended(status string) func(map[string]any) bool {
	return func(s map[string]any) bool { return s["status"] == status && s["last_attempt_at"] != nil }
}

func (p *product) publish(event any) (int, map[string]any) {
	p.t.Helper()
	return p.do(http.MethodPost, platform.BasePath+"/events", event)
}

func TestFlow(t *testing.T) {
	p := start(t, nil)

	t.Run("an_invoice_reaches_the_erp_once", func(t *testing.T) {
		status, answer := p.publish(invoice("e1", "1"))
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, "queued", answer["status"])
		status, _ = p.do(http.MethodGet, platform.BasePath+"/sync-status/1", nil)
		require.Equal(t, http.StatusOK, status, "right after the event was accepted")
		got := p.becomes("1", ended("success"))
		require.NotNil(t, got["erp_reference"])
		status, answer = p.publish(invoice("e1", "1"))
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "duplicate", answer["result"])
	})
	t.Run("a_final_answer_fails_at_once", func(t *testing.T) {
		p.fail(mockerp.Fault{Order: "2", Status: 422})
		p.publish(invoice("e2", "2"))
		got := p.becomes("2", ended("failed"))
		require.InDelta(t, 1, got["attempts"], 0)
		require.Contains(t, got["last_error"], "422")
	})
	t.Run("a_busy_erp_is_asked_again", func(t *testing.T) {
		p.fail(mockerp.Fault{Order: "3", Status: 503, Times: 1}, mockerp.Fault{Order: "3", Status: 429, RetryAfter: "1", Times: 1})
		p.publish(invoice("e3", "3"))
		require.InDelta(t, 3, p.becomes("3", ended("success"))["attempts"], 0)
	})
	t.Run("the_maximum_ends_it", func(t *testing.T) {
		p.fail(mockerp.Fault{Order: "4", Status: 500})
		p.publish(invoice("e4", "4"))
		require.InDelta(t, 3, p.becomes("4", ended("failed"))["attempts"], 0)
	})
	t.Run("an_answer_lost_after_booking_books_once", func(t *testing.T) {
		p.fail(mockerp.Fault{Order: "5", ResetAfter: true, Times: 1})
		p.publish(invoice("e5", "5"))
		require.InDelta(t, 2, p.becomes("5", ended("success"))["attempts"], 0)
	})
	t.Run("no_answer_in_time_is_tried_again", func(t *testing.T) {
		p.fail(mockerp.Fault{Order: "6", Hang: true, Times: 1}, mockerp.Fault{Order: "6", ResetBefore: true, Times: 1})
		p.publish(invoice("e6", "6"))
		require.InDelta(t, 3, p.becomes("6", ended("success"))["attempts"], 0)
	})
	t.Run("answers_that_are_not_json_or_huge_are_successes", func(t *testing.T) {
		p.fail(mockerp.Fault{Order: "7", BadJSON: true}, mockerp.Fault{Order: "8", Huge: true})
		p.publish([]any{invoice("e7", "7"), invoice("e8", "8")})
		require.Nil(t, p.becomes("7", ended("success"))["erp_reference"])
		p.becomes("8", ended("success"))
	})
	t.Run("one_bad_event_does_not_spoil_the_batch", func(t *testing.T) {
		bad := invoice("", "9")
		status, answer := p.publish([]any{invoice("e9", "9"), bad, invoice("e9", "9")})
		require.Equal(t, http.StatusOK, status)
		var verdicts []any
		for _, r := range answer["results"].([]any) { //nolint:forcetypeassert // a test
			verdicts = append(verdicts, r.(map[string]any)["result"])
		}
		require.Equal(t, []any{"accepted", "refused", "duplicate"}, verdicts)
		p.becomes("9", ended("success"))
	})
	t.Run("two_sources_may_have_the_same_number", func(t *testing.T) {
		other := invoice("e1", "1")
		other["source"] = "shop-b"
		status, answer := p.publish(other)
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, "shop-b", answer["source"])
		p.becomes("1?source=shop-b", ended("success"))
	})
	t.Run("what_postgres_cannot_keep_is_refused", func(t *testing.T) {
		for _, id := range []string{`a\u0000b`, `a\ud800`} {
			status, answer := p.publish(fmt.Sprintf(`{"event_id":"%s","type":"order.placed","order":{}}`, id))
			require.Equal(t, http.StatusUnprocessableEntity, status)
			require.NotEmpty(t, answer["errors"])
		}
	})
	t.Run("no_order_was_booked_twice", func(t *testing.T) {
		_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
		require.InDelta(t, 0, stats["doubles"], 0)
		require.InDelta(t, 0, stats["refused"], 0)
	})
}

func TestAnUnknownOrderIsNotSynced(t *testing.T) {
	p := start(t, nil)
	status, answer := p.do(http.MethodGet, platform.BasePath+"/sync-status/404", nil)
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, "not_synced", answer["status"])
	require.Equal(t, "No sync record found for this order", answer["message"])
}
