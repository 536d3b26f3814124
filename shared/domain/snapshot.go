package domain

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// Order is the snapshot of an order as a shop publishes it. The payload for the ERP is built from it.
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
	ItemID       *int64   `json:"item_id"`
	ParentItemID ParentID `json:"parent_item_id"`
	SKU          string   `json:"sku"`
	Name         string   `json:"name"`
	Qty          Amount   `json:"qty,omitzero"`
	Price        Amount   `json:"price,omitzero"`
	RowTotal     Amount   `json:"row_total,omitzero"`
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

// CheckTotals returns nil when subtotal + tax + shipping - |discount| + adjustments is the grand total, and otherwise an error with
// both figures. Right orders may differ too, when taxes are included in the subtotal. So the caller decides whether to refuse the
// order or to warn.
func (t Totals) CheckTotals() error {
	if t.addUp() {
		return nil
	}
	sum := new(big.Rat).Add(t.Subtotal.Rat(), t.Tax.Rat())
	sum.Add(sum, t.Shipping.Rat())
	sum.Sub(sum, new(big.Rat).Abs(t.Discount.Rat()))
	for _, a := range t.Adjustments {
		sum.Add(sum, a.Amount.Rat())
	}
	if sum.Cmp(t.GrandTotal.Rat()) != 0 {
		return fmt.Errorf("the totals add up to %s, but grand_total is %s", shown(sum), t.GrandTotal)
	}
	return nil
}

// shown is a sum with the digits that it has, but at least those of cents.
func shown(sum *big.Rat) string {
	const cents = 2
	text := sum.FloatString(MaxAmountFractionDigits)
	finer := len(text) - (MaxAmountFractionDigits - cents)
	return text[:finer] + strings.TrimRight(text[finer:], "0")
}

// addUp reports whether usual totals add up, in a fraction of the time that rationals take. It is false for others, too.
func (t Totals) addUp() bool {
	if len(t.Adjustments) > maxQuickAdjustments {
		return false
	}
	usual := true
	units := func(a Amount) int64 {
		n, ok := a.units()
		usual = usual && ok
		return n
	}
	discount := units(t.Discount)
	sum := units(t.Subtotal) + units(t.Tax) + units(t.Shipping) - max(discount, -discount)
	for _, a := range t.Adjustments {
		sum += units(a.Amount)
	}
	return sum == units(t.GrandTotal) && usual
}

// maxQuickAdjustments keeps a sum of units far below 2^63.
const maxQuickAdjustments = 16

// maxClockAhead is how far a shop may be ahead by its clock or its time zone.
const maxClockAhead = 24 * time.Hour

// SnapshotTime is the time of a snapshot: the order's updated_at, or else when its event occurred; nil when neither is known. A time
// more than a day ahead does not count: with it, no later snapshot would ever be newer.
func SnapshotTime(updatedAt, occurredAt string, now time.Time) *time.Time {
	for _, text := range []string{updatedAt, occurredAt} {
		if at, err := ParseTime(text); err == nil && !at.After(now.Add(maxClockAhead)) {
			at = at.Truncate(time.Microsecond) // the precision of Postgres
			return &at
		}
	}
	return nil
}

// NewestSnapshot compares a snapshot that arrives with the newest time known of the order. older means that the known snapshot
// stays. A snapshot without a time is not older: the later arrival wins. But the newest time known is never forgotten.
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

// zeroDates is how MySQL writes that there is no date.
var zeroDates = regexp.MustCompile(`^0000-00-00(?:[ T]00:00:00(?:\.0+)?(?:Z|[+-]00:00)?)?$`)

// NoTime reports whether a text means that there is no time: an empty text, or a zero date of MySQL.
func NoTime(s string) bool {
	return s == "" || strings.HasPrefix(s, "0000") && zeroDates.MatchString(s)
}

// ParseTime reads RFC 3339 or the module's format; the latter is in UTC. The year in UTC must be from 1 to 9999, as UTC is what is
// stored and sent.
func ParseTime(s string) (time.Time, error) {
	layout := time.RFC3339Nano
	if !strings.Contains(s, "T") {
		layout = ModuleTime
	}
	t, err := time.Parse(layout, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.40q %w", s, errTime)
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%.40q is in the year %d in UTC: a time is in the years 1 to 9999", s, t.Year())
	}
	return t, nil
}
