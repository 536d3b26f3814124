package accept

import (
	"encoding/json"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// snapshot is what is known of an order, and after keepSnapshot what is to be stored. It is read and written under the gate's lock.
type snapshot struct {
	order   json.RawMessage
	orderID *int64
	at      *time.Time // the newest that is known of the order; see domain.NewestSnapshot
	remarks *domain.Remarks
	stored  bool // there is a row of the order
	changed bool
}

// remarksOn are the remarks on the order as it is sent.
func (s *snapshot) remarksOn() domain.Remarks {
	if s.remarks == nil {
		remarks := domain.RemarksOf(s.order)
		s.remarks = &remarks
	}
	return *s.remarks
}

// keepSnapshot replaces the order's snapshot, unless a newer one is known. A known order_id is never lost.
func (t *transaction) keepSnapshot(it *item) (older bool) {
	if it.order == nil {
		return false
	}
	next := &snapshot{order: it.event.Order, orderID: it.order.OrderID, remarks: &it.remarks, changed: true}
	next.at = domain.SnapshotTime(it.order.UpdatedAt, it.event.OccurredAt, t.now)
	if stored := t.snapshots[it.key]; stored != nil {
		next.stored = stored.stored
		next.at, older = domain.NewestSnapshot(stored.time(t.now), next.at)
		if older {
			next.order, next.remarks = stored.order, stored.remarks
			next.changed = stored.changed || (stored.orderID == nil && next.orderID != nil)
		}
		if next.orderID == nil {
			next.orderID = stored.orderID
		}
	}
	t.snapshots[it.key] = next
	return older
}

// time is the newest time known of the order. A snapshot of a release that did not store times has its own.
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
