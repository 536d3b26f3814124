package ingest

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Seen: from the commerce outbox the second event under an id simply disappeared. It waits in the quarantine, for an event
// under an id of its own in its place.
func TestAConflictWaitsInTheQuarantine(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	q := s.quarantine()
	s.publish(placed("e1", "1"))
	s.publish(invoice("e1", "2"), replaced(invoice("e2", "1"), `"order_id": 123`, `"order_id": 124`))
	s.becomes("2", `SELECT count(*)::text FROM commerce_quarantine WHERE code = 'conflict'`)
	entries := listed(t, q, quarantine.Filter{Code: "conflict"})
	require.Equal(t, []string{"e1 /event_id", "e2 /order/order_id"}, []string{
		entries[0].EventID + " " + entries[0].Problems[0].Pointer, entries[1].EventID + " " + entries[1].Problems[0].Pointer,
	})
	sent, err := q.Send(t.Context(), []int64{entries[0].ID})
	require.NoError(t, err)
	require.Equal(t, "conflict", string(sent[0].Result.Result), "sent as it is it stays")
	again, err := q.Get(t.Context(), entries[0].ID)
	require.NoError(t, err)
	require.Equal(t, quarantine.Code("conflict"), again.Code)
	require.Equal(t, 2, again.Tries)
	corrected, err := q.SendCorrected(t.Context(), entries[0].ID, json.RawMessage(invoice("e3", "2")))
	require.NoError(t, err)
	require.Equal(t, "accepted", string(corrected.Result.Result), "%+v", corrected)
	require.Equal(t, []string{"e2"}, s.read(inQuarantine))
	require.Equal(t, []string{"2"}, s.read(requests))
}

// What waited in the quarantine while the order went on replaces nothing, and an invoice among it is sent with the newest.
func TestTheQuarantineSendsNoOlderState(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	q := s.quarantine()
	bad := replaced(updatedAt(invoice("late", "1"), "11:00:00"), `"sku": "PROD-001"`, `"sku": ""`)
	s.publish(bad)
	s.becomes("1", `SELECT count(*)::text FROM commerce_quarantine`)
	s.publish(replaced(updatedAt(placed("newer", "1"), "12:00:00"), "EUR", "USD"))
	s.accepted("newer")
	entries := listed(t, q, quarantine.Filter{})
	sent, err := q.SendCorrected(t.Context(), entries[0].ID, json.RawMessage(replaced(bad, `"sku": ""`, `"sku": "PROD-001"`)))
	require.NoError(t, err)
	require.Equal(t, "accepted", string(sent.Result.Result), "%+v", sent)
	require.True(t, sent.Result.Older)
	require.Equal(t, []string{"USD"}, s.read(`SELECT snapshot ->> 'currency' FROM sales_order`))
	require.Equal(t, []string{"USD"}, s.read(
		`SELECT convert_from(payload, 'UTF8')::json -> 'order' ->> 'currency' FROM erp_outbox WHERE topic = 'vendor_erp_sync_requested'`))
}

// The log tells of what contradicts, differs or is older, by ids and places and never by what stands there.
func TestTheLogTellsOfConflicts(t *testing.T) {
	t.Parallel()
	s := newUndrainedShop(t)
	var out bytes.Buffer
	a := accept.New(s.pool, setting.Fixed(setting.Defaults()), slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, e := range []string{
		updatedAt(placed("e1", "1"), "12:00:00"), placed("e1", "2"), replaced(placed("e1", "1"), "john@", "jane@"), updatedAt(placed("e2", "1"), "11:00:00"),
	} {
		_, err := a.Accept(t.Context(), []accept.Incoming{{Body: []byte(e)}})
		require.NoError(t, err)
	}
	var got []string
	for line := range bytes.Lines(out.Bytes()) {
		var l struct {
			Level, Msg       string
			EventID          string `json:"event_id"`
			OrderIncrementID string `json:"order_increment_id"`
			Older            bool
		}
		require.NoError(t, json.Unmarshal(line, &l))
		text := l.Level + " " + l.Msg + " " + l.EventID + " of " + l.OrderIncrementID
		if l.Older {
			text += ", older"
		}
		got = append(got, text)
	}
	require.Equal(t, []string{
		"DEBUG event accepted e1 of 1",
		"WARN event contradicts what was accepted before e1 of 2",
		"DEBUG event accepted e1 of 1",
		"INFO event differs from what was accepted under its id e1 of 1",
		"DEBUG event accepted e2 of 1, older",
	}, got)
	require.NotContains(t, out.String(), "john")
	require.NotContains(t, out.String(), "jane")
}
