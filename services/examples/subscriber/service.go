package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/metrics"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/pubsub"
)

// poisonTopic keeps what the warehouse cannot use, with the reason in metadata.
const poisonTopic = "warehouse_poison"

// params is what the service is made of.
type params struct {
	kafka    kafka.Config
	pool     *pgxpool.Pool
	registry *prometheus.Registry
	log      *slog.Logger

	firstRetry time.Duration             // then twice as long each time, three times in all
	around     message.HandlerMiddleware // around the handler, inside all others; nil: nothing
}

// service is a Watermill router with a handler for each topic.
type service struct {
	router     *message.Router
	subscriber *pubsub.Subscriber
	publisher  *pubsub.Publisher
	list       pickList
	log        *slog.Logger
}

func newService(ctx context.Context, p params) (*service, error) {
	s := &service{list: pickList{pool: p.pool}, log: p.log}
	if err := s.list.prepare(ctx); err != nil {
		return nil, err
	}
	var err error
	s.subscriber, err = pubsub.NewSubscriber(pubsub.SubscriberConfig{Config: p.kafka, Group: "warehouse", Log: p.log})
	if err != nil {
		return nil, err
	}
	s.publisher, err = pubsub.NewPublisher(pubsub.PublisherConfig{Config: p.kafka, Create: &pubsub.NewTopic{Partitions: 1}})
	if err != nil {
		return nil, err
	}
	s.router, err = message.NewRouter(message.RouterConfig{}, watermill.NewSlogLogger(p.log))
	if err != nil {
		return nil, fmt.Errorf("making the router: %w", err)
	}
	if err := s.addMiddleware(p); err != nil {
		return nil, err
	}
	for _, topic := range []string{event.TopicSuccess, event.TopicFailed} {
		s.router.AddConsumerHandler("warehouse_"+topic, topic, s.subscriber, s.handle)
	}
	return s, nil
}

// addMiddleware, from the outside in: what comes back from all the retries goes to the poison topic, if it is no better
// the next time; anything else is nacked and comes again until Postgres is back. A panic is an error like others.
func (s *service) addMiddleware(p params) error {
	poison, err := middleware.PoisonQueueWithFilter(s.publisher, poisonTopic, isPoison)
	if err != nil {
		return fmt.Errorf("making the poison queue: %w", err)
	}
	retry := middleware.Retry{
		MaxRetries: 3, InitialInterval: p.firstRetry, MaxInterval: 8 * p.firstRetry, Multiplier: 2,
		ShouldRetry: func(r middleware.RetryParams) bool { return !errors.Is(r.Err, errUnreadable) },
	}
	metrics.NewPrometheusMetricsBuilder(p.registry, "warehouse", "").AddPrometheusRouterMetrics(s.router)
	s.router.AddMiddleware(correlateByTrace, middleware.CorrelationID, poison, retry.Middleware, middleware.Recoverer)
	if p.around != nil {
		s.router.AddMiddleware(p.around)
	}
	return nil
}

// correlateByTrace makes the trace id the correlation id: it is the same from the shop's request on.
func correlateByTrace(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		if parts := strings.Split(msg.Metadata.Get(event.HeaderTraceparent), "-"); len(parts) == 4 {
			middleware.SetCorrelationID(parts[1], msg)
		}
		return h(msg)
	}
}

// isPoison tells what lies in the message from what lies in the world: it cannot be read, the handler panics at it, or
// it holds data that no column takes (class 22 of SQLSTATE).
func isPoison(err error) bool {
	var panicked middleware.RecoveredPanicError
	var refused *pgconn.PgError
	return errors.Is(err, errUnreadable) || errors.As(err, &panicked) || (errors.As(err, &refused) && strings.HasPrefix(refused.Code, "22"))
}

func (s *service) handle(msg *message.Message) error {
	f, err := readFact(msg)
	if err != nil {
		return err
	}
	outcome, err := s.list.apply(msg.Context(), f)
	if err != nil {
		return err
	}
	log := s.log.With("event_id", f.id, "order_increment_id", f.ref.IncrementID, "outcome", outcome,
		"correlation_id", middleware.MessageCorrelationID(msg))
	if r, ok := pubsub.RecordFrom(msg.Context()); ok {
		log = log.With("topic", r.Topic, "partition", r.Partition, "offset", r.Offset)
	}
	log.Info("fact handled")
	return nil
}

// run works until ctx ends. What is in hand then is rolled back and comes again at the next start.
func (s *service) run(ctx context.Context) error {
	err := s.router.Run(ctx)
	return errors.Join(err, s.subscriber.Close(), s.publisher.Close())
}
