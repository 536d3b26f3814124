// Command publish-go is a shop in Go: it books an invoice and publishes it to the ERP connector in one transaction, so
// that there is no invoice without its event and no event without its invoice.
//
//	DATABASE_URL=postgres://… go run ./services/examples/publish-go 000000201
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/commerce"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: publish-go ORDER")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Getenv("DATABASE_URL"), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "publish-go:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, databaseURL, order string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS shop_invoice (order_number text PRIMARY KEY, booked_at timestamptz NOT NULL)`); err != nil {
		return err
	}
	event, err := invoiceCreated(order)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// The shop's own work …
		if _, err := tx.Exec(ctx, `INSERT INTO shop_invoice VALUES ($1, now()) ON CONFLICT (order_number) DO UPDATE SET booked_at = now()`, order); err != nil {
			return err
		}
		// … and the event: both commit, or neither does.
		return commerce.Outbox{}.Publish(ctx, tx, event)
	})
}

// invoiceCreated has an id made from the invoice: publishing it again is no second order.
func invoiceCreated(order string) (commerce.Event, error) {
	amounts := map[string]commerce.Amount{}
	for _, decimal := range []string{"1", "899.00", "142.88", "9.90", "0.00", "1051.78"} {
		amount, err := commerce.ParseAmount(decimal)
		if err != nil {
			return commerce.Event{}, err
		}
		amounts[decimal] = amount
	}
	address := &commerce.Address{
		Firstname: new("Zoë"), Lastname: new("Müller"), Street: []string{"Hauptstraße 1"}, City: new("Köln"), Postcode: new("50667"), CountryID: new("DE"),
	}
	return commerce.Event{
		ID: "invoice-" + order, Type: commerce.InvoiceCreated, OccurredAt: time.Now(),
		Invoice: &commerce.Invoice{IncrementID: "INV-" + order, GrandTotal: amounts["1051.78"]},
		Order: &commerce.Order{
			IncrementID: order, Currency: "EUR",
			CustomerEmail: new("zoe@example.com"), CustomerFirstname: new("Zoë"), CustomerLastname: new("Müller"),
			Items: []commerce.Item{{SKU: "SCOOT-1", Name: "City scooter", Qty: amounts["1"], Price: amounts["899.00"], RowTotal: amounts["899.00"]}},
			Totals: commerce.Totals{
				Subtotal: amounts["899.00"], Tax: amounts["142.88"], Shipping: amounts["9.90"], Discount: amounts["0.00"], GrandTotal: amounts["1051.78"],
			},
			BillingAddress: address, ShippingAddress: address,
		},
	}, nil
}
