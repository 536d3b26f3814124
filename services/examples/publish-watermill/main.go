// Command publish-watermill is a shop that uses Watermill: its SQL publisher, in the shop's own transaction, puts an
// invoice into the ERP connector's commerce outbox.
//
//	DATABASE_URL=postgres://… go run ./services/examples/publish-watermill 000000202
package main

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	_ "github.com/jackc/pgx/v5/stdlib" // any driver of database/sql will do

	"github.com/erpconnector/erpconnector/shared/commerce"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: publish-watermill ORDER")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Getenv("DATABASE_URL"), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "publish-watermill:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, databaseURL, order string) error {
	db, err := stdsql.Open("pgx", databaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := book(tx, order); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// book is the shop's own work in tx, of which the event is a part.
func book(tx *stdsql.Tx, order string) error {
	publisher, err := sql.NewPublisher(tx, sql.PublisherConfig{SchemaAdapter: commerce.Outbox{}.WatermillSchema()}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	event := fmt.Sprintf(`{"event_id": "invoice-%[1]s", "type": "invoice.created", "invoice": {"increment_id": "INV-%[1]s"},
		"order": {"order_increment_id": "%[1]s", "currency": "EUR", "customer_email": "jo@example.com",
			"items": [{"sku": "HELM-2", "name": "Helmet, matt", "qty": "2", "price": "49.50", "row_total": "99.00"}],
			"totals": {"subtotal": "99.00", "tax": "0.00", "shipping": "0.00", "discount": "0.00", "grand_total": "99.00"}}}`, order)
	return publisher.Publish(commerce.Topic, message.NewMessage(watermill.NewUUID(), []byte(event)))
}
