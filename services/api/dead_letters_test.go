package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
)

// letters are what the projector has listed: the request of an order, which has stopped it, and a record of nobody's.
func (c *caller) letters() {
	c.t.Helper()
	c.accepted(open(order, 1))
	generation := 1
	require.NoError(c.t, pgx.BeginFunc(c.t.Context(), c.pool, func(tx pgx.Tx) error {
		err := deadletter.Add(c.t.Context(), tx, []deadletter.Letter{
			{
				ID: 7, WrittenAt: attempted, By: deadletter.BySyncer, Topic: event.TopicRequested, Partition: 3, Offset: 17, OrderKey: order.Key(),
				CeID: "000000123/268435456/vendor_erp_sync_requested", RecordAt: &requested, Bytes: 812, Reason: "decoding the record's value: unexpected end of JSON input",
			},
			{ID: 9, WrittenAt: attempted.Add(time.Second), By: "warehouse", Topic: event.TopicSuccess, Offset: 4, OrderKey: "\x1b[2J/", Reason: "no such product"},
		}, deadletter.ToJudge)
		if err != nil {
			return err
		}
		_, err = deadletter.Judged(c.t.Context(), tx, 7, &generation)
		return err
	}))
}

func (c *caller) get(path string) {
	c.t.Helper()
	c.Do(problemtest.Request{Method: http.MethodGet, Path: "/rest/V1/erpconnector/" + path})
}

func TestDeadLettersGolden(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(c *caller){
		"dead_letters": func(c *caller) {
			c.letters()
			c.get("dead-letters")
			c.Note("page by page")
			c.get("dead-letters?limit=1")
			c.get("dead-letters?limit=1&cursor=7&state=all")
			c.get("dead-letters?order=000000123&source=shop-b")
			c.Note("by words")
			c.get("dead-letters?source=default&topic=vendor_erp_sync_requested&cause=JSON&since=2024-01-15&until=2024-01-16")
			c.get("dead-letters?since=2024-01-16")
		},
		"dead_letters_by_words": func(c *caller) {
			c.letters()
			c.Note("a preview")
			c.post("dead-letters/redrive", `{"since": "2024-01-15", "dry_run": true}`)
			c.post("dead-letters/discard", `{"since": "2024-01-15", "limit": 1, "dry_run": true}`)
			c.post("dead-letters/discard", `{"since": "2024-01-15", "cursor": "7", "dry_run": true}`)
			c.post("dead-letters/discard", `{"since": "2024-01-15", "cursor": "next", "dry_run": true}`)
			c.Note("what cannot be taken")
			c.post("dead-letters/redrive", `{"reason": "why"}`)
			c.post("dead-letters/redrive", `{"topic": "vendor_erp_sync_requested", "source": "", "since": "today", "limit": 501, "state": "all"}`)
			c.post("dead-letters/redrive", `{"topic": "vendor_erp_sync_requested", "source": "", "since": "today", "limit": 501}`)
			c.post("dead-letters/discard", `{"topic": "vendor_erp_sync_requested", "force": true}`)
			c.Note("what nobody could read is refused, the others are not")
			c.post("dead-letters/redrive", `{"topic": "vendor_erp_sync_success", "reason": "why"}`)
		},
		"dead_letters_that_cannot_be": func(c *caller) {
			c.letters()
			c.get("dead-letters?state=lost&limit=0&cursor=next&order=1&source=Shop%20B")
			c.get("dead-letters/8")
			c.get("dead-letters/seven")
			c.get("dead-letters/8/value")
			c.post("dead-letters/7/discard", `{}`)
			c.post("dead-letters/7/redrive", `reason`)
			c.post("dead-letters/8/discard", `{"reason": "why"}`)
			c.post("dead-letters/9/redrive", `{"reason": "why"}`)
			c.post("dead-letters/7/redrive", `{"reason": "why", "force": "yes"}`)
			c.post("dead-letters/7/discard", `{"reason": "why", "force": true}`)
			c.Note("what would be passed over, or cannot be kept")
			c.get("dead-letters?sourec=shop-b&order=1&order=2")
			c.get("dead-letters?source=&since=today&until=2024-01-15T10:00")
			c.get("dead-letters/7?source=shop-b")
			c.post("dead-letters/7/discard?reason=why", `{"reason": "why"}`)
			c.post("dead-letters/7/discard", `{"Reason": "why", "raeson": "why", "id": 8}`)
			c.post("dead-letters/7/discard", `{"reason": "a\u0000b"}`)
			c.post("dead-letters/7/discard", `{"reason": "a\u001b[2Jb"}`)
			c.post("dead-letters/7/discard", `{"reason": "`+strings.Repeat("x", 501)+`"}`)
		},
		"dead_letters_postgres_away": func(c *caller) {
			c.pool.Close()
			c.get("dead-letters")
			c.post("dead-letters/7/discard", `{"reason": "why"}`)
		},
		"an_order_that_a_dead_letter_stopped_a_moment_ago": func(c *caller) {
			stopped, ok := open(order, 1).SetAside(domain.DeadLetter{Version: domain.RequestVersion(1, 0), At: requested}, 0, attempted)
			require.True(c.t, ok)
			c.accepted(stopped)
			c.ask("000000123")
			c.post("sync-order?wait=0", `{"orderIncrementId": "000000123"}`)
			c.post("cancel-order", `{"orderIncrementId": "000000123", "reason": "why"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(setup(t, name))
		})
	}
}
