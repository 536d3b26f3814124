package commerce

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// The one rule that may fail a shop's transaction: an event has an id, a type and an order. The message says what to give.
func TestAnEventWithoutIDTypeOrOrderIsIncomplete(t *testing.T) {
	t.Parallel()
	const (
		noID    = "it has no event_id: give an id that stays the same when it is published again"
		noType  = `event "e1" has no type: give order.placed, order.updated or invoice.created`
		noOrder = `event "e1" has no order: give order, or invoice.order_increment_id when the order was published before`
	)
	for body, want := range map[string]string{
		`{"type": "order.placed", "order": {}}`:                                    noID,
		`{"event_id": "", "type": "order.placed", "order": {}}`:                    noID,
		`{"event_id": null, "type": "order.placed", "order": {}}`:                  noID,
		`{"event_id": "e1", "order": {}}`:                                          noType,
		`{"event_id": "e1", "type": "", "order": {}}`:                              noType,
		`{"event_id": "e1", "type": "order.placed"}`:                               noOrder,
		`{"event_id": "e1", "type": "order.placed", "order": null}`:                noOrder,
		`{"event_id": "e1", "type": "invoice.created", "invoice": {}}`:             noOrder,
		`{"event_id": "e1", "type": "invoice.created", "invoice": [1]}`:            noOrder,
		`{"event_id": "e1", "type": "t", "invoice": {"order_increment_id": ""}}`:   noOrder,
		`{"event_id": "e1", "type": "t", "invoice": {"order_increment_id": null}}`: noOrder,
		`null`: noID,
		`[]`:   "it is not a JSON object",
		`{`:    "it is not a JSON object",
		``:     "it is not a JSON object",
	} {
		_, err := Event{JSON: json.RawMessage(body)}.row()
		require.ErrorIs(t, err, ErrIncomplete, body)
		require.ErrorContains(t, err, want, body)
	}
}

// Whatever else is wrong is for the quarantine: the shop's transaction goes on.
func TestWhatIsWrongOtherwiseIsPublished(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"event_id": 17, "type": {}, "order": [1]}`,
		`{"event_id": "e1", "type": "order.deleted", "order": {"items": "none"}}`,
		`{"event_id": "e1", "type": "t", "invoice": {"order_increment_id": "1"}}`,
		`{"event_id": "e1", "type": "t", "order": {}, "source": {"a": 1}, "nobody knows": 1}`,
	} {
		r, err := Event{JSON: json.RawMessage(body)}.row()
		require.NoError(t, err, body)
		require.Equal(t, body, string(r.payload), "byte for byte")
	}
}

// The column source makes the drainer fair between shops. A text with a comma would shift the rows of the statement.
func TestTheSourceOfARow(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		``:                      "default",
		`"source": null,`:       "default",
		`"source": "",`:         "default",
		`"source": "outlet.2",`: "outlet.2",
		`"source": "a,b",`:      "",
		`"source": "Outlet",`:   "",
		`"source": 5,`:          "",
		`"source": {"a": 1},`:   "",
	} {
		r, err := Event{JSON: json.RawMessage(`{` + given + `"event_id": "e1", "type": "order.placed", "order": {}}`)}.row()
		require.NoError(t, err, given)
		require.Equal(t, want, r.source, given)
	}
}

// A traceparent that no trace can go on from is left out; it fails no shop.
func TestTheTraceOfARow(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		trace: trace, "": "", "no trace": "", trace + ",": "",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": "",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": "",
	} {
		r, err := Event{JSON: json.RawMessage(`{"event_id": "e1", "type": "t", "order": {}}`), Traceparent: given}.row()
		require.NoError(t, err)
		require.Equal(t, want, r.traceparent, given)
	}
}

func TestATypedEventAsJSON(t *testing.T) {
	t.Parallel()
	r, err := Event{
		ID: "e<1>", Type: InvoiceCreated, Source: "outlet", OccurredAt: time.Date(2024, 1, 15, 11, 30, 0, 123_000_000, time.FixedZone("CET", 3600)),
		Invoice: &Invoice{IncrementID: "000000045", OrderIncrementID: "000000123"},
	}.row()
	require.NoError(t, err)
	require.Contains(t, string(r.payload), "e<1>", "HTML's signs are not escaped")
	require.JSONEq(t, `{"event_id":"e<1>","type":"invoice.created","source":"outlet","occurred_at":"2024-01-15T10:30:00.123Z",
		"invoice":{"increment_id":"000000045","order_increment_id":"000000123"}}`, string(r.payload))
}

// An amount keeps its digits, and one that is left out is missing: it must not become a 0.
func TestTheAmountsOfATypedEvent(t *testing.T) {
	t.Parallel()
	price, err := ParseAmount("99.90")
	require.NoError(t, err)
	r, err := Event{ID: "e1", Type: OrderPlaced, Order: &Order{Items: []Item{{SKU: "A & B", Price: price}}}}.row()
	require.NoError(t, err)
	var e struct {
		Order struct {
			Items  []map[string]json.RawMessage `json:"items"`
			Totals map[string]json.RawMessage   `json:"totals"`
		} `json:"order"`
	}
	require.NoError(t, json.Unmarshal(r.payload, &e))
	require.Equal(t, []string{`"A & B"`, "99.90"}, []string{string(e.Order.Items[0]["sku"]), string(e.Order.Items[0]["price"])})
	require.NotContains(t, e.Order.Items[0], "qty")
	require.Empty(t, e.Order.Totals)
	_, err = ParseAmount("1,5")
	require.Error(t, err)
}

// With JSON the fields are not looked at.
func TestJSONGoesBeforeTheFields(t *testing.T) {
	t.Parallel()
	const body = `{"event_id": "of JSON", "type": "order.placed", "order": {}}`
	r, err := Event{ID: "of a field", Source: "outlet", JSON: json.RawMessage(body)}.row()
	require.NoError(t, err)
	require.Equal(t, row{source: "default", payload: []byte(body)}, r)
	_, err = Event{ID: "e1", Type: OrderPlaced, Order: &Order{}, JSON: json.RawMessage{}}.row()
	require.ErrorIs(t, err, ErrIncomplete, "empty JSON is JSON that says nothing")
}

// What the typed form writes, every event of it that is complete, is read back as it was.
func TestTypedTextsAreKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id, number := rapid.StringN(1, 20, 60).Draw(t, "id"), rapid.StringN(1, 20, 60).Draw(t, "number")
		r, err := Event{ID: id, Type: OrderUpdated, Order: &Order{IncrementID: number}}.row()
		require.NoError(t, err)
		var back struct {
			EventID string `json:"event_id"`
			Order   struct {
				Number string `json:"order_increment_id"`
			} `json:"order"`
		}
		require.NoError(t, json.Unmarshal(r.payload, &back))
		require.Equal(t, []string{id, number}, []string{back.EventID, back.Order.Number})
	})
}
