package e2e

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestFlow(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) { flow(t, start(t, configured(t, brokers))) })
}

func flow(t *testing.T, p *product) {
	t.Helper()

	t.Run("an_invoice_reaches_the_erp_once", func(t *testing.T) {
		status, answer := p.publish(invoice("e1", "1"))
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, "queued", answer["status"])
		status, _ = p.do(http.MethodGet, httpapi.BasePath+"/sync-status/1", nil)
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
	calls := func() float64 {
		_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
		return stats["calls"].(float64) //nolint:forcetypeassert // a test
	}
	// A call that finds its idle connection broken is made again at once, within its attempt. So calls are counted where one breaks.
	t.Run("an_answer_lost_after_booking_books_once", func(t *testing.T) {
		before := calls()
		p.fail(mockerp.Fault{Order: "5", ResetAfter: true, Times: 1})
		p.publish(invoice("e5", "5"))
		p.becomes("5", ended("success"))
		require.InDelta(t, 2, calls()-before, 0)
	})
	t.Run("no_answer_in_time_is_tried_again", func(t *testing.T) {
		before := calls()
		p.fail(mockerp.Fault{Order: "6", Hang: true, Times: 1}, mockerp.Fault{Order: "6", ResetBefore: true, Times: 1})
		p.publish(invoice("e6", "6"))
		p.becomes("6", ended("success"))
		require.InDelta(t, 3, calls()-before, 0)
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
		require.Equal(t, http.StatusMultiStatus, status)
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
	t.Run("an_order_reaches_the_erp_whole_or_its_timeline_says_what_not", func(t *testing.T) { wholeOrWarned(t, p) })
	t.Run("an_old_order_without_a_line_to_send_fails_with_words", func(t *testing.T) { noLineToSend(t, p) })
	t.Run("the_erps_callback_is_believed", func(t *testing.T) {
		status, answer := p.accepts("2", "ERP-CALLED-BACK")
		require.Equal(t, http.StatusOK, status, "%v", answer)
		require.Equal(t, true, answer["changed"])
		require.Equal(t, "ERP-CALLED-BACK", p.becomes("2", func(s map[string]any) bool { return s["status"] == "success" && s["erp_reference"] != nil })["erp_reference"])
	})
	t.Run("no_order_was_booked_twice", func(t *testing.T) {
		_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
		require.InDelta(t, 0, stats["doubles"], 0)
		require.InDelta(t, 0, stats["refused"], 0)
	})
}

func TestTheErpCannotBeReached(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		addr := testkit.FreeAddr(t)
		cfg.Settings.ErpBaseURL, cfg.Settings.MaxAttempts = "http://"+addr+httpapi.BasePath, 10
		erpComesBack(t, start(t, cfg), addr)
	})
}

// erpComesBack lets the ERP begin to listen after an order's first attempt.
func erpComesBack(t *testing.T, p *product, addr string) {
	t.Helper()
	p.publish(invoice("e1", "1"))
	p.becomes("1", func(s map[string]any) bool { attempts, _ := s["attempts"].(float64); return attempts >= 1 })
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	erp := mockerp.New(mockerp.Options{APIKey: "key", Secret: "secret"})
	server := &http.Server{Handler: erp, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	p.becomes("1", ended("success"))
	require.Equal(t, 1, erp.Stats().Bookings)
}

func TestHeldOrdersWait(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*setting.Settings){
		"the_connector_is_off":  func(s *setting.Settings) { s.Enabled = false },
		"immediate_sync_is_off": func(s *setting.Settings) { s.ImmediateSync = false },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
				cfg := configured(t, brokers)
				change(&cfg.Settings)
				heldOrderWaits(t, start(t, cfg))
			})
		})
	}
}

func heldOrderWaits(t *testing.T, p *product) {
	t.Helper()
	_, answer := p.publish(invoice("e1", "1"))
	require.Equal(t, "pending", answer["status"])
	p.consumed(event.GroupSyncer, event.TopicRequested, 1)
	status, row := p.do(http.MethodGet, httpapi.BasePath+"/sync-status/1", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "pending", row["status"])
	_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
	require.InDelta(t, 0, stats["calls"], 0)
}
