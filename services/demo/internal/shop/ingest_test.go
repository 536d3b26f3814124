package shop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/platform/platformfx"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// verdict is the connector's answer to one event.
type verdict struct {
	Result, EventID string
	Errors          []struct{ Pointer, Detail string }
	Warnings        []string
	Differs         bool
}

// The connector is the judge: it takes every event, refuses every mistake, and knows every repetition, with totals that
// do not add up refused; and the ERP takes the payload of every order.
func TestTheConnectorTakesEveryEvent(t *testing.T) {
	url := serveIngest(t)
	used := map[uint64]bool{}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		var events []Event
		var bodies []json.RawMessage
		for e := range Stream(seed, 40) {
			events, bodies = append(events, e), append(bodies, e.Body)
		}
		for i, v := range post(t, url, bodies) {
			want := map[Kind]string{New: "accepted", Again: "duplicate", Mistake: "refused"}[events[i].Kind]
			if want == "accepted" && used[seed] { // drawn before, or tried again by rapid
				want = "duplicate"
			}
			require.Equal(t, want, v.Result, "%s: %v", events[i].Body, v)
			require.Empty(t, v.Warnings)
			require.False(t, v.Differs)
			if want == "refused" {
				require.Len(t, v.Errors, 1, "one mistake at a time is easy to read")
			} else {
				requireERP(t, events[i])
			}
		}
		used[seed] = true
	})
}

func serveIngest(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	s := setting.Defaults()
	s.RefuseBadTotals = true
	cfg := platform.Config{
		DatabaseURL: testkit.Postgres(t).URL, KafkaBrokers: []string{"127.0.0.1:1"}, HTTPAddr: l.Addr().String(), APIToken: "token", Settings: s,
	}
	app := fxtest.New(t, platformfx.Platform(cfg, slog.New(slog.NewTextHandler(t.Output(), nil))), fx.NopLogger, ingest.Module)
	app.RequireStart()
	t.Cleanup(app.RequireStop)
	return "http://" + cfg.HTTPAddr + platform.BasePath + "/events"
}

func post(t *rapid.T, url string, bodies []json.RawMessage) []verdict {
	batch, err := json.Marshal(bodies)
	require.NoError(t, err)
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(batch))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer token")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Results []verdict }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	require.Len(t, answer.Results, len(bodies))
	return answer.Results
}

func requireERP(t *rapid.T, e Event) {
	var c event.Commerce
	require.NoError(t, json.Unmarshal(e.Body, &c))
	if len(c.Order) == 0 {
		return
	}
	var o domain.Order
	require.NoError(t, json.Unmarshal(c.Order, &o))
	payload, err := domain.BuildPayload(e.Ref, o)
	require.NoError(t, err)
	req := httptest.NewRequest(http.MethodPost, "/orders/sync", bytes.NewReader(payload))
	req.Header.Set("X-Idempotency-Key", fmt.Sprint(e.Ref))
	w := httptest.NewRecorder()
	mockerp.New(mockerp.Options{}).ServeHTTP(w, req)
	require.Equal(t, http.StatusCreated, w.Code, "%s", w.Body)
}
