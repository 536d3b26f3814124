package accept

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Seen: an invoice, or a changed order, was answered 202 success though nothing more was to be sent. Whatever events come of
// an order: the newest state before its request is sent, and each state that is not sent, and replaced by no later one, says so.
func TestEachStateThatIsNotSentSaysSo(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	atOnce, forTheCron := setupOn(t, pool, nil), setupOn(t, pool, func(s *setting.Settings) { s.ImmediateSync = false })
	rapid.Check(t, func(rt *rapid.T) {
		b, held := atOnce, rapid.Bool().Draw(rt, "held")
		if held {
			b = forTheCron
		}
		_, err := pool.Exec(context.Background(), `DELETE FROM accepted_event; DELETE FROM sales_order; DELETE FROM erp_sync_gate; DELETE FROM erp_outbox`)
		require.NoError(rt, err)
		events, types := drawStates(t, rt)
		var results []Result
		for n := 0; n < len(events); n = len(results) {
			some := rapid.IntRange(1, len(events)-n).Draw(rt, "batch")
			results = append(results, b.accept(t, events[n:n+some]...)...)
		}
		newest, requested, sent := 0, false, ""
		for i, r := range results {
			require.Equal(rt, Accepted, r.Result)
			invoice := types[i] == event.InvoiceCreated
			require.Equal(rt, requested && (invoice || !held), r.AlreadyRequested, "event %d", i)
			require.Equal(rt, r.AlreadyRequested, r.Note != "")
			if !r.Older {
				newest = i
			}
			if invoice && !requested {
				requested, sent = true, fmt.Sprint(newest)
			}
		}
		require.Equal(rt, []string{fmt.Sprint(newest)}, b.strings(t, `SELECT snapshot ->> 'currency' FROM sales_order`), "what a release or a resync sends")
		want := []string{}
		if requested {
			want = []string{sent}
		}
		require.Equal(rt, want, b.strings(t, `SELECT convert_from(payload, 'utf8')::json -> 'order' ->> 'currency' FROM erp_outbox WHERE topic = $1`, event.TopicRequested))
	})
}

// drawStates are events of one order; the currency tells their states apart.
func drawStates(t *testing.T, rt *rapid.T) (events []Incoming, types []event.Type) {
	t.Helper()
	for i := range rapid.IntRange(1, 6).Draw(rt, "events") {
		ofType := rapid.SampledFrom([]event.Type{event.OrderPlaced, event.OrderUpdated, event.InvoiceCreated}).Draw(rt, "type")
		at := state{updatedAt: rapid.SampledFrom([]string{"", ten, eleven, twelve}).Draw(rt, "updated_at")}
		events, types = append(events, at.event(t, fmt.Sprint("e", i), ofType, fmt.Sprint(i))), append(types, ofType)
	}
	return events, types
}
