// Package projector folds the log into vendor_erp_sync and the timeline.
//
// One instance works at a time, the holder of the projector's slot; others stand by. It reads every partition from the
// position that stands in Postgres beside the rows, and each batch moves both in one transaction, so that a fact is
// applied once whatever happens. Read on in store.go.
package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

const (
	pollMost     = 2000 // records of one batch
	applyWithin  = 10 * time.Second
	firstWait    = 50 * time.Millisecond
	mostWait     = 2 * time.Second
	catchUpEvery = 5 * time.Second
)

// errPositions means that the log does not hold what the table's positions say comes next.
var errPositions = errors.New("the log does not continue where the projection stopped")

// Projector is one instance.
type Projector struct {
	cfg   kafka.Config
	store *store
	log   *slog.Logger
	down  bool
}

// New makes a Projector.
func New(cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger) *Projector {
	return &Projector{cfg: cfg, store: &store{pool: pool}, log: log}
}

// Run applies the log until ctx ends, or the log and the positions are at odds.
func (p *Projector) Run(ctx context.Context) error {
	wait := firstWait
	for ctx.Err() == nil {
		err := p.session(ctx)
		if errors.Is(err, errPositions) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			p.report(err)
			pause(ctx, wait)
			wait = min(2*wait, mostWait)
			continue
		}
		wait = firstWait
	}
	return nil
}

// session reads from the stored positions until something fails; then the next one begins from there.
func (p *Projector) session(ctx context.Context) error {
	client, err := kgo.NewClient(append(p.cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.CloseAllowingRebalance()
	positions, err := p.positions(ctx, client)
	if err != nil {
		return err
	}
	start := map[string]map[int32]kgo.Offset{}
	for tp, next := range positions {
		if start[p.cfg.Topic(tp.topic)] == nil {
			start[p.cfg.Topic(tp.topic)] = map[int32]kgo.Offset{}
		}
		start[p.cfg.Topic(tp.topic)][tp.partition] = kgo.NewOffset().At(next)
	}
	client.AddConsumePartitions(start)
	if err := p.store.catchUp(ctx); err != nil {
		return err
	}
	caughtUp := time.Now()
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, pollMost)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetchError(fetches); err != nil {
			return err
		}
		if err := p.apply(ctx, client, positions, fetches); err != nil {
			return err
		}
		p.report(nil)
		if p.store.skipped && time.Since(caughtUp) > catchUpEvery {
			if err := p.store.catchUp(ctx); err != nil {
				return err
			}
			caughtUp = time.Now()
		}
	}
	return nil
}

type topicPartition struct {
	topic     string // without the prefix
	partition int32
}

// positions are the stored ones for every partition there is; a partition that was never read begins at its start.
func (p *Projector) positions(ctx context.Context, client *kgo.Client) (map[topicPartition]int64, error) {
	stored, err := p.store.positions(ctx)
	if err != nil {
		return nil, err
	}
	adm := kadm.NewClient(client)
	topics := event.TopicsOf(event.GroupProjector)
	starts, err := adm.ListStartOffsets(ctx, p.cfg.Topics(topics)...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log's starts: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, p.cfg.Topics(topics)...)
	if err != nil {
		return nil, fmt.Errorf("reading the log's ends: %w", err)
	}
	positions := map[topicPartition]int64{}
	for _, topic := range topics {
		for partition, s := range starts[p.cfg.Topic(topic)] {
			tp := topicPartition{topic, partition}
			positions[tp] = stored[tp]
			end, _ := ends.Lookup(p.cfg.Topic(topic), partition)
			if stored[tp] < s.Offset || stored[tp] > end.Offset {
				return nil, fmt.Errorf("%w: %s partition %d holds offsets %d to %d, and %d comes next: the topic was trimmed or made anew; "+
					"restore it, or empty vendor_erp_sync, vendor_erp_sync_event and projector_position to build them again",
					errPositions, topic, partition, s.Offset, end.Offset, stored[tp])
			}
		}
	}
	return positions, nil
}

// apply folds one poll into the tables and moves the positions.
func (p *Projector) apply(ctx context.Context, client *kgo.Client, positions map[topicPartition]int64, fetches kgo.Fetches) error {
	b := batch{before: map[topicPartition]int64{}, after: map[topicPartition]int64{}}
	var letters []*kgo.Record
	fetches.EachRecord(func(r *kgo.Record) {
		tp := topicPartition{r.Topic[len(p.cfg.Prefix):], r.Partition}
		if _, seen := b.before[tp]; !seen {
			b.before[tp] = positions[tp]
		}
		b.after[tp] = r.Offset + 1
		f, err := read(tp, r)
		if err != nil {
			p.log.Error("record cannot be read; it goes to the dead letters", "topic", r.Topic, "partition", r.Partition,
				"offset", r.Offset, "error", err)
			letters = append(letters, deadletter.Record(p.cfg, r, err.Error()))
			return
		}
		b.facts = append(b.facts, f)
	})
	if len(b.after) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	// The letters come first: a crash before the positions move repeats them, and loses none.
	if err := client.ProduceSync(ctx, letters...).FirstErr(); err != nil {
		return fmt.Errorf("writing dead letters: %w", err)
	}
	if err := p.store.apply(ctx, b); err != nil {
		return err
	}
	for tp, next := range b.after {
		positions[tp] = next
	}
	return nil
}

// read is the fact of one record.
func read(tp topicPartition, r *kgo.Record) (fact, error) {
	v, err := event.DecodeSync(r.Value)
	if err != nil {
		return fact{}, err
	}
	at, err := (event.Record{Headers: map[string]string{event.HeaderTime: header(r, event.HeaderTime)}}).Time()
	if err != nil {
		return fact{}, err
	}
	f := fact{at: tp, offset: r.Offset, Fact: domain.Fact{Sync: v.Sync, Time: at, Payload: keepable(v.Payload), Error: keepable(v.Error)}}
	if v.Response != nil && tp.topic != event.TopicCallback {
		f.Response, f.httpStatus = keepable(&v.Response.Body), &v.Response.Status
	}
	return f, nil
}

func keepable(s *string) *string {
	if s == nil {
		return nil
	}
	out := domain.KeepableText(*s)
	return &out
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func fetchError(fetches kgo.Fetches) error {
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		failed = fmt.Errorf("reading %s partition %s: %w", topic, strconv.Itoa(int(partition)), err)
	})
	return failed
}

func (p *Projector) report(err error) {
	switch {
	case err != nil && !p.down:
		p.log.Warn("the projection stands still; trying again until it goes on", "error", err)
	case err == nil && p.down:
		p.log.Info("the projection goes on")
	}
	p.down = err != nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
