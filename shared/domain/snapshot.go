package domain

import (
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Order is the snapshot of an order as a commerce system publishes it; what the ERP's payload is built from.
type Order struct {
	IncrementID       string   `json:"order_increment_id"`
	OrderID           *int64   `json:"order_id"`
	Currency          string   `json:"currency"`
	IsVirtual         bool     `json:"is_virtual"`
	CustomerEmail     *string  `json:"customer_email"`
	CustomerFirstname *string  `json:"customer_firstname"`
	CustomerLastname  *string  `json:"customer_lastname"`
	Items             []Item   `json:"items"`
	Totals            Totals   `json:"totals"`
	BillingAddress    *Address `json:"billing_address"`
	ShippingAddress   *Address `json:"shipping_address"`
	CreatedAt         string   `json:"created_at"`
	UpdatedAt         string   `json:"updated_at"`
}

// Item is one order line. A child of a configurable item names its parent and is not sent on its own.
type Item struct {
	ItemID       *int64 `json:"item_id"`
	ParentItemID *int64 `json:"parent_item_id"`
	SKU          string `json:"sku"`
	Name         string `json:"name"`
	Qty          Amount `json:"qty,omitzero"`
	Price        Amount `json:"price,omitzero"`
	RowTotal     Amount `json:"row_total,omitzero"`
}

// Totals are the order's sums in its currency. A discount may have either sign; adjustments are signed.
type Totals struct {
	Subtotal    Amount       `json:"subtotal,omitzero"`
	Tax         Amount       `json:"tax,omitzero"`
	Shipping    Amount       `json:"shipping,omitzero"`
	Discount    Amount       `json:"discount,omitzero"`
	Adjustments []Adjustment `json:"adjustments,omitempty"`
	GrandTotal  Amount       `json:"grand_total,omitzero"`
}

// Adjustment is a signed part of the grand total beyond the usual ones: a gift card (negative), a fee (positive).
type Adjustment struct {
	Code   string `json:"code"`
	Amount Amount `json:"amount,omitzero"`
}

// Address has the module's fields.
type Address struct {
	Firstname *string  `json:"firstname"`
	Lastname  *string  `json:"lastname"`
	Street    []string `json:"street"`
	City      *string  `json:"city"`
	Region    *string  `json:"region"`
	Postcode  *string  `json:"postcode"`
	CountryID *string  `json:"country_id"`
	Telephone *string  `json:"telephone"`
}

// CheckTotals returns nil when subtotal + tax + shipping - |discount| + adjustments is the grand total, and otherwise an
// error with both figures. Taxes that are included in the subtotal make honest orders differ, so whether this refuses
// an order or only warns is a setting of the caller's.
func (t Totals) CheckTotals() error {
	sum := new(big.Rat).Add(t.Subtotal.Rat(), t.Tax.Rat())
	sum.Add(sum, t.Shipping.Rat())
	sum.Sub(sum, new(big.Rat).Abs(t.Discount.Rat()))
	for _, a := range t.Adjustments {
		sum.Add(sum, a.Amount.Rat())
	}
	if sum.Cmp(t.GrandTotal.Rat()) != 0 {
		return fmt.Errorf("the totals add up to %s, but grand_total is %s", sum.FloatString(MaxAmountFractionDigits), t.GrandTotal)
	}
	return nil
}

// maxClockAhead is how far the clock of a shop, or its time zone, may be ahead.
const maxClockAhead = 24 * time.Hour

// SnapshotTime is when the order was as the snapshot has it: its updated_at, else when the event that brought it occurred;
// nil when neither is known. A time that lies more than a day ahead is none: it would keep out all that follows.
func SnapshotTime(updatedAt, occurredAt string, now time.Time) *time.Time {
	for _, text := range []string{updatedAt, occurredAt} {
		if at, err := ParseTime(text); err == nil && !at.After(now.Add(maxClockAhead)) {
			at = at.Truncate(time.Microsecond) // as Postgres keeps it
			return &at
		}
	}
	return nil
}

// NewestSnapshot compares a snapshot that arrives with the newest time known of the order. older means that the known
// snapshot stays. What cannot be compared, as one of the two has no time, is not older: the later arrival wins. The newest
// time known is never forgotten.
func NewestSnapshot(known, arrived *time.Time) (newest *time.Time, older bool) {
	switch {
	case arrived == nil:
		return known, false
	case known != nil && arrived.Before(*known):
		return known, true
	default:
		return arrived, false
	}
}

// ModuleTime is the date format of the module's endpoints and payload, in UTC.
const ModuleTime = "2006-01-02 15:04:05"

var errTime = errors.New("is not a time: give RFC 3339 (2024-01-15T10:30:00Z) or 2024-01-15 10:30:00 in UTC")

// ParseTime reads RFC 3339 or the module's format, the latter as UTC.
func ParseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, ModuleTime} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 0 && t.Year() <= 9999 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q %w", s, errTime)
}
