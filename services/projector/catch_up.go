package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/run"
)

// pollInterval is the time between two looks whether the projection has caught up.
const pollInterval = 50 * time.Millisecond

// ErrLogShorter means that the projection has applied records that the log does not hold, or no longer holds.
var ErrLogShorter = errors.New("the projection has read more than the log holds: topics were made anew, or lost records")

// CatchUp returns once the live projection has applied all that the log held at the call. Where no projector runs, it does
// the work itself. It waits for a transaction that a killed process left open, as its records may yet be committed.
func CatchUp(ctx context.Context, cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger) error {
	s := newStore(pool, live)
	missing, err := s.unread(ctx, cfg)
	if err != nil || len(missing) == 0 {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- postgres.WithLease(ctx, pool, "projector", 1, log, func(ctx context.Context, _ string) error {
			return New(cfg, pool, log).Run(ctx)
		})
	}()
	err = s.await(ctx, missing, ended)
	stop()
	return errors.Join(err, <-ended)
}

// unread finds the positions that the projection must reach: the end of the last record of each partition that it has not
// read to its end.
func (s *store) unread(ctx context.Context, cfg kafka.Config) (missing map[kafka.TopicPartition]int64, err error) {
	positions, err := s.positions(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.Close()
	topics := event.TopicsOf(event.GroupProjector)
	ends, err := kafka.Listed(kadm.NewClient(client).ListEndOffsets(ctx, cfg.Topics(topics)...))
	if err != nil {
		return nil, fmt.Errorf("reading the log's ends: %w", err)
	}
	var spans []*logreader.Span
	for _, topic := range topics {
		for partition, end := range ends[cfg.Topic(topic)] {
			next := positions[kafka.TopicPartition{Topic: topic, Partition: partition}]
			if next > end.Offset {
				return nil, fmt.Errorf("%w: %s partition %d ends at offset %d, and %d comes next", ErrLogShorter, topic, partition, end.Offset, next)
			}
			spans = append(spans, &logreader.Span{Topic: topic, Partition: partition, First: next, Next: next, End: end.Offset})
		}
	}
	found := lastRecords{cfg: cfg, next: map[kafka.TopicPartition]int64{}}
	if err := logreader.Read(ctx, cfg, spans, found, func() error { return nil }); err != nil {
		return nil, fmt.Errorf("reading what the projection has not applied: %w", err)
	}
	return found.next, nil
}

// lastRecords keeps where the last record of each partition ends. The end offset of the partition would not do: markers of
// transactions have offsets too, and no position moves beyond those at the end.
type lastRecords struct {
	cfg  kafka.Config
	next map[kafka.TopicPartition]int64
}

// Take notes the records; it makes lastRecords a logreader.Sink.
func (l lastRecords) Take(_ context.Context, records []*kgo.Record) error {
	for _, r := range records {
		l.next[kafka.TopicPartition{Topic: l.cfg.Event(r).Topic, Partition: r.Partition}] = r.Offset + 1
	}
	return nil
}

// await returns once the positions are reached, or the work has ended.
func (s *store) await(ctx context.Context, missing map[kafka.TopicPartition]int64, ended chan error) error {
	for {
		positions, err := s.positions(ctx, s.pool)
		if err != nil {
			return err
		}
		for tp, next := range missing {
			if positions[tp] >= next {
				delete(missing, tp)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case err := <-ended:
			ended <- nil
			return err
		default:
		}
		if !run.Sleep(ctx, pollInterval) {
			return ctx.Err()
		}
	}
}
