package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// hook is an API that callbacks are sent to, and the orders' gates behind it.
type hook struct {
	*caller
	server http.Handler
}

func newHook(t *testing.T) *hook {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	return &hook{caller: &caller{t: t, pool: pool}, server: serve(t, pool)}
}

func (h *hook) send(body string, headers ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	return h.sendTo("webhook", body, headers...)
}

func (h *hook) sendTo(path, body string, headers ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodPost, "/rest/V1/erpconnector/"+path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	return w
}

// records are those of a topic in the outbox, the oldest first.
func (h *hook) records(topic string) (all []event.Sync) {
	h.t.Helper()
	rows, err := h.pool.Query(h.t.Context(), `SELECT payload FROM erp_outbox WHERE topic = $1 ORDER BY id`, topic)
	require.NoError(h.t, err)
	defer rows.Close()
	for rows.Next() {
		var payload []byte
		require.NoError(h.t, rows.Scan(&payload))
		var v event.Sync
		require.NoError(h.t, json.Unmarshal(payload, &v))
		all = append(all, v)
	}
	require.NoError(h.t, rows.Err())
	return all
}

// A number as erpReference was refused in a callback, though an ERP's answer may give it so.
func TestACallbacksReferenceMayBeANumber(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	for i, c := range []struct{ given, want string }{
		{`"ERP-123"`, "ERP-123"},
		{`12345678901234567890`, "12345678901234567890"},
		{`1.2345678E7`, "12345678"},
		{`1.50`, "1.50"},
		{`" ERP-123 "`, "ERP-123"},
		{`""`, ""},
		{`null`, ""},
	} {
		ref := domain.OrderRef{Source: "default", IncrementID: fmt.Sprint(i)}
		h.accepted(open(ref, int64(i+1)))
		body := fmt.Sprintf(`{"orderIncrementId": "%d", "erpReference": %s, "status": " Accepted"}`, i, c.given)
		require.Equal(t, http.StatusOK, h.send(body, signature.HeaderModule, signature.Module("secret", []byte(body))).Code, c.given)
		said := h.records(event.TopicCallback)
		last := said[len(said)-1].Sync
		require.Equal(t, ref, last.Ref())
		require.Equal(t, domain.Success, last.Status)
		require.Equal(t, domain.Reference(c.want).Text(), last.ErpReference, c.given)
	}
}

// Who settles an order by hand copies its number from the ERP, in whatever form; one of any length was kept.
func TestASettlementsReferenceIsReadAsACallbacks(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.accepted(open(order, 1))
	settle := func(reference string) *httptest.ResponseRecorder {
		return h.sendTo("settle-order", `{"orderIncrementId": "000000123", "reason": "why", "erpReference": `+reference+`}`)
	}
	long := settle(`"` + strings.Repeat("x", domain.MaxReferenceBytes+1) + `"`)
	require.Equal(t, http.StatusUnprocessableEntity, long.Code)
	require.Contains(t, long.Body.String(), `{"pointer":"/erpReference","code":"too_long","detail":"has 2049 bytes; at most 2048 are taken"}`)
	require.Equal(t, http.StatusOK, settle(`12345678901234567890`).Code)
	said := h.records(event.TopicCallback)
	require.Len(t, said, 1)
	require.Equal(t, "12345678901234567890", *said[0].Sync.ErpReference)
}

// An ERP that changes its secret signs with both for a while; a proxy may put both into one header.
func TestOneOfSeveralSignaturesIsEnough(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.accepted(open(order, 1))
	const body = `{"orderIncrementId": "000000123", "status": "processing"}`
	right, wrong := signature.Module("secret", []byte(body)), signature.Module("other", []byte(body))
	for _, headers := range [][]string{
		{signature.HeaderModule, right},
		{signature.HeaderModule, wrong, signature.HeaderModule, right},
		{signature.HeaderModule, right, signature.HeaderModule, wrong},
		{signature.HeaderModule, wrong + ", " + right},
		{signature.HeaderModule, "", signature.HeaderModule, right},
	} {
		require.Equal(t, http.StatusOK, h.send(body, headers...).Code, headers)
	}
	for _, headers := range [][]string{
		{signature.HeaderModule, wrong, signature.HeaderModule, wrong},
		{signature.HeaderModule, ""},
		{signature.HeaderModule, ","},
		{signature.HeaderModule, right + right},
		{signature.HeaderModule, right, signature.HeaderSignature, "v1,x"}, // the stricter one is there, and does not hold
	} {
		require.Equal(t, http.StatusUnauthorized, h.send(body, headers...).Code, headers)
	}
}

// While the ERP's secret is changed, callbacks that either secret signs are taken, and after it only those of the new one.
func TestACallbackMayBeSignedWithTheSecretBefore(t *testing.T) {
	t.Parallel()
	const body = `{"orderIncrementId": "1"}`
	why := func(erp config.ERP, secret string) string {
		h := &handler{secrets: erp.Secrets(nil)}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set(signature.HeaderModule, signature.Module(secret, []byte(body)))
		return h.unsigned(r, []byte(body))
	}
	changing := config.ERP{HMAC: "new", PreviousHMAC: "old"}
	require.Empty(t, why(changing, "new"))
	require.Empty(t, why(changing, "old"))
	require.NotEmpty(t, why(changing, "other"))
	require.NotEmpty(t, why(config.ERP{HMAC: "new"}, "old"))
	require.Contains(t, why(config.ERP{}, ""), "ERP_HMAC_SECRET is not set here")
}

// A record keeps no more of a callback than of an answer.
func TestOfALongCallbackOnlyTheStartIsKept(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	h.accepted(open(order, 1))
	for _, status := range []string{"processing", "accepted"} {
		body := `{"orderIncrementId": "000000123", "status": "` + status + `", "echo": "` + strings.Repeat("ß", domain.MaxResponseBytes) + `"}`
		require.Equal(t, http.StatusOK, h.send(body, signature.HeaderModule, signature.Module("secret", []byte(body))).Code)
		said := h.records(event.TopicCallback)
		last := said[len(said)-1]
		require.LessOrEqual(t, len(last.Response.Body), domain.MaxResponseBytes+2)
		require.True(t, strings.HasPrefix(body, strings.TrimSuffix(last.Response.Body, "\uFFFD")))
		require.True(t, last.Response.Truncated)
	}
}
