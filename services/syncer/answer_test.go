package syncer

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// orderIn returns the order of a request to the ERP.
func orderIn(r *http.Request) string {
	var p struct {
		ID string `json:"order_increment_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&p)
	return p.ID
}

// calling makes the syncer call an ERP by HTTP.
func calling(t *testing.T, erp http.HandlerFunc) func(*Params) {
	t.Helper()
	server := httptest.NewServer(erp)
	t.Cleanup(server.Close)
	s := setting.Defaults()
	s.ErpBaseURL, s.ErpTimeout, s.BaseDelay, s.MaxInFlight = server.URL, time.Hour, time.Second, 16
	return func(p *Params) {
		p.Settings = setting.Fixed(s)
		p.ERP = erphttp.New(erphttp.Config{InFlight: 16, Settings: p.Settings})
	}
}

// Symptom: an ERP that switched protocols and kept the connection open blocked a caller for ever. With as many such
// orders as callers nothing was sent any more, and the process could not stop in time.
func TestAnERPThatSwitchesProtocolsHoldsNoCall(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		var held []io.Closer // connections that the ERP has switched
		var mu sync.Mutex
		erp := calling(t, func(w http.ResponseWriter, r *http.Request) {
			if orderIn(r) == "good" {
				_, _ = io.WriteString(w, `{"erp_reference":"ERP-1"}`)
				return
			}
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			held = append(held, conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		})
		t.Cleanup(func() {
			mu.Lock()
			defer mu.Unlock()
			for _, conn := range held {
				_ = conn.Close()
			}
		})
		stop := b.start(t, erp, func(p *Params) {
			one := p.Settings.Current()
			one.MaxInFlight = 1
			p.Settings = setting.Fixed(one)
		})
		b.request(t, "switched")
		b.request(t, "good")
		b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_success good"] == 1 && s["vendor_erp_sync_after_send switched"] == 1
		})
		after := b.values["vendor_erp_sync_after_send switched"]
		require.Equal(t, domain.Queued, after.Sync.Status)
		require.Equal(t, domain.ErrorNetwork, after.Sync.ErrorCode)
		require.Equal(t, 101, after.Response.Status)
		require.Contains(t, *after.Error, "sent HTTP 101 and no answer: check that erp_base_url")
		stop() // it used to wait for the call for ever
	})
}

// Symptom: an ERP answered 200 to an order that it refused, and the order was shown as sent.
func TestTheSettingsReadAnAnswerInDisguise(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		erp := calling(t, func(w http.ResponseWriter, r *http.Request) {
			if orderIn(r) == "refused" {
				_, _ = io.WriteString(w, `{"result":{"ok":false},"message":"no such sku"}`)
				return
			}
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"code":"DUP","data":{"number":17}}`)
		})
		b.start(t, erp, func(p *Params) {
			s := p.Settings.Current()
			s.FailureFields, s.ReferenceFields = []domain.FailureField{{Field: "result.ok", Value: "false"}}, []domain.AnswerField{"data.number"}
			s.AlreadyBooked = []domain.BookedAnswer{{Status: 422, Code: "DUP"}}
			p.Settings = setting.Fixed(s)
			p.ERP = erphttp.New(erphttp.Config{InFlight: 16, Settings: p.Settings})
		})
		b.request(t, "refused")
		b.request(t, "booked")
		b.collect(t, func(s map[string]int) bool {
			return s["vendor_erp_sync_failed refused"] == 1 && s["vendor_erp_sync_success booked"] == 1
		})
		failed, booked := b.values["vendor_erp_sync_failed refused"], b.values["vendor_erp_sync_success booked"]
		require.Equal(t, domain.ErrorRejected, failed.Sync.ErrorCode)
		require.Equal(t, "no such sku; HTTP 200 says result.ok=false", *failed.Error)
		require.Equal(t, "17", *booked.Sync.ErpReference)
	})
}

// Symptom: the ERP's number of an order came after the part of the answer that was kept, or after a byte order mark.
// The order was a success without a number, and no line said so.
func TestTheNumberOfAnOrderIsFoundInALongAnswerOrItsLossIsLogged(t *testing.T) {
	testkit.OnEmbeddedFirst(t, func(t *testing.T, cfg kafka.Config) {
		b := setup(t, cfg)
		erp := calling(t, func(w http.ResponseWriter, r *http.Request) {
			switch id := orderIn(r); id {
			case "marked":
				_, _ = io.WriteString(w, "\xef\xbb\xbf{\"erp_reference\":\"ERP-1\"}")
			case "long":
				_, _ = io.WriteString(w, `{"echo":"`+strings.Repeat("x", 200<<10)+`","erp_reference":"ERP-2"}`)
			default:
				_, _ = io.WriteString(w, `{"id":"a request's","echo":"`+strings.Repeat("x", domain.MaxAnswerBytes)+`","erp_reference":"ERP-3"}`)
			}
		})
		var log testkit.Log
		stop := b.start(t, erp, func(p *Params) { p.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		for _, id := range []string{"marked", "long", "cut"} {
			b.request(t, id)
		}
		b.collect(t, func(s map[string]int) bool { return len(s) == 3*3 }) // intent, outcome and end of each
		stop()
		for id, want := range map[string]string{"marked": "ERP-1", "long": "ERP-2"} {
			end := b.values["vendor_erp_sync_success "+id]
			require.Equal(t, want, *end.Sync.ErpReference)
			require.Equal(t, want, *end.Response.Reference)
			require.LessOrEqual(t, len(end.Response.Body), domain.MaxResponseBytes)
			require.Equal(t, id == "long", end.Response.Truncated)
			require.Empty(t, b.values["vendor_erp_sync_after_send "+id].Sync.Cause)
		}
		const lost = "the ERP accepted the order, and no number of it was found in its answer: it is longer than the 8 MiB that are read"
		require.Nil(t, b.values["vendor_erp_sync_success cut"].Sync.ErpReference)
		require.Equal(t, lost, b.values["vendor_erp_sync_after_send cut"].Sync.Cause)
		require.Equal(t, 1, strings.Count(log.String(), "the ERP has the order, and its number there is not known"))
		require.Contains(t, log.String(), `order_increment_id=cut`)
		require.Contains(t, log.String(), `reason="`+lost+`"`)
	})
}
