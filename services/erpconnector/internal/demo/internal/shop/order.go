package shop

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// sale is an order while it is put together.
type sale struct {
	rng

	shop     *shop
	market   market
	order    domain.Order
	nextItem int64
	subtotal money // of the order's items
	total    money
}

// opening is when the first order comes in; the shops' days pass quicker than ours.
var opening = time.Date(2026, time.January, 12, 8, 0, 0, 0, time.UTC)

// sell puts an order together in one order of draws: goods, totals, people. Another order of draws would be other orders of every seed.
func (d rng) sell(s *shop, n, number int, id string) *sale {
	sold := &sale{rng: d, shop: s, market: pick(d, s.markets), nextItem: int64(n)*20 + 1}
	at := opening.Add(time.Duration(n)*4*time.Minute + time.Duration(d.IntN(240))*time.Second)
	o := &sold.order
	o.IncrementID, o.Currency = id, sold.market.currency.code
	o.CreatedAt = at.Format(domain.ModuleTime)
	o.UpdatedAt = o.CreatedAt
	if s.knowsIDs {
		o.OrderID = ptr(int64(10_000 + number))
	}
	o.IsVirtual = d.chance(10)
	sold.fill()
	sold.settle()
	sold.address()
	return sold
}

// fill puts the items in.
func (s *sale) fill() {
	if s.order.IsVirtual {
		for range s.between(1, 2) {
			s.add(pick(s.rng, virtuals))
		}
		return
	}
	if s.chance(55) {
		s.add(pick(s.rng, scooters))
	} else {
		s.add(pick(s.rng, accessories))
	}
	for range s.between(0, maxItemsOfOrder-2) {
		s.add(pick(s.rng, accessories))
	}
	if s.chance(25) {
		s.add(pick(s.rng, virtuals))
	}
}

// add adds a line; a configurable product is two, as in Magento: the parent with the price and the child that was chosen.
func (s *sale) add(p product) {
	c := s.market.currency
	quarters := money(metreSteps)
	switch {
	case p.byMetre:
		quarters = money(s.between(1, 5*metreSteps))
	case s.chance(20):
		quarters *= money(s.between(2, 4))
	}
	price := p.price.in(c)
	row := (price*quarters + metreSteps/2) / metreSteps
	s.subtotal += row
	item := domain.Item{
		ItemID: s.itemID(), SKU: p.sku, Name: s.productName(p), Qty: quantity(quarters), Price: c.amount(price), RowTotal: c.amount(row),
	}
	if len(p.options) == 0 {
		s.order.Items = append(s.order.Items, item)
		return
	}
	chosen := pick(s.rng, p.options)
	item.SKU += "-" + chosen.sku
	child := domain.Item{
		ItemID: s.itemID(), ParentItemID: domain.ParentID(*item.ItemID), SKU: item.SKU, Name: p.name + ", " + chosen.name,
		Qty: item.Qty, Price: c.amount(0), RowTotal: c.amount(0),
	}
	s.order.Items = append(s.order.Items, item, child)
}

// itemID is unique within a shop, as Magento's are: 20 for each order.
func (s *sale) itemID() *int64 {
	id := s.nextItem
	s.nextItem++
	return &id
}

// quantity is whole, or has two digits: half a metre is 0.50.
func quantity(quarters money) domain.Amount {
	if quarters%metreSteps == 0 {
		return decimal(fmt.Sprint(int64(quarters / metreSteps)))
	}
	return decimal(fmt.Sprintf("%d.%02d", quarters/metreSteps, quarters%metreSteps*100/metreSteps))
}

// productName brings letters of the market's language into the order: engravings, and what a scooter is called there.
func (s *sale) productName(p product) string {
	switch {
	case p.engraved && s.chance(30):
		return long(p.name+":", s.market.engraving)
	case p.engraved:
		return p.name + ": " + pick(s.rng, s.market.engraving)
	case len(p.options) == len(colours):
		return p.name + " – " + s.market.scooter
	}
	return p.name
}

// settle makes the totals: tax on what is left after the discount, then shipping, and what a gift card pays.
func (s *sale) settle() {
	c := s.market.currency
	var discount, shipping money
	if s.chance(30) {
		discount = s.subtotal.share(money(s.between(1, 5)) * 500)
	}
	if !s.order.IsVirtual && s.subtotal < shippingFreeAt.in(c) {
		shipping = shippingPrice.in(c)
	}
	tax := (s.subtotal - discount).share(s.market.tax)
	s.total = s.subtotal + tax + shipping - discount
	t := &s.order.Totals
	if !s.order.IsVirtual && s.chance(8) {
		s.adjust("cash_on_delivery_fee", cashOnDelivery.in(c))
	}
	if s.chance(15) {
		s.adjust("giftcard", -min(pick(s.rng, giftCards).in(c), s.total))
	}
	t.Subtotal, t.Tax, t.Shipping = c.amount(s.subtotal), c.amount(tax), c.amount(shipping)
	t.Discount, t.GrandTotal = c.amount(s.shop.discountSign*discount), c.amount(s.total)
}

// adjust changes the total by what the ERP has no field for.
func (s *sale) adjust(code string, by money) {
	s.total += by
	s.order.Totals.Adjustments = append(s.order.Totals.Adjustments, domain.Adjustment{Code: code, Amount: s.market.currency.amount(by)})
}

// address makes the customer and the addresses. Some are all there is, some hardly more than a name.
func (s *sale) address() {
	buyer := pick(s.rng, s.market.people)
	if s.chance(5) {
		var names []string
		for _, p := range s.market.people {
			names = append(names, p.first, p.last)
		}
		buyer.first = long(buyer.first, names)
	}
	o := &s.order
	o.CustomerFirstname, o.CustomerLastname = &buyer.first, &buyer.last
	o.CustomerEmail = ptr(fmt.Sprintf("%s.%d@%s", buyer.mail, s.between(1, 999), pick(s.rng, []string{"example.com", "example.org"})))
	o.BillingAddress = s.addressOf(buyer)
	if o.IsVirtual {
		return
	}
	o.ShippingAddress = o.BillingAddress
	if s.chance(30) { // a present, or to the office
		o.ShippingAddress = s.addressOf(pick(s.rng, s.market.people))
	}
}

// addressOf leaves parts out now and then: shops that sell nothing to ship ask for less.
func (s *sale) addressOf(p person) *domain.Address {
	a := &domain.Address{Firstname: &p.first, Lastname: &p.last, CountryID: ptr(s.market.country)}
	if s.order.IsVirtual && s.chance(50) {
		return a
	}
	at := pick(s.rng, s.market.places)
	a.City, a.Street = &at.city, []string{at.street}
	if at.region != "" {
		a.Region = &at.region
	}
	if at.postcode != "" {
		a.Postcode = &at.postcode
	}
	if s.chance(25) {
		lines := append(a.Street, "c/o "+pick(s.rng, s.market.people).last, fmt.Sprintf("#%d", s.between(1, 40)))
		a.Street = lines[:s.between(2, 3)]
	}
	if s.chance(70) {
		a.Telephone = ptr(fmt.Sprintf(s.market.phone, s.IntN(100)))
	}
	return a
}

// long adds words as long as they fit into the shop's column.
func long(text string, words []string) string {
	for i := 0; ; i++ {
		next := words[i%len(words)]
		if utf8.RuneCountInString(text)+1+utf8.RuneCountInString(next) > maxNameRunes {
			return text
		}
		text = strings.Join([]string{text, next}, " ")
	}
}

func ptr[T any](v T) *T { return &v }
