package repair

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// lostState is an event that was accepted at a minute, with the order as it was at an hour.
type lostState struct {
	accepted int
	updated  int // 0: the order does not say
	ofType   event.Type
}

func (l lostState) record(n int) *kgo.Record {
	updated := ""
	if l.updated > 0 {
		updated = fmt.Sprintf(`, "updated_at": "2024-01-15 %02d:00:00"`, l.updated)
	}
	return &kgo.Record{
		Key:     []byte("1"),
		Value:   fmt.Appendf(nil, `{"event_id":"e%d","type":%q,"order":{"order_increment_id":"1","currency":"%d"%s}}`, n, l.ofType, n, updated),
		Headers: []kgo.RecordHeader{{Key: event.HeaderTime, Value: fmt.Appendf(nil, "2024-01-16T10:%02d:00Z", l.accepted)}},
	}
}

// Seen: a repair kept the state that was accepted last, though a newer one was known, and forgot what type an event was.
func TestARepairKeepsTheNewestState(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stored string // when it was accepted, as a minute, and the state's hour
		lost   []lostState
		newest string
		at     string
	}{
		"an_older_one_came_last":        {"", []lostState{{1, 12, event.OrderPlaced}, {2, 11, event.OrderUpdated}}, "0", "12:00"},
		"a_newer_one_came_last":         {"", []lostState{{1, 11, event.OrderPlaced}, {2, 12, event.OrderUpdated}}, "1", "12:00"},
		"one_without_a_time_came_last":  {"", []lostState{{1, 12, event.OrderPlaced}, {2, 0, event.OrderUpdated}}, "1", "12:00"},
		"a_newer_one_is_stored":         {"00 12", []lostState{{1, 11, event.OrderUpdated}}, "stored", "12:00"},
		"an_older_one_is_stored":        {"00 10", []lostState{{1, 11, event.OrderUpdated}}, "0", "11:00"},
		"an_older_one_was_stored_since": {"30 10", []lostState{{1, 11, event.OrderUpdated}}, "0", "11:00"},
		"a_newer_one_was_stored_since":  {"30 12", []lostState{{1, 11, event.OrderUpdated}}, "stored", "12:00"},
		"an_equal_one_was_stored_since": {"30 11", []lostState{{1, 11, event.OrderUpdated}}, "stored", "11:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := testkit.Postgres(t).Pool
			if c.stored != "" {
				_, err := pool.Exec(t.Context(), `INSERT INTO sales_order (order_key, source, increment_id, order_id, snapshot, created_at, updated_at)
					VALUES ('1', 'default', '1', 7, $1, now(), $2::timestamptz)`,
					`{"currency": "stored", "updated_at": "2024-01-15 `+c.stored[3:]+`:00:00"}`, `2024-01-16 10:`+c.stored[:2]+`:00Z`)
				require.NoError(t, err)
			}
			var records []*kgo.Record
			for n, l := range c.lost {
				records = append(records, l.record(n))
			}
			require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				ref := domain.OrderRef{Source: domain.DefaultSource, IncrementID: "1"}
				gates, err := gate.Lock(t.Context(), tx, []domain.OrderRef{ref}, time.Now())
				if err != nil {
					return err
				}
				b := batch{r: &repairer{}, tx: tx, topic: event.TopicSalesOrder, gates: gates, now: time.Now()}
				return b.restoreEvents(t.Context(), records)
			}))
			var newest, at, types string
			require.NoError(t, pool.QueryRow(t.Context(), `SELECT snapshot ->> 'currency', to_char(snapshot_at AT TIME ZONE 'UTC', 'HH24:MI'),
				(SELECT string_agg(type, ' ' ORDER BY event_id) FROM accepted_event) FROM sales_order`).Scan(&newest, &at, &types))
			require.Equal(t, []string{c.newest, c.at}, []string{newest, at})
			var want string
			for _, l := range c.lost {
				want += " " + string(l.ofType)
			}
			require.Equal(t, want[1:], types)
			if c.stored != "" {
				var orderID int64
				require.NoError(t, pool.QueryRow(t.Context(), `SELECT order_id FROM sales_order`).Scan(&orderID))
				require.EqualValues(t, 7, orderID, "it stays known")
			}
		})
	}
}
