package accept

import (
	"bytes"
	"fmt"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// isOld answers an event whose id was accepted before. It is a duplicate, or a conflict when the first was about another order or of
// another type: called a duplicate, it would look accepted to the shop, and never arrive.
func (t *transaction) isOld(it *item, seen map[eventKey]known) bool {
	first, again := seen[eventKey{it.event.Source, it.event.EventID}]
	switch {
	case !again:
		return false
	case first.orderKey != it.key || (first.ofType != "" && first.ofType != it.event.Type):
		conflict(it, "/event_id", "was accepted before for order %s%s, and comes now for order %s (%s): give each event an id of its own",
			incrementID(first.orderKey), inBrackets(first.ofType), it.ref.IncrementID, it.event.Type)
	default:
		t.answer(it, Duplicate)
		it.result.Differs = !bytes.Equal(first.digest, it.digest[:])
	}
	return true
}

// isUnfit answers an event that contradicts what is known of its order.
func (t *transaction) isUnfit(it *item) bool {
	stored := t.snapshots[it.key]
	switch {
	case it.order == nil && stored == nil:
		*it.result = notTaken(it, Refused, wrong("/invoice/order_increment_id", problem.CodeNotKnown,
			"order %s is not known yet: send the invoice with its order, or an order.placed event first", it.ref.IncrementID))
		it.result.UnknownOrder = it.key
	case it.order != nil && it.order.OrderID != nil && stored != nil && stored.orderID != nil && *stored.orderID != *it.order.OrderID:
		conflict(it, "/order/order_id", "is %d, but order %s is known with order_id %d: two orders cannot share a number; give the other one a number, or a source, of its own",
			*it.order.OrderID, it.ref.IncrementID, *stored.orderID)
	default:
		return false
	}
	return true
}

func conflict(it *item, pointer, format string, args ...any) {
	*it.result = notTaken(it, Conflict, wrong(pointer, problem.CodeContradicts, format, args...))
}

// notTaken is a result with its reason. Such an event changes nothing: not even its id is kept.
func notTaken(it *item, v Verdict, why problem.FieldError) Result {
	return Result{
		Result: v, EventID: it.event.EventID, Source: it.ref.Source, OrderIncrementID: it.ref.IncrementID, Errors: []problem.FieldError{why},
		claims: claims{eventID: it.event.EventID, source: it.ref.Source, order: it.ref.IncrementID},
	}
}

// incrementID is the number of the order with this key.
func incrementID(key string) string {
	if ref, err := domain.ParseKey(key); err == nil {
		return ref.IncrementID
	}
	return key
}

func inBrackets(t event.Type) string {
	if t == "" {
		return ""
	}
	return fmt.Sprintf(" (%s)", t)
}
