package mockerp

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFaultsOfOneShopSpareTheOthers(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{Source: "shop-b", Status: 500}, Fault{Source: "default", Order: "2", Status: 502})
	ofShopB := bytes.Replace(order(t, "1"), []byte(`{`), []byte(`{"source":"shop-b",`), 1)
	require.Equal(t, 201, c.sync("ERP_1", order(t, "1")).status)
	require.Equal(t, 500, c.sync("ERP_2", ofShopB).status)
	require.Equal(t, 502, c.sync("ERP_3", order(t, "2")).status)
}

func TestAFaultOfASKUIsOfOrdersWithSuchALine(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{SKU: "B7", Status: 422, Says: "no such sku B7"})
	wrong := bytes.Replace(order(t, "1"), []byte(`"PROD-001"`), []byte(`"B7"`), 1)
	require.Equal(t, reply{422, "", `{"code":"FAULT","error":"no such sku B7"}`}, c.sync("ERP_1", wrong))
	require.Equal(t, 201, c.sync("ERP_1", order(t, "1")).status)
	c.fail(Fault{Status: 422, Says: "no", Code: "ORD-17", Field: "items[0].sku"})
	require.Equal(t, reply{422, "", `{"code":"ORD-17","error":"no","field":"items[0].sku"}`}, c.sync("ERP_2", order(t, "2")))
}

func TestFaultsAreTakenBackByLabel(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{Label: "a", Order: "1", Status: 500}, Fault{Label: "b", Order: "2", Status: 500}, Fault{Label: "a", Order: "3", Status: 500}, Fault{Order: "4", Status: 500})
	require.Equal(t, reply{200, "", `{"faults":2}`}, c.plain(http.MethodDelete, "/mockerp/faults?label=a", ""))
	var got []int
	for _, id := range []string{"1", "2", "3", "4"} {
		got = append(got, c.sync("ERP_"+id, order(t, id)).status)
	}
	require.Equal(t, []int{201, 500, 201, 500}, got)
	require.Equal(t, reply{200, "", `{"faults":2}`}, c.plain(http.MethodDelete, "/mockerp/faults", ""), "without a label: all")
	require.Equal(t, Stats{Calls: 4, Bookings: 2, Faults: 2}, c.stats(), "what happened stays")
	require.Equal(t, 201, c.sync("ERP_2", order(t, "2")).status)
}

func TestAKeyThatIsBookedMayBeRefused(t *testing.T) {
	t.Parallel()
	c := setup(t)
	c.fail(Fault{AlreadyBooked: true})
	require.Equal(t, 201, c.sync("ERP_1", order(t, "1")).status)
	const said = `{"code":"ALREADY_BOOKED","erp_reference":"ERP-1","error":"the order was booked under this key before"}`
	require.Equal(t, reply{409, "", said}, c.sync("ERP_1", order(t, "1")))
	require.Equal(t, Stats{Calls: 2, Bookings: 1, Faults: 2}, c.stats())
}
