package domain

import (
	"encoding/json"
	"fmt"
)

// Remarks are what an operator should know about what the ERP is sent. They name places and sums, but no customer's data.
type Remarks struct {
	Warnings []string // what may be wrong
	NotSent  []string // what of the order the ERP is not sent, and why
}

// maxRemarks bounds each list, to some 50 kB. A shop that leaves out an amount leaves it out of every line. An order of hundreds of
// lines that each have a part still has room for all its remarks.
const maxRemarks = 500

// Remarks are the remarks on the order.
func (o Order) Remarks() Remarks {
	return Remarks{Warnings: o.warnings(), NotSent: atMost(maxRemarks, o.notSent())}
}

// RemarksOf are the remarks on a snapshot. One that cannot be read has none; its sync fails with the reason.
func RemarksOf(snapshot json.RawMessage) Remarks {
	var o Order
	if json.Unmarshal(snapshot, &o) != nil {
		return Remarks{}
	}
	return o.Remarks()
}

func (o Order) warnings() []string {
	flaws := o.CheckAmounts()
	for i := range flaws {
		if flaws[i].Detail == missing {
			flaws[i].Detail += "; the ERP is sent null"
		}
	}
	warnings := atMost(maxRemarks, flaws)
	if err := o.Totals.CheckTotals(); err != nil {
		warnings = append(warnings, err.Error())
	}
	return warnings
}

// atMost is the text of the first n flaws, and how many more there are.
func atMost(n int, flaws []Flaw) (out []string) {
	for i, f := range flaws {
		if i == n {
			return append(out, fmt.Sprintf("and %d more like these", len(flaws)-n))
		}
		out = append(out, f.String())
	}
	return out
}

const (
	missing       = "is missing: send it, or 0 where there is none"
	missingInSum  = "is missing: it counts as 0 in the totals"
	noPlaceInSums = "has no place of its own in the ERP's payload, only in grand_total"
)

// CheckAmounts finds amounts that the ERP needs and the order leaves out, which is not the same as 0, and quantities that are not
// above 0. It does not look at lines that are parts of others, as these are not sent.
func (o Order) CheckAmounts() []Flaw {
	var flaws []Flaw
	absent := func(pointer string, a Amount, detail string) {
		if a.IsZero() {
			flaws = append(flaws, Flaw{pointer, detail})
		}
	}
	for i, it := range o.Items {
		if it.isPart() {
			continue
		}
		if !it.Qty.IsZero() && it.Qty.Sign() <= 0 {
			flaws = append(flaws, Flaw{itemPointer(i, "/qty"), fmt.Sprintf("is %s; the quantity of a line that is sent is above 0", it.Qty)})
		}
		absent(itemPointer(i, "/price"), it.Price, missing)
		absent(itemPointer(i, "/row_total"), it.RowTotal, missing)
	}
	absent("/order/totals/subtotal", o.Totals.Subtotal, missing)
	absent("/order/totals/tax", o.Totals.Tax, missing)
	absent("/order/totals/shipping", o.Totals.Shipping, missing)
	absent("/order/totals/discount", o.Totals.Discount, missing)
	for i, a := range o.Totals.Adjustments {
		absent(fmt.Sprintf("/order/totals/adjustments/%d/amount", i), a.Amount, missingInSum)
	}
	return flaws
}

// notSent finds what the payload has no place for: lines that are parts of others, and adjustments.
func (o Order) notSent() []Flaw {
	var out []Flaw
	whole, _ := wholes(o.Items)
	for i, at := range whole {
		if at >= 0 && at != i {
			out = append(out, Flaw{itemPointer(i, ""), fmt.Sprintf("is part of %s, which is sent for both", itemPointer(at, ""))})
		}
	}
	for i, a := range o.Totals.Adjustments {
		if !a.Amount.IsZero() {
			out = append(out, Flaw{fmt.Sprintf("/order/totals/adjustments/%d", i), noPlaceInSums})
		}
	}
	return out
}
