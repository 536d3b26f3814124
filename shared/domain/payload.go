package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

type payload struct {
	Source            string        `json:"source,omitempty"`
	OrderIncrementID  string        `json:"order_increment_id"`
	OrderID           *int64        `json:"order_id"`
	CustomerEmail     *string       `json:"customer_email"`
	CustomerFirstname *string       `json:"customer_firstname"`
	CustomerLastname  *string       `json:"customer_lastname"`
	Items             []payloadItem `json:"items"`
	Totals            payloadTotals `json:"totals"`
	BillingAddress    *Address      `json:"billing_address"`
	ShippingAddress   *Address      `json:"shipping_address"`
	CreatedAt         *string       `json:"created_at"`
	UpdatedAt         *string       `json:"updated_at"`
}

type payloadItem struct {
	SKU      string `json:"sku"`
	Name     string `json:"name"`
	Qty      Amount `json:"qty"`
	Price    Amount `json:"price"`
	RowTotal Amount `json:"row_total"`
}

type payloadTotals struct {
	Subtotal   Amount `json:"subtotal"`
	Tax        Amount `json:"tax"`
	Shipping   Amount `json:"shipping"`
	Discount   Amount `json:"discount"`
	GrandTotal Amount `json:"grand_total"`
}

// BuildPayload makes the bytes that go to the ERP: the fields of the module, and the source of a shop that is not the default one.
// The same order gives the same bytes. An amount that the order leaves out is null, which is not the same as 0. An error is final
// for the generation; when the lines of an order make no sense, nothing is sent.
func BuildPayload(ref OrderRef, o Order) ([]byte, error) {
	created, err := moduleTime("created_at", o.CreatedAt)
	if err != nil {
		return nil, err
	}
	updated, err := moduleTime("updated_at", o.UpdatedAt)
	if err != nil {
		return nil, err
	}
	items, err := payloadItems(o.Items)
	if err != nil {
		return nil, err
	}
	p := payload{
		OrderIncrementID: ref.IncrementID, OrderID: o.OrderID,
		CustomerEmail: o.CustomerEmail, CustomerFirstname: o.CustomerFirstname, CustomerLastname: o.CustomerLastname,
		Items: items,
		Totals: payloadTotals{
			Subtotal: o.Totals.Subtotal, Tax: o.Totals.Tax, Shipping: o.Totals.Shipping,
			Discount: o.Totals.Discount, GrandTotal: o.Totals.GrandTotal,
		},
		BillingAddress: o.BillingAddress, ShippingAddress: o.ShippingAddress,
		CreatedAt: created, UpdatedAt: updated,
	}
	if ref.Source != DefaultSource {
		p.Source = ref.Source
	}
	if o.IsVirtual {
		p.ShippingAddress = nil
	}
	return EncodeJSON(p)
}

// payloadItems are the lines that are sent on their own.
func payloadItems(items []Item) ([]payloadItem, error) {
	if flaws := CheckLines(items); len(flaws) > 0 {
		return nil, errors.New(flaws[0].String())
	}
	out := make([]payloadItem, 0, len(items))
	for _, it := range items {
		if it.isPart() {
			continue
		}
		out = append(out, payloadItem{SKU: it.SKU, Name: it.Name, Qty: it.Qty, Price: it.Price, RowTotal: it.RowTotal})
	}
	if len(out) == 0 {
		return nil, errors.New("/order/items has no line to send")
	}
	return out, nil
}

// moduleTime is a time of the order in the module's format; nil when the order has none.
func moduleTime(field, s string) (*string, error) {
	if NoTime(s) {
		return nil, nil
	}
	t, err := ParseTime(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	out := t.Format(ModuleTime)
	return &out, nil
}

// EncodeJSON is json.Marshal without HTML escaping, so that names with & and < go out as they came in.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
