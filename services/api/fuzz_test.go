package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/syncs"
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

// FuzzSearchCriteria: whatever a query in Magento's form says, it is read or refused by name, and a filter that was read is one that a
// list takes.
func FuzzSearchCriteria(f *testing.F) {
	for _, seed := range []string{
		"searchCriteria[filter_groups][0][filters][0][field]=status&searchCriteria[filter_groups][0][filters][0][value]=failed",
		"searchCriteria[filterGroups][a][filters][b][field]=created_at&searchCriteria[filterGroups][a][filters][b][conditionType]=gteq&" +
			"searchCriteria[filterGroups][a][filters][b][value]=2024-01-15",
		"searchCriteria[pageSize]=10&searchCriteria[currentPage]=3&searchCriteria[sortOrders][0][field]=updated_at&searchCriteria[sortOrders][0][direction]=ASC",
		"searchCriteria[filter_groups][][filters][][field]=x", "searchCriteria=&searchCriteria[", "searchCriteria[pageSize]=-1&source=outlet", "%zz",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{URL: &url.URL{Path: "/", RawQuery: query}}
		p := httpapi.ParametersOf(r)
		var filter syncs.Filter
		c := criteriaOf(p)
		c.apply(p, &filter)
		for _, w := range p.Wrong {
			require.NotEmpty(t, w.Code)
			require.NotEmpty(t, w.Detail)
		}
		if len(p.Wrong) > 0 {
			return
		}
		require.Positive(t, c.PageSize)
		require.Positive(t, c.CurrentPage)
		require.True(t, filter.Sort == "" || slices.Contains(syncs.Sorts, filter.Sort))
		for _, status := range filter.Statuses {
			require.Contains(t, domain.Statuses, status)
		}
	})
}

// FuzzBulkFilter: whatever a bulk command selects by, it is read or refused with its place, and words that were read select by what they
// say: never all orders.
func FuzzBulkFilter(f *testing.F) {
	for _, seed := range []string{
		`{"status": "failed"}`, `{"status": ["failed", "queued"], "source": "outlet"}`, `{"error_group": 7, "attempts_from": 2}`, `{}`, `{"status": ""}`,
		`{"searchCriteria": "x"}`, `{"cursor": "c"}`, `{"status": true}`, `{"created_since": "24h"}`, `{"status": 1e9}`, `{"email": "a@b"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var filter map[string]json.RawMessage
		if json.Unmarshal(body, &filter) != nil {
			return
		}
		for name := range filter { // the shape of the body has refused others
			if !slices.Contains(BulkWords, name) {
				return
			}
		}
		got, words, wrong := bulkFilterOf(filter)
		for _, w := range wrong {
			require.Regexp(t, "^/filter/", w.Pointer)
			require.NotEmpty(t, w.Detail)
		}
		if len(wrong) > 0 {
			return
		}
		require.NotEmpty(t, words)
		require.NotEqual(t, syncs.Filter{}, got, "all orders are selected by %s", body)
	})
}
