package accept

import (
	"encoding/json"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

type snapshot struct {
	order   json.RawMessage
	orderID *int64
	at      *time.Time // the newest that is known of the order; see domain.NewestSnapshot
	changed bool
}

// keepSnapshot replaces the order's snapshot, unless a newer one is known; an order_id once known stays known.
func (t *transaction) keepSnapshot(it *item, key string) (older bool) {
	if it.order == nil {
		return false
	}
	next := &snapshot{order: it.event.Order, orderID: it.order.OrderID, changed: true}
	next.at = domain.SnapshotTime(it.order.UpdatedAt, it.event.OccurredAt, t.now)
	if stored := t.snapshots[key]; stored != nil {
		next.at, older = domain.NewestSnapshot(stored.time(t.now), next.at)
		if older {
			next.order = stored.order
			next.changed = stored.changed || (stored.orderID == nil && next.orderID != nil)
		}
		if next.orderID == nil {
			next.orderID = stored.orderID
		}
	}
	t.snapshots[key] = next
	return older
}

// time is the newest time known of the order. One that was stored before times were kept has its own.
func (s *snapshot) time(now time.Time) *time.Time {
	if s.at != nil || s.changed {
		return s.at
	}
	var order struct {
		UpdatedAt string `json:"updated_at"`
	}
	_ = json.Unmarshal(s.order, &order) // it was checked when it was accepted
	return domain.SnapshotTime(order.UpdatedAt, "", now)
}
