package pubsub_test

import (
	"context"
	"log"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
)

func ExampleNewSubscriber() {
	subscriber, err := pubsub.NewSubscriber(pubsub.SubscriberConfig{
		Config: kafka.Config{Brokers: []string{"localhost:9092"}},
		Group:  "mailer", // several processes share the work; without a group each reads everything
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = subscriber.Close() }()
	messages, err := subscriber.Subscribe(context.Background(), event.TopicSuccess)
	if err != nil {
		log.Fatal(err)
	}
	for msg := range messages {
		fact, err := event.DecodeSync(msg.Payload)
		if err != nil {
			log.Print(err)
			msg.Nack() // comes again; a router would put it into a poison queue
			continue
		}
		log.Print(msg.Metadata.Get(event.HeaderID), " order ", fact.Sync.OrderIncrementID)
		msg.Ack()
	}
}

func ExampleNewPublisher() {
	publisher, err := pubsub.NewPublisher(pubsub.PublisherConfig{
		Config:          kafka.Config{Brokers: []string{"localhost:9092"}},
		TransactionalID: "mailer-1",                      // each Publish is one transaction; leave it out for none
		Create:          &pubsub.NewTopic{Partitions: 8}, // leave it out for topics that exist
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = publisher.Close() }()
	first := message.NewMessage(watermill.NewUUID(), []byte(`{"mail":"order received"}`))
	first.Metadata.Set(event.MetadataPartitionKey, "000000123") // same key, same partition, same order
	second := message.NewMessage(watermill.NewUUID(), []byte(`{"mail":"order shipped"}`))
	second.Metadata.Set(event.MetadataPartitionKey, "000000123")
	if err := publisher.Publish("mails", first, second); err != nil {
		log.Fatal(err)
	}
}
