package mockerp

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// model is what the book must hold, told in the shortest way.
type model struct {
	bodies map[string]string          // by key
	keys   map[string]map[string]bool // by source and order
	want   Stats
}

// call is the status that a call must get.
func (m *model) call(key, order, body string) int {
	m.want.Calls++
	if booked, known := m.bodies[key]; known {
		if booked == body {
			return http.StatusOK
		}
		return http.StatusConflict
	}
	m.bodies[key] = body
	if m.keys[order] == nil {
		m.keys[order] = map[string]bool{}
	}
	m.keys[order][key] = true
	m.want.Bookings++
	if len(m.keys[order]) > 1 {
		m.want.Doubles++
	}
	return http.StatusCreated
}

func send(e *ERP, key string, body []byte) (status int, reply string) {
	req := httptest.NewRequest(http.MethodPost, "/orders/sync", strings.NewReader(string(body)))
	req.Header.Set("X-Idempotency-Key", key)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// The demo and the tests call an order doubled when this book says so. So the book must be right.
func TestTheBookCountsKeysAndDoublesAsAModelDoes(t *testing.T) {
	t.Parallel()
	bodies := map[string][]byte{}
	for _, id := range []string{"1", "2"} {
		bodies[id] = order(t, id)
		bodies[id+" changed"] = []byte(strings.Replace(string(order(t, id)), "Flat 2", "Flat 3", 1))
		require.NotEqual(t, string(bodies[id]), string(bodies[id+" changed"]))
	}
	rapid.Check(t, func(t *rapid.T) {
		e, m := New(Options{}), model{bodies: map[string]string{}, keys: map[string]map[string]bool{}}
		references := map[string]string{}
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			key := "ERP_" + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
			id := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "order")
			body := bodies[id+rapid.SampledFrom([]string{"", " changed"}).Draw(t, "body")]
			want := m.call(key, id, string(body))
			status, said := send(e, key, body)
			require.Equal(t, want, status)
			if status != http.StatusConflict {
				require.Equal(t, cmp.Or(references[key], said), said, "a key keeps its reference")
				references[key] = said
			}
		}
		require.Equal(t, m.want, e.Stats())
	})
}

// Each fault of the list hits the calls it is for, in its turn and as often as it says; all others are booked.
func TestFaultsHitAsAModelSays(t *testing.T) {
	t.Parallel()
	sources, orders := []string{"", "default", "shop-b"}, []string{"", "*", "1", "2"}
	payloads := map[string][]byte{}
	for _, source := range sources[1:] {
		for _, id := range orders[2:] {
			payloads[source+id] = payloadOf(t, domain.OrderRef{Source: source, IncrementID: id}, `{"order_id": 1, "customer_email": "a@example.com",
				"items": [{"sku": "A", "name": "A", "qty": 1, "price": 1, "row_total": 1}],
				"totals": {"subtotal": 1, "tax": 0, "shipping": 0, "discount": 0, "grand_total": 1},
				"billing_address": {"firstname": "A"}, "created_at": "2024-01-15T10:00:00Z"}`)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		e := New(Options{})
		var faults []Fault
		for i := range rapid.IntRange(0, 4).Draw(t, "faults") {
			faults = append(faults, Fault{
				Source: rapid.SampledFrom(sources).Draw(t, "source"), Order: rapid.SampledFrom(orders).Draw(t, "order"),
				Times: rapid.IntRange(0, 2).Draw(t, "times"), Status: 500 + i,
			})
		}
		e.Fail(faults...)
		left := make([]int, len(faults))
		for i, f := range faults {
			left[i] = cmp.Or(f.Times, 1000)
		}
		for n := range 10 {
			source, id := rapid.SampledFrom(sources[1:]).Draw(t, "of"), rapid.SampledFrom(orders[2:]).Draw(t, "id")
			want := http.StatusCreated
			for i, f := range faults {
				if left[i] > 0 && (f.Source == "" || f.Source == source) && (f.Order == "" || f.Order == "*" || f.Order == id) {
					left[i]--
					want = f.Status
					break
				}
			}
			status, _ := send(e, "ERP_"+strconv.Itoa(n), payloads[source+id])
			require.Equal(t, want, status, "call %d of %s/%s, faults %+v", n, source, id, faults)
		}
	})
}

// The book outlives the calls: a key that was booked before they were forgotten is booked once all the same.
func TestOldCallsAreForgottenAndTheBookIsNot(t *testing.T) {
	t.Parallel()
	e, body := New(Options{}), order(t, "1")
	for range keepCalls + 1 {
		send(e, "ERP_1", body)
	}
	require.Len(t, e.Calls(""), keepCalls/2+1)
	require.Equal(t, Stats{Calls: keepCalls + 1, Bookings: 1}, e.Stats())
}
