package outbox_test

import (
	"context"
	"database/sql"
	"log"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/erpconnector/erpconnector/shared/outbox"
)

func ExampleNewPublisher() {
	db, err := sql.Open("pgx", "postgres://localhost/erpconnector")
	if err != nil {
		log.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	publisher, err := outbox.NewPublisher(tx, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	msg := message.NewMessage(watermill.NewUUID(), []byte(`{"picked":true}`))
	msg.Metadata.Set(outbox.MetadataPartitionKey, "000000123")
	if err := publisher.Publish("warehouse_picked", msg); err != nil { // a topic that exists in Kafka
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil { // now the relay takes it
		log.Fatal(err)
	}
}

func ExampleNewSubscriber() {
	db, err := sql.Open("pgx", "postgres://localhost/erpconnector")
	if err != nil {
		log.Fatal(err)
	}
	subscriber, err := outbox.NewSubscriber(db, outbox.SubscriberConfig{Group: "audit"}, slog.Default())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = subscriber.Close() }()
	messages, err := subscriber.Subscribe(context.Background(), "vendor_erp_sync_requested")
	if err != nil {
		log.Fatal(err)
	}
	for msg := range messages {
		log.Print(msg.UUID)
		msg.Ack()
	}
}
