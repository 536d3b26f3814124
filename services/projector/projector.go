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
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	maxPollRecords  = 2000 // records of one batch
	applyTimeout    = 10 * time.Second
	firstWait       = 50 * time.Millisecond
	maxWait         = 2 * time.Second
	catchUpInterval = 5 * time.Second
)

// errPositions means that the log does not hold what the table's positions say comes next.
var errPositions = errors.New("the log does not continue where the projection stopped")

// Projector is one instance.
type Projector struct {
	cfg             kafka.Config
	store           *store
	log             *slog.Logger
	now             func() time.Time
	catchUpInterval time.Duration
	down            bool
}

// New makes a Projector.
func New(cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger) *Projector {
	return newProjector(cfg, pool, log, live)
}

func newProjector(cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger, into target) *Projector {
	return &Projector{cfg: cfg, store: newStore(pool, into), log: log, now: time.Now, catchUpInterval: catchUpInterval}
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
			run.Sleep(ctx, wait)
			wait = min(2*wait, maxWait)
			continue
		}
		wait = firstWait
	}
	return nil
}

// session reads from the stored positions until something fails; then the next one begins from there.
func (p *Projector) session(ctx context.Context) error {
	client, positions, err := p.reader(ctx)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	if err := p.catchUp(ctx); err != nil {
		return err
	}
	caughtUp := time.Now()
	for ctx.Err() == nil {
		fetches := p.poll(ctx, client)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetchError(fetches); err != nil {
			return err
		}
		if err := p.apply(ctx, client, positions, entriesOf(p.cfg, fetches)); err != nil {
			return err
		}
		p.report(nil)
		if p.store.skipped && time.Since(caughtUp) >= p.catchUpInterval {
			if err := p.catchUp(ctx); err != nil {
				return err
			}
			caughtUp = time.Now()
		}
	}
	return nil
}

// catchUp tells the write side what it was not told yet.
func (p *Projector) catchUp(ctx context.Context) error {
	if err := p.store.catchUp(ctx); err != nil {
		return err
	}
	return p.judgeDeadLetters(ctx)
}

// reader reads every partition from the stored positions, which it returns.
func (p *Projector) reader(ctx context.Context) (*kgo.Client, map[topicPartition]int64, error) {
	options := append(p.cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset())) // a log that was trimmed meanwhile is an error, see positions
	client, err := kgo.NewClient(append(options, kafka.BoundedFetch()...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	positions, err := p.positions(ctx, client)
	if err != nil {
		client.CloseAllowingRebalance()
		return nil, nil, err
	}
	start := map[string]map[int32]kgo.Offset{}
	for tp, next := range positions {
		if start[p.cfg.Topic(tp.topic)] == nil {
			start[p.cfg.Topic(tp.topic)] = map[int32]kgo.Offset{}
		}
		start[p.cfg.Topic(tp.topic)][tp.partition] = kgo.NewOffset().At(next)
	}
	client.AddConsumePartitions(start)
	return client, positions, nil
}

// poll waits for records, not beyond the next catch-up when there is one to do.
func (p *Projector) poll(ctx context.Context, client *kgo.Client) kgo.Fetches {
	if !p.store.skipped {
		return client.PollRecords(ctx, maxPollRecords)
	}
	ctx, cancel := context.WithTimeout(ctx, p.catchUpInterval)
	defer cancel()
	return client.PollRecords(ctx, maxPollRecords)
}

type topicPartition struct {
	topic     string // without the prefix
	partition int32
}

// positions are the stored ones for every partition there is; a partition that was never read begins at its start.
func (p *Projector) positions(ctx context.Context, client *kgo.Client) (map[topicPartition]int64, error) {
	stored, err := p.store.positions(ctx, p.store.pool)
	if err != nil {
		return nil, err
	}
	adm := kadm.NewClient(client)
	topics := event.TopicsOf(event.GroupProjector)
	starts, ends, err := kafka.Bounds(ctx, adm, p.cfg.Topics(topics))
	if err != nil {
		return nil, err
	}
	positions := map[topicPartition]int64{}
	for _, topic := range topics {
		for partition, s := range starts[p.cfg.Topic(topic)] {
			tp := topicPartition{topic, partition}
			positions[tp] = stored[tp]
			end, _ := ends.Lookup(p.cfg.Topic(topic), partition)
			if stored[tp] < s.Offset || stored[tp] > end.Offset {
				return nil, fmt.Errorf("%w: %s partition %d holds offsets %d to %d, and %d comes next: the topic was trimmed or made anew; %s",
					errPositions, topic, partition, s.Offset, end.Offset, stored[tp], p.store.into.mend)
			}
		}
	}
	return positions, nil
}

// entry is one record that was polled: its fact, or why there is none; or the dead letter that it is.
type entry struct {
	at         topicPartition
	record     *kgo.Record
	fact       fact
	deadLetter *deadletter.Letter
	refused    error
	kept       bool // its dead letter is written
}

func entriesOf(cfg kafka.Config, fetches kgo.Fetches) []*entry {
	var entries []*entry
	fetches.EachRecord(func(r *kgo.Record) {
		e := &entry{at: topicPartition{r.Topic[len(cfg.Prefix):], r.Partition}, record: r}
		if e.at.topic == event.TopicDeadLetter {
			e.deadLetter = new(deadletter.Read(cfg, r))
		} else {
			e.fact, e.refused = read(e.at, r.Offset, cfg.Event(r))
		}
		entries = append(entries, e)
	})
	return entries
}

// apply folds the entries into the tables and moves the positions. One that the database refuses for what stands in it
// is looked for by halves and kept as a dead letter, so that it does not hold up the others.
func (p *Projector) apply(ctx context.Context, client *kgo.Client, positions map[topicPartition]int64, entries []*entry) error {
	if len(entries) == 0 {
		return nil
	}
	err := p.applyOnce(ctx, client, positions, entries)
	switch {
	case !refusesContent(err):
		return err
	case len(entries) == 1:
		entries[0].refused = err
		return p.applyOnce(ctx, client, positions, entries)
	}
	middle := len(entries) / 2
	if err := p.apply(ctx, client, positions, entries[:middle]); err != nil {
		return err
	}
	return p.apply(ctx, client, positions, entries[middle:])
}

// refusesContent tells data that no column can hold (class 22), a status nobody knows, and a second sync of one order.
func refusesContent(err error) bool {
	const uniqueViolation, checkViolation = "23505", "23514"
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (strings.HasPrefix(pgErr.Code, "22") || pgErr.Code == uniqueViolation || pgErr.Code == checkViolation)
}

func (p *Projector) applyOnce(ctx context.Context, client *kgo.Client, positions map[topicPartition]int64, entries []*entry) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	b := batch{before: map[topicPartition]int64{}, after: map[topicPartition]int64{}}
	for _, e := range entries {
		b.before[e.at], b.after[e.at] = positions[e.at], e.record.Offset+1
		switch {
		case e.refused != nil:
		case e.deadLetter != nil:
			b.deadLetters = append(b.deadLetters, *e.deadLetter)
		default:
			b.facts = append(b.facts, e.fact)
		}
	}
	if p.store.into == live { // a shadow reads again what has its letters already
		// The letters come first: a crash before the positions move repeats them, and loses none.
		if err := p.keepRefused(ctx, client, entries); err != nil {
			return err
		}
	}
	if err := p.store.apply(ctx, b); err != nil {
		return err
	}
	maps.Copy(positions, b.after)
	p.log.Debug("facts applied", "records", len(entries), "refused", len(entries)-len(b.facts)-len(b.deadLetters))
	if len(b.deadLetters) > 0 && p.store.into == live {
		return p.judgeDeadLetters(ctx)
	}
	return nil
}

// keepRefused writes the dead letters of what cannot be applied.
func (p *Projector) keepRefused(ctx context.Context, client *kgo.Client, entries []*entry) error {
	var letters []*kgo.Record
	var now []*entry
	for _, e := range entries {
		if e.refused != nil && !e.kept && e.deadLetter == nil { // a letter of a letter would have no end
			p.log.Error("record cannot be applied; it goes to the dead letters", "topic", e.record.Topic, "partition", e.record.Partition,
				"offset", e.record.Offset)
			letters, now = append(letters, deadletter.Record(p.cfg, e.record, deadletter.Cause{By: deadletter.ByProjector, Reason: e.refused.Error()})), append(now, e)
		}
	}
	if err := client.ProduceSync(ctx, letters...).FirstErr(); err != nil {
		return fmt.Errorf("writing dead letters: %w", err)
	}
	for _, e := range now {
		e.kept = true
	}
	return nil
}

// read is the fact of one record.
func read(tp topicPartition, offset int64, record event.View) (fact, error) {
	v, err := record.Sync()
	if err != nil {
		return fact{}, err
	}
	at, err := record.Time()
	if err != nil {
		return fact{}, err
	}
	f := fact{
		at: tp, offset: offset, warnings: v.Warnings, notSent: v.NotSent,
		Fact: domain.Fact{Sync: v.Sync, Time: at, Payload: keepable(v.Payload), Error: keepable(v.Error)},
	}
	if v.Response != nil && tp.topic != event.TopicCallback {
		f.Response, f.httpStatus = keepable(&v.Response.Body), &v.Response.Status
		if tp.topic == event.TopicAfterSend && v.Sync.ErrorCode == "" {
			f.reference = referenceOf(v.Response)
		}
	}
	return f, nil
}

// referenceOf is what the answer calls the order. It may stand behind what the record keeps of the body; records of before it
// was in them have it there.
func referenceOf(r *event.Response) *string {
	if r.Reference != nil {
		return keepable(r.Reference)
	}
	return domain.AnswerReference([]byte(r.Body))
}

func keepable(s *string) *string {
	if s == nil {
		return nil
	}
	out := domain.KeepableText(*s)
	return &out
}

func fetchError(fetches kgo.Fetches) error {
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) { // of poll
			failed = fmt.Errorf("reading %s partition %d: %w", topic, partition, err)
		}
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
