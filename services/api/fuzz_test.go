package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// FuzzCommand: whatever comes in, a command is read or refused, and nothing else. One that is read means one order, which is
// the one that its body names, and says nothing that a reader of the log could not keep.
func FuzzCommand(f *testing.F) {
	for _, seed := range []struct{ body, source string }{
		{`{"orderIncrementId": "000000123"}`, ""},
		{`{"orderIncrementId": "000000123", "source": "outlet"}`, "outlet"},
		{`{"orderIncrementId": "000000123", "source": "default"}`, "outlet"},
		{`{"orderIncrementId": "000000123", "sourec": "outlet"}`, ""},
		{`{"orderIncrementId": "000000123", "source": null, "newKey": true, "reason": "the ERP lost it"}`, "a;b"},
		{`{"orderIncrementId": "1", "order\u0049ncrementId": "2"}`, "%zz"},
		{`{"orderIncrementId": "1", "ORDERINCREMENTID": "2"}`, "\x00"},
		{`{"orderIncrementId": "1", "ſource": "b", "reason": "a\u0000b", "erpReference": "\ud800"}`, "ſ"},
		{"\xEF\xBB\xBF{}", ""},
		{`{} {}`, ""},
		{`[]`, ""},
		{`null`, ""},
		{`{"newKey": 1e300}`, ""},
		{"{\"reason\": \"\xff\"}", ""},
	} {
		f.Add([]byte(seed.body), seed.source)
	}
	f.Fuzz(func(t *testing.T, body []byte, source string) {
		for _, what := range []commandKind{syncCommand, resyncCommand, settleCommand, cancelCommand} {
			target := "/"
			if source != "" {
				target = "/?source=" + url.QueryEscape(source)
			}
			w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(string(body)))
			a, ok := readCommand(w, r, what)
			if !ok {
				require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, w.Code)
				require.True(t, json.Valid(w.Body.Bytes()))
				continue
			}
			require.Empty(t, a.Check())
			require.NoError(t, a.Ref.Validate())
			require.True(t, source == "" || a.Ref.Source == source)
			require.True(t, utf8.ValidString(a.Reason))
			var means map[string]any
			require.NoError(t, json.Unmarshal(body, &means))
			require.Equal(t, means["orderIncrementId"], a.Ref.IncrementID)
			if named, _ := means["source"].(string); named != "" {
				require.Equal(t, named, a.Ref.Source)
			} else if source == "" {
				require.Equal(t, domain.DefaultSource, a.Ref.Source)
			}
			require.Equal(t, what.request == domain.RequestResync && means["newKey"] == true, a.Request == domain.RequestAnew)
		}
	})
}

// FuzzReadCallback: whatever the ERP says is read or refused, and nothing else. What is read means the same to every reader of the
// body, and each of its texts can be kept: it settles an order, and stands in the log for ever.
func FuzzReadCallback(f *testing.F) {
	for _, seed := range []string{
		`{"orderIncrementId": "000000123", "erpReference": "ERP-123", "status": "accepted", "idempotencyKey": "ERP_1"}`,
		`{"orderIncrementId": "000000123", "status": "rejected", "source": "outlet", "note": {"by": "Jane"}}`,
		`{"status":"rejected","STATUS":"accepted"}`,
		`{"orderIncrementId": "1", "status": "rejected", "status": "accepted"}`,
		`{"orderIncrementId": "1", "status": "rejected", "\u0073tatus": "accepted"}`,
		`{"orderIncrementId": "1", "status": "rejected", "\u017ftatus": "accepted"}`,
		`{"orderIncrementId": "1", "orderIncrementID": "2", "status": "accepted"}`,
		"{\"orderIncrementId\": \"1\", \"status\": \"accepted\", \"erpReference\": \"Gr\xf6\xdfe\"}",
		`{"orderIncrementId": "1", "status": "accepted", "erpReference": "a\u0000b", "idempotencyKey": "\ud800"}`,
		`{"orderIncrementId": "1", "status": "\u001b[2J", "erpReference": 12345678901234567890}`,
		"\xEF\xBB\xBF" + `{"orderIncrementId": "1", "status": "accepted"}`, `{"orderIncrementId": "1", "status": "accepted"} {}`,
		`{"orderIncrementId": "1", "erpReference": 1e999999999, "status": "accepted"}`,
		`{"orderIncrementId": "1", "erpReference": -1.5E-3, "status": " Accepted "}`,
		`{"orderIncrementId": "1", "erpReference": {"id": 1}, "status": "accepted"}`,
		`{"orderIncrementId": "1", "status": "` + strings.Repeat("x", 501) + `"}`,
		`{"orderIncrementId": "1", "total": 1e999999999, "status": "accepted"}`,
		`[]`, `null`, ``, `{"orderIncrementId": 1, "status": true, "erpReference": 1e300, "source": ""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		c, ref, ok := readCallback(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody), body)
		if !ok {
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, w.Code)
			require.True(t, json.Valid(w.Body.Bytes()))
			return
		}
		require.Zero(t, w.Body.Len())
		require.NoError(t, ref.Validate())
		require.NoError(t, domain.StatusText.Check(c.Status))
		require.NoError(t, domain.KeyText.Check(c.IdempotencyKey))
		require.NoError(t, domain.ReferenceText.Check(string(c.ErpReference)))
		if text := c.ErpReference.Text(); text != nil {
			raw, err := json.Marshal(*text)
			require.NoError(t, err)
			require.Equal(t, *text, *domain.AnswerReference([]byte(`{"erp_reference":` + string(raw) + `}`)), "as an answer has it")
		}
		require.True(t, utf8.Valid(body))
		var means map[string]any
		decoder := json.NewDecoder(strings.NewReader(string(body)))
		decoder.UseNumber() // the ERP's own members may hold any
		require.NoError(t, decoder.Decode(&means))
		for name := range means {
			for _, ours := range []string{"orderIncrementId", "status", "source", "erpReference", "idempotencyKey"} {
				require.True(t, name == ours || !strings.EqualFold(name, ours), "%q may be taken for %s", name, ours)
			}
		}
		require.Equal(t, means["orderIncrementId"], ref.IncrementID)
		status, _ := means["status"].(string)
		require.Equal(t, strings.TrimSpace(status), c.Status)
		if source, _ := means["source"].(string); source != "" {
			require.Equal(t, source, ref.Source)
		} else {
			require.Equal(t, domain.DefaultSource, ref.Source)
		}
	})
}
