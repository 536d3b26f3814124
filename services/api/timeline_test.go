package api

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
)

func (c *caller) askTimeline(pathAndQuery string) (part timelinePart) {
	c.t.Helper()
	status, body := c.Do(problemtest.Request{Method: http.MethodGet, Path: "/rest/V1/erpconnector/timeline/" + pathAndQuery})
	if status == http.StatusOK {
		require.NoError(c.t, json.Unmarshal(body, &part))
	}
	return part
}

// told writes one line of the timeline, as the projector does: what is not there is empty text, not null.
func (c *caller) told(syncID int64, at time.Time, topic string, offset int64, v domain.Version, status domain.Status, attempts int, httpStatus *int, code string, text *string, cause string) {
	c.t.Helper()
	_, err := c.pool.Exec(c.t.Context(), `
		INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts, http_status, error_code, error, cause)
		VALUES ($1, $2, 3, $3, $4, $5, $2, $6, $7, $8, $9, $10, $11)`,
		at, topic, offset, syncID, int64(v), status, attempts, httpStatus, code, text, cause)
	require.NoError(c.t, err)
}

// twoAttempts is an order whose first call failed and whose second one succeeded, and another order's fact between them.
// The facts of an attempt fall into one millisecond: only their versions tell their order.
func (c *caller) twoAttempts() {
	c.t.Helper()
	c.accepted(open(order, 1))
	first, second := requested.Add(123*time.Millisecond), attempted
	attempt := func(n int, p domain.Phase) domain.Version { return domain.AttemptVersion(1, n, p) }
	c.told(1, second, event.TopicSuccess, 40, attempt(2, domain.PhaseTerminal), domain.Success, 2, nil, "", nil, "answer")
	c.told(1, second, event.TopicAfterSend, 31, attempt(2, domain.PhaseAfter), domain.InProgress, 2, new(200), "", nil, "")
	c.told(1, second, event.TopicBeforeSend, 21, attempt(2, domain.PhaseBefore), domain.InProgress, 2, nil, "", nil, "")
	c.told(1, first, event.TopicAfterSend, 30, attempt(1, domain.PhaseAfter), domain.Queued, 1, new(503), "erp_unavailable", new("HTTP 503: try <again> later"), "")
	c.told(1, first, event.TopicBeforeSend, 20, attempt(1, domain.PhaseBefore), domain.InProgress, 1, nil, "", nil, "")
	c.told(1, requested, event.TopicRequested, 10, domain.RequestVersion(1, 0), domain.Queued, 0, nil, "", nil, "invoice")
	c.told(2, requested, event.TopicRequested, 11, domain.RequestVersion(1, 0), domain.Queued, 0, nil, "", nil, "invoice")
}

func TestTimelineGolden(t *testing.T) {
	t.Parallel()
	tests := map[string]func(c *caller){
		"timeline_of_two_attempts": func(c *caller) {
			c.twoAttempts()
			c.Whole = true
			c.askTimeline("000000123")
		},
		"timeline_by_pages": func(c *caller) {
			c.twoAttempts()
			c.accepted(open(domain.OrderRef{Source: "shop-b", IncrementID: order.IncrementID}, 2))
			c.askTimeline("000000123?limit=2")
			c.Note("the last page")
			c.askTimeline("000000123?limit=1&cursor=1705314600000000.285212690.vendor_erp_sync_after_send.3.31")
			c.askTimeline("000000123?source=shop-b")
		},
		"timeline_of_an_order_with_warnings": func(c *caller) {
			c.accepted(open(order, 1))
			c.told(1, requested, event.TopicRequested, 10, domain.RequestVersion(1, 0), domain.Queued, 0, nil, "", nil, "invoice")
			_, err := c.pool.Exec(c.t.Context(), `UPDATE vendor_erp_sync_event SET
				warnings = E'/order/items/0/price is missing\nthe totals add up to 2, but grand_total is 1', not_sent = '/order/items/1 is part of /order/items/0'`)
			require.NoError(c.t, err)
			c.Whole = true
			c.askTimeline("000000123")
		},
		"timeline_that_was_deleted": func(c *caller) {
			c.twoAttempts()
			_, err := c.pool.Exec(c.t.Context(), `WITH gone AS (DELETE FROM vendor_erp_sync_event) INSERT INTO erp_timeline_floor (before) VALUES ($1)`, requested.AddDate(0, 1, 0))
			require.NoError(c.t, err)
			c.askTimeline("000000123")
		},
		"timeline_of_orders_without_one": func(c *caller) {
			c.askTimeline("000000123")
			c.Note("placed, but never invoiced")
			c.accepted(domain.Gate{Ref: order, State: domain.GateNone, UpdatedAt: requested})
			c.askTimeline("000000123")
			c.Note("accepted a moment ago")
			c.accepted(open(domain.OrderRef{Source: "default", IncrementID: "A/1"}, 1))
			c.askTimeline("A%2F1")
		},
		"timeline_queries_that_cannot_be": func(c *caller) {
			c.askTimeline("000000123?source=Shop%20B")
			c.askTimeline("000000123?limit=501&cursor=last")
			c.askTimeline("000000123?limit=0&cursor=1.2.SELECT.3.4")
			c.askTimeline("000000123?cursor=9223372036854775807.2.a.3.4")
		},
	}
	for name, story := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(setup(t, name))
		})
	}
}

// Pages of any size, one after the other, hold each fact once, in the order of the whole.
func TestTimelinePagesAreTheWhole(t *testing.T) {
	t.Parallel()
	c := setup(t, "timeline_of_two_attempts")
	c.twoAttempts()
	c.Whole = true
	whole := c.askTimeline("000000123").Events
	var types []string
	for _, e := range whole {
		types = append(types, e.Type)
	}
	require.Equal(t, []string{
		event.TopicRequested, event.TopicBeforeSend, event.TopicAfterSend, event.TopicBeforeSend, event.TopicAfterSend, event.TopicSuccess,
	}, types)
	pages := &caller{Recorder: problemtest.New(t, "timeline_page_by_page", serve(t, c.pool)), t: t, pool: c.pool}
	var got []timelineFact
	path := "000000123?limit=1"
	for range len(whole) {
		part := pages.askTimeline(path)
		require.Len(t, part.Events, 1)
		got = append(got, part.Events...)
		if part.Next == nil {
			break
		}
		path = "000000123?limit=1&cursor=" + *part.Next
	}
	require.Equal(t, whole, got)
}
