package bench

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/run"
)

// OtherRelay moves the rows of the outbox in another way than the product. It has a process of its own, as the product has: where it
// shares one with the embedded broker, the broker's heap decides how often its garbage is collected.
type OtherRelay struct {
	Pool  *pgxpool.Pool
	Kafka kafka.Config
}

const (
	bareRows     = 1000 // of a transaction of the bare loop
	pollInterval = 10 * time.Millisecond
)

// Bare does what any relay must, and nothing else: it forgets its position, and does not know who else relays.
func (o OtherRelay) Bare(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(o.Kafka.Brokers...), kgo.TransactionalID(o.Kafka.Prefix+"bare"))
	if err != nil {
		return err
	}
	defer client.Close()
	for last := int64(-1); ; {
		records, newest, err := o.read(ctx, last)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			if !run.Sleep(ctx, pollInterval) {
				return nil
			}
			continue
		}
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return err
		}
		last = newest
	}
}

func (o OtherRelay) read(ctx context.Context, after int64) (records []*kgo.Record, newest int64, err error) {
	rows, err := o.Pool.Query(ctx, `SELECT id, topic, key, payload FROM erp_outbox WHERE id > $1 ORDER BY id LIMIT $2`, after, bareRows)
	if err != nil {
		return nil, 0, err
	}
	records, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*kgo.Record, error) {
		var topic, key string
		record := &kgo.Record{}
		err := row.Scan(&newest, &topic, &key, &record.Value)
		record.Topic, record.Key = o.Kafka.Prefix+topic, []byte(key)
		return record, err
	})
	return records, newest, err
}

// Watermill sends the rows on by Watermill's stock subscriber and router.
func (o OtherRelay) Watermill(ctx context.Context) (err error) {
	db := stdlib.OpenDBFromPool(o.Pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	publisher, err := pubsub.NewPublisher(pubsub.PublisherConfig{Config: o.Kafka})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, publisher.Close()) }()
	subscriber, err := outbox.NewSubscriber(db, outbox.SubscriberConfig{Group: "router", PollInterval: pollInterval}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router.AddHandler("relay", event.TopicRequested, subscriber, event.TopicRequested, publisher, message.PassthroughHandler)
	return router.Run(ctx)
}
