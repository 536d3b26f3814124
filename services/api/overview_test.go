package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/history"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// readOverview asks for the overview, and returns it with the answer's status.
func readOverview(t *testing.T, h http.Handler, query string) (out overview, status int) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, httpapi.BasePath+"/syncs/overview"+query, nil))
	if w.Code == http.StatusOK {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	}
	return out, w.Code
}

func TestTheOverviewOfEachRange(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h, tally, now := serve(t, pool), make(history.Tally), time.Now()
	for i, age := range []time.Duration{time.Minute, 3 * time.Hour, 3 * 24 * time.Hour, 9 * 24 * time.Hour} {
		at := now.Add(-age)
		s := domain.Sync{Source: []string{"default", "outlet"}[i%2], Generation: 1, Version: domain.RequestVersion(1, 0), CreatedAt: at.Add(-time.Second)}
		tally.Add(history.Fact{Topic: event.TopicRequested, Sync: s, Time: at}, now)
		tally.Add(history.Fact{Topic: event.TopicSuccess, Sync: s, Time: at}, now)
		tally.Add(history.Fact{Topic: event.TopicAfterSend, Sync: domain.Sync{Source: s.Source, ErrorCode: domain.ErrorTimeout}, Time: at, Took: new(time.Second)}, now)
	}
	text, err := tally.JSON()
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), history.InsertInto(history.Table, 1), text)
	require.NoError(t, err)
	for query, want := range map[string]struct {
		points, step int
		accepted     int32
	}{
		"":                           {60, 60, 1},
		"?range=hour&source=outlet":  {60, 60, 0},
		"?range=day":                 {144, 600, 2},
		"?range=day&source=outlet":   {144, 600, 1},
		"?range=week":                {168, 3600, 3},
		"?range=week&source=default": {168, 3600, 2},
	} {
		out, status := readOverview(t, h, query)
		require.Equal(t, http.StatusOK, status, query)
		require.Len(t, out.Points, want.points, query)
		require.Equal(t, want.step, out.StepSeconds, query)
		require.Equal(t, []int32{want.accepted, want.accepted, want.accepted}, []int32{out.Total.Accepted, out.Total.Succeeded, out.Total.Attempts}, query)
		require.EqualValues(t, want.accepted, out.Total.OrderMS.Count, query)
		if want.accepted == 0 {
			require.Nil(t, out.Total.SuccessRate)
			require.Nil(t, out.Total.CallMS.P95)
			continue
		}
		require.Equal(t, map[string]int32{"timeout": want.accepted}, out.Total.AttemptErrors)
		require.InDelta(t, 1000, *out.Total.CallMS.P50, 420)
	}
	for _, query := range []string{"?range=year", "?range=", "?source=Shop%20B", "?limit=1"} {
		_, status := readOverview(t, h, query)
		require.Equal(t, http.StatusBadRequest, status, query)
	}
}

// A span that has only begun has no rates: after a second, one order would be sixty a minute.
func TestASpanThatHasOnlyBegunHasNoRates(t *testing.T) {
	t.Parallel()
	require.Nil(t, flowOf(history.Counts{Accepted: 1}, leastElapsed-time.Millisecond).AcceptedPerMinute)
	require.InDelta(t, 3, *flowOf(history.Counts{Accepted: 1}, leastElapsed).AcceptedPerMinute, 1e-9)
}

// What waits is told by stage: an error says that an order was tried, and an open gate without a row that nobody has read it yet.
func TestTheOverviewTellsTheStages(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h := serve(t, pool)
	c := &caller{t: t, pool: pool}
	c.listed()
	c.accepted(open(domain.OrderRef{Source: "outlet", IncrementID: "000000200"}, 77))
	for query, want := range map[string]map[history.Stage]int64{
		"":                {history.Failed: 2, history.Retry: 1, history.Outbox: 1},
		"?source=outlet":  {history.Failed: 1, history.Outbox: 1},
		"?source=default": {history.Failed: 1, history.Retry: 1},
	} {
		out, status := readOverview(t, h, query)
		require.Equal(t, http.StatusOK, status)
		require.Len(t, out.Backlog, len(history.Stages))
		for _, b := range out.Backlog {
			require.Equal(t, want[history.Stage(b.Stage)], b.Orders, "%s %s", query, b.Stage)
			require.Equal(t, b.Orders > 0, b.Oldest != nil, "%s %s", query, b.Stage)
		}
	}
}
