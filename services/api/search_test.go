package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/syncs"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// asked reads a query in Magento's form; conditions are field, condition and value, each in a group of its own.
func asked(query string, conditions ...string) (*httpapi.Parameters, syncs.Filter, searchCriteria) {
	values := url.Values{}
	for i := 0; i+2 < len(conditions); i += 3 {
		at := fmt.Sprintf("searchCriteria[filter_groups][%d][filters][0]", i)
		values.Set(at+"[field]", conditions[i])
		values.Set(at+"[condition_type]", conditions[i+1])
		values.Set(at+"[value]", conditions[i+2])
	}
	p := httpapi.ParametersOf(httptest.NewRequest(http.MethodGet, "/?"+query+"&"+values.Encode(), nil))
	c, f := criteriaOf(p), syncs.Filter{}
	c.apply(p, &f)
	return p, f, c
}

func TestSearchCriteriaMeanAFilter(t *testing.T) {
	t.Parallel()
	ten := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		query      string
		conditions []string
		want       syncs.Filter
	}{
		"nothing":             {query: "searchCriteria="},
		"a_status":            {conditions: []string{"status", "eq", "failed"}, want: syncs.Filter{Statuses: []domain.Status{domain.Failed}}},
		"one_of_statuses":     {conditions: []string{"status", "in", "queued,failed"}, want: syncs.Filter{Statuses: []domain.Status{domain.Failed, domain.Queued}}},
		"statuses_of_both":    {conditions: []string{"status", "in", "queued,failed", "status", "eq", "queued"}, want: syncs.Filter{Statuses: []domain.Status{domain.Queued}}},
		"texts":               {conditions: []string{"source", "eq", "outlet", "order_increment_id", "eq", "1", "erp_reference", "eq", "R", "idempotency_key", "eq", "K"}, want: syncs.Filter{Source: "outlet", Order: "1", ErpReference: "R", Key: "K"}},
		"errors":              {conditions: []string{"error_code", "eq", "erp_timeout", "http_status", "eq", "422", "error_group", "eq", "7", "last_error", "like", "%no sku%"}, want: syncs.Filter{ErrorCode: "erp_timeout", HTTPStatus: 422, ErrorGroup: 7, Error: "no sku"}},
		"a_customer":          {conditions: []string{"customer_email", "eq", "a@b.c", "order_id", "eq", "5"}, want: syncs.Filter{Email: "a@b.c", OrderID: 5}},
		"attempts":            {conditions: []string{"attempts", "gt", "1", "attempts", "lteq", "4", "attempts", "lt", "4"}, want: syncs.Filter{AttemptsFrom: 2, AttemptsTo: 3}},
		"so_many_attempts":    {conditions: []string{"attempts", "eq", "2"}, want: syncs.Filter{AttemptsFrom: 2, AttemptsTo: 2}},
		"any_attempts":        {conditions: []string{"attempts", "gteq", "0"}, want: syncs.Filter{}},
		"a_range":             {conditions: []string{"created_at", "from", "2024-01-15 10:00:00", "created_at", "to", "2024-01-15 10:00:00"}, want: syncs.Filter{CreatedSince: ten, CreatedUntil: ten.Add(time.Second)}},
		"after_and_before":    {conditions: []string{"updated_at", "gt", "2024-01-15 10:00:00", "updated_at", "gt", "2024-01-14", "updated_at", "lt", "2024-01-15T12:00:00+01:00"}, want: syncs.Filter{UpdatedSince: ten.Add(time.Second), UpdatedUntil: ten.Add(time.Hour)}},
		"in_the_other_words":  {query: "searchCriteria[filterGroups][a][filters][b][field]=last_error&searchCriteria[filterGroups][a][filters][b][conditionType]=like&searchCriteria[filterGroups][a][filters][b][value]=%25x%25", want: syncs.Filter{Error: "x"}},
		"or_of_statuses":      {query: "searchCriteria[filter_groups][0][filters][0][field]=status&searchCriteria[filter_groups][0][filters][0][value]=failed&searchCriteria[filter_groups][0][filters][1][field]=status&searchCriteria[filter_groups][0][filters][1][value]=queued", want: syncs.Filter{Statuses: []domain.Status{domain.Failed, domain.Queued}}},
		"sorted":              {query: "searchCriteria[sortOrders][0][field]=created_at&searchCriteria[sortOrders][0][direction]=asc", want: syncs.Filter{Sort: syncs.ByCreation}},
		"sorted_newest_first": {query: "searchCriteria[sort_orders][0][field]=updated_at", want: syncs.Filter{Sort: syncs.ByUpdateDown}},
	} {
		p, f, _ := asked(c.query, c.conditions...)
		require.Empty(t, p.Wrong, name)
		require.Equal(t, c.want, f, name)
	}
	_, _, c := asked("searchCriteria[pageSize]=20&searchCriteria[current_page]=3", "status", "eq", "failed", "source", "eq", "outlet")
	require.Equal(t, 20, c.PageSize)
	require.Equal(t, 3, c.CurrentPage)
	require.Len(t, c.FilterGroups, 2)
}

func TestSearchCriteriaThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query      string
		conditions []string
		detail     string
	}{
		"unknown_field":      {conditions: []string{"statsu", "eq", "failed"}, detail: "did you mean status?"},
		"personal":           {conditions: []string{"payload", "like", "%x%"}, detail: "which cannot be asked for"},
		"unknown_condition":  {conditions: []string{"erp_reference", "like", "%x%"}, detail: "erp_reference can be asked for by eq"},
		"not_equal":          {conditions: []string{"status", "neq", "failed"}, detail: "status can be asked for by eq, in"},
		"unknown_status":     {conditions: []string{"status", "in", "failed,lost"}, detail: `has "lost"`},
		"no_status_left":     {conditions: []string{"status", "eq", "failed", "status", "eq", "queued"}, detail: "nothing is both"},
		"twice":              {conditions: []string{"source", "eq", "outlet", "source", "eq", "default"}, detail: "asked for twice"},
		"empty":              {conditions: []string{"order_increment_id", "eq", ""}, detail: "is empty"},
		"no_shop":            {conditions: []string{"source", "eq", "Shop B"}, detail: "a-z"},
		"half_a_like":        {conditions: []string{"last_error", "like", "x%"}, detail: "two percent signs"},
		"no_number":          {conditions: []string{"order_id", "eq", "x"}, detail: "above 0"},
		"no_http_status":     {conditions: []string{"http_status", "eq", "99"}, detail: "from 100 to 599"},
		"no_attempts":        {conditions: []string{"attempts", "lt", "1"}, detail: "without attempts"},
		"no_time":            {conditions: []string{"created_at", "gt", "yesterday"}, detail: "a time like"},
		"or_of_fields":       {query: "searchCriteria[filter_groups][0][filters][0][field]=source&searchCriteria[filter_groups][0][filters][1][field]=status", detail: "Give each filter its own group"},
		"no_index":           {query: "searchCriteria[filter_groups][][filters][][field]=status", detail: "give each index"},
		"unknown_part":       {query: "searchCriteria[filter_group][0][filters][0][field]=status", detail: "did you mean filter_groups?"},
		"unknown_member":     {query: "searchCriteria[filter_groups][0][filters][0][feild]=status", detail: "did you mean field?"},
		"too_deep":           {query: "searchCriteria[pageSize][0]=1", detail: "is not known here"},
		"no_page_size":       {query: "searchCriteria[pageSize]=501", detail: "from 1 to 500"},
		"mixed":              {query: "searchCriteria=&cursor=x", detail: "does not go with searchCriteria"},
		"two_orders":         {query: "searchCriteria[sortOrders][0][field]=updated_at&searchCriteria[sortOrders][1][field]=created_at", detail: "a second order"},
		"unsorted":           {query: "searchCriteria[sortOrders][0][field]=attempts", detail: "must be updated_at or created_at"},
		"no_direction":       {query: "searchCriteria[sortOrders][0][field]=updated_at&searchCriteria[sortOrders][0][direction]=up", detail: "ASC or DESC"},
		"no_part_of_a_order": {query: "searchCriteria[sortOrders][0][by]=updated_at", detail: "is not known here"},
	} {
		p, _, _ := asked(c.query, c.conditions...)
		require.NotEmpty(t, p.Wrong, name)
		require.Contains(t, p.Wrong[0].Detail, c.detail, name)
	}
	many := []string{}
	for range maxCriteria {
		many = append(many, "status", "eq", "failed")
	}
	p, _, _ := asked("", many...)
	require.Contains(t, p.Wrong[0].Detail, "at most 50 are taken")
}

func TestSearchCriteriaGolden(t *testing.T) {
	t.Parallel()
	c := setup(t, "syncs_by_search_criteria")
	c.Whole = true
	c.listed()
	c.get("syncs?searchCriteria%5Bfilter_groups%5D%5B0%5D%5Bfilters%5D%5B0%5D%5Bfield%5D=status" +
		"&searchCriteria%5Bfilter_groups%5D%5B0%5D%5Bfilters%5D%5B0%5D%5Bvalue%5D=failed" +
		"&searchCriteria%5Bfilter_groups%5D%5B0%5D%5Bfilters%5D%5B0%5D%5Bcondition_type%5D=eq" +
		"&searchCriteria%5BsortOrders%5D%5B0%5D%5Bfield%5D=created_at&searchCriteria%5BsortOrders%5D%5B0%5D%5Bdirection%5D=ASC" +
		"&searchCriteria%5BpageSize%5D=1&searchCriteria%5BcurrentPage%5D=2")
	c.Note("what cannot be asked for, and pages that are too far")
	c.get("syncs?searchCriteria%5Bfilter_groups%5D%5B0%5D%5Bfilters%5D%5B0%5D%5Bfield%5D=state&searchCriteria%5BpageSize%5D=500&searchCriteria%5BcurrentPage%5D=11")
}

// Pages put together are the list, and the number of all is right where it is counted and where it is looked up.
func TestPagesOfASearchAreTheList(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := pool.Exec(t.Context(), `
		INSERT INTO vendor_erp_sync (sync_id, source, order_increment_id, status, attempts, max_attempts, idempotency_key, created_at, updated_at, generation,
			attempt_version, attempt_version_at, version, version_at)
		SELECT i, 'default', i::text, CASE WHEN i % 3 = 0 THEN 'failed' ELSE 'success' END, CASE WHEN i = 25000 THEN 7 ELSE 1 END, 5, 'K', now(), timestamptz '2024-01-15' + i * interval '1 s', 1, 0, now(), 0, now()
		FROM generate_series(1, 25000) AS i;
		INSERT INTO vendor_erp_sync_count SELECT source, status, 0, count(*) FROM vendor_erp_sync GROUP BY 1, 2;
		UPDATE vendor_erp_sync_counted SET offsets = 0`)
	require.NoError(t, err)
	h := &handler{pool: pool}
	failed := syncs.Filter{Statuses: []domain.Status{domain.Failed}}
	var ids []int64
	for page := range 3 {
		out, whole, err := h.search(t.Context(), failed, searchCriteria{PageSize: 400, CurrentPage: page + 1})
		require.NoError(t, err)
		require.True(t, whole)
		require.EqualValues(t, 8333, out.TotalCount, "of the counts")
		for _, s := range out.Items {
			ids = append(ids, s.SyncID)
		}
	}
	for i, id := range ids {
		require.EqualValues(t, 24999-3*i, id)
	}
	require.Len(t, ids, 1200)

	since := syncs.Filter{UpdatedSince: time.Date(2024, 1, 15, 6, 50, 0, 0, time.UTC)} // 24600 s
	out, _, err := h.search(t.Context(), since, searchCriteria{PageSize: 10, CurrentPage: 1})
	require.NoError(t, err)
	require.EqualValues(t, 401, out.TotalCount, "counted behind the page")
	out, whole, err := h.search(t.Context(), since, searchCriteria{PageSize: 300, CurrentPage: 2})
	require.NoError(t, err)
	require.True(t, whole)
	require.EqualValues(t, 401, out.TotalCount, "counted")
	require.Len(t, out.Items, 101)
	out, whole, err = h.search(t.Context(), since, searchCriteria{PageSize: 300, CurrentPage: 9})
	require.NoError(t, err)
	require.True(t, whole)
	require.Empty(t, out.Items)

	rare := syncs.Filter{AttemptsFrom: 7, Sort: syncs.ByUpdate}
	_, whole, err = h.search(t.Context(), rare, searchCriteria{PageSize: 1, CurrentPage: 1})
	require.NoError(t, err)
	require.False(t, whole, "the one is the last of 25,000")
	out, _, err = h.search(t.Context(), syncs.Filter{AttemptsTo: 3}, searchCriteria{PageSize: 1, CurrentPage: 1})
	require.NoError(t, err)
	require.EqualValues(t, maxFound, out.TotalCount, "as far as it counts")
}
