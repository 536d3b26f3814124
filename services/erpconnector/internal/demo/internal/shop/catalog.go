package shop

// product is what the shops sell; the price is in euro cents.
type product struct {
	sku, name string
	price     money
	options   []option // of a configurable one
	virtual   bool     // nothing to ship
	engraved  bool     // its name carries the customer's text
	byMetre   bool     // sold in quarters of a metre
}

type option struct{ sku, name string }

var colours = []option{{"BLK", "Obsidian Black"}, {"GRN", "Fjord Green"}, {"RED", "Rosso Corsa"}, {"WHT", "Perłowa biel"}}

var scooters = []product{
	{sku: "VOLT-350", name: "Volt City 350", price: 49_900, options: colours},
	{sku: "VOLT-500", name: "Volt City 500 Plus", price: 74_900, options: colours},
	{sku: "TERRA-X", name: "Terra X All-Road", price: 129_900, options: colours},
	{sku: "MINI", name: "Volt Mini", price: 24_950, options: colours},
}

var accessories = []product{
	{sku: "HELM", name: "Café Racer helmet", price: 7_995, options: []option{{"S", "S (52–55 cm)"}, {"M", "M (56–58 cm)"}, {"XL", "XL (61–63 cm)"}}},
	{sku: "GLOV", name: "Winter gloves “Förde”", price: 3_490, options: []option{{"S", "S"}, {"L", "L"}, {"XXL", "XXL"}}},
	{sku: "LOCK-9", name: "Folding lock 90 cm", price: 4_999},
	{sku: "BATT-10AH", name: "Battery 36 V / 10.4 Ah", price: 18_900},
	{sku: "TYRE-85", name: "Tyre 8½×2″", price: 1_899},
	{sku: "BELL", name: "Bell “Ding!”", price: 999},
	{sku: "BAG-3L", name: "Handlebar bag 3 l", price: 2_795},
	{sku: "TAPE", name: "Grip tape, by the metre", price: 333, byMetre: true},
	{sku: "PLATE", name: "Name plate, engraved", price: 1_950, engraved: true},
}

var virtuals = []product{
	{sku: "CARE-2Y", name: "Care+ 2 years", price: 5_900, virtual: true},
	{sku: "RIDE-COURSE", name: "Online riding course", price: 2_500, virtual: true},
	{sku: "GIFT-50", name: "Gift card by e-mail", price: 5_000, virtual: true},
}

// Prices in euro cents, and limits.
const (
	shippingPrice   money = 690
	shippingFreeAt  money = 30_000 // of the subtotal
	cashOnDelivery  money = 490
	maxNameRunes          = 255 // of Magento's columns
	metreSteps            = 4   // quarters
	maxItemsOfOrder       = 5
)

var giftCards = []money{1_000, 2_500, 5_000, 20_000}
