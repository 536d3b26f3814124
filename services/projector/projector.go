// Package projector folds the log into vendor_erp_sync and the timeline.
//
// One instance works at a time, the holder of the projector's lease; others stand by. It reads every partition from the
// position in Postgres, which stands next to the rows. Each batch moves rows and positions in one transaction, so that a
// fact is applied once whatever happens. Read on in store.go.
//
// An example. A batch holds these records of order 000000123, and its positions before and after are the transaction's guard:
//
//	vendor_erp_sync_before_send/3@41   status in_progress
//	vendor_erp_sync_after_send/3@40    status queued, last_error "busy"
//	  → one row in vendor_erp_sync, two lines in vendor_erp_sync_event, projector_position before_send/3 = 42, after_send/3 = 41
//
// Topics are read side by side, so the second may come before the first. The fold gives the same row either way (domain.Fold).
//
// What it promises: the table is the fold of the log. Verify proves that, by a second fold into a table of its own (a shadow), and
// Rebuild puts such a shadow in the live table's place. Both work while the product runs.
package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	manyRead        = 2000                  // records, enough for one batch
	manyRecords     = 100                   // read at once; then there may be more
	moreWait        = 5 * time.Millisecond  // for them
	fetchBytes      = 4 << 20               // of a fetch, compressed: some of each partition, so that no topic is read far ahead of the others
	partitionBytes  = 128 << 10             // of these
	applyTimeout    = 10 * time.Second      // of one transaction, with the dead letters before it
	minWait         = 50 * time.Millisecond // between two sessions, after a failure
	maxWait         = 2 * time.Second
	catchUpInterval = 5 * time.Second // between two looks at rows that somebody had locked

	// After a batch the projector rests, unless more wait than it takes at once. So the next one is larger, and an order's row is
	// written less often: what follows on an order's first record mostly comes within minRest. While records wait at the end of each rest,
	// as with 50 orders a second, the rests become longer: then several orders share a transaction. Under load many do so anyway.
	restTimes = 2. // what the batch took
	minRest   = 15 * time.Millisecond
	maxRest   = 200 * time.Millisecond
	busyRest  = 50 * time.Millisecond // maxRest under load
	waited    = 2 * time.Millisecond  // a poll that takes longer found nothing at first
)

// errPositions means that the log does not hold the record that comes next by the table's positions.
var errPositions = errors.New("the log does not continue where the projection stopped")

// Projector is one instance.
type Projector struct {
	cfg             kafka.Config
	store           *store
	log             *slog.Logger
	counting        *run.Outage
	now             func() time.Time
	catchUpInterval time.Duration
}

// New makes a Projector.
func New(cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger) *Projector {
	return newProjector(cfg, pool, log, live)
}

func newProjector(cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger, into target) *Projector {
	counting := &run.Outage{Began: "the syncs are not counted anew; the counts of lists are wrong until they are", Ended: "the syncs are counted anew"}
	return &Projector{cfg: cfg, store: newStore(pool, into), log: log, counting: counting, now: time.Now, catchUpInterval: catchUpInterval}
}

// Run applies the log until ctx ends. It returns an error only when the log and the positions do not fit together: no
// further try would mend that.
func (p *Projector) Run(ctx context.Context) error {
	wait := run.Backoff{Min: minWait, Max: maxWait}
	outage := run.Outage{Began: "the projection stands still; trying again until it goes on", Ended: "the projection goes on"}
	for ctx.Err() == nil {
		err := p.session(ctx, func() {
			wait.Reset()
			outage.Report(p.log, nil)
		})
		if errors.Is(err, errPositions) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			outage.Report(p.log, err)
			wait.Sleep(ctx)
		}
	}
	return nil
}

// session reads from the stored positions until something fails; the next session begins from there. It calls works after
// each batch that was applied.
func (p *Projector) session(ctx context.Context, works func()) error {
	more := append(p.cfg.PatientFetch(), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(partitionBytes))
	client, positions, err := p.reader(ctx, more...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	if err := p.catchUp(ctx); err != nil {
		return err
	}
	caughtUp, read := time.Now(), newGathered()
	pace := run.Pace{Rest: restTimes, Min: minRest}
	for pace.Sleep(ctx) {
		asked := time.Now()
		n, began, err := p.read(ctx, client, read)
		if err != nil || ctx.Err() != nil {
			return err
		}
		pace.Max = mostRest(read.isBusy(time.Now()))
		pace.Min = restAfter(pace.Min, pace.Max, began.Sub(asked))
		if err := p.apply(ctx, client, positions, read.due(time.Now())); err != nil {
			return err
		}
		if n < manyRead {
			pace.Worked(began)
		}
		works()
		if p.store.skipped && time.Since(caughtUp) >= p.catchUpInterval {
			if err := p.catchUp(ctx); err != nil {
				return err
			}
			caughtUp = time.Now()
		}
	}
	return nil
}

// restAfter returns the least rest after a poll that took so long.
func restAfter(last, most, took time.Duration) time.Duration {
	if took > waited {
		return minRest
	}
	return min(2*last, most)
}

func mostRest(busy bool) time.Duration {
	if busy {
		return busyRest
	}
	return maxRest
}

// catchUp does what earlier batches left out, also those of a process that was killed: gates and orders that were locked, counts that
// are not those of the rows, dead letters that nobody has judged.
func (p *Projector) catchUp(ctx context.Context) error {
	if err := p.store.catchUp(ctx); err != nil {
		return err
	}
	// Wrong counts are no reason to stand still.
	err := p.store.recount(ctx)
	if ctx.Err() == nil {
		p.counting.Report(p.log, err)
	}
	p.store.skipped = p.store.skipped || err != nil
	return p.judgeDeadLetters(ctx)
}

// reader makes a client that reads every partition from the stored positions, and returns these too.
func (p *Projector) reader(ctx context.Context, more ...kgo.Opt) (*kgo.Client, map[kafka.TopicPartition]int64, error) {
	options := append(p.cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset())) // a log that was trimmed since is an error, see positions
	client, err := kgo.NewClient(slices.Concat(options, kafka.BoundedFetch(), more)...)
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
		if start[p.cfg.Topic(tp.Topic)] == nil {
			start[p.cfg.Topic(tp.Topic)] = map[int32]kgo.Offset{}
		}
		start[p.cfg.Topic(tp.Topic)][tp.Partition] = kgo.NewOffset().At(next)
	}
	client.AddConsumePartitions(start)
	return client, positions, nil
}

// read waits for records and gathers them; n is how many came, and began when the first did. A poll returns what one fetch has brought.
// When that is much, there is more: topics with small records come faster than those with large ones. There is more, too, when the poll
// returns at once: the client has fetched these at the last read, and what came in the rest since then takes another fetch.
func (p *Projector) read(ctx context.Context, client *kgo.Client, into *gathered) (n int, began time.Time, err error) {
	for wait := p.wait(into); ; wait = moreWait {
		asked, isFirst := time.Now(), n == 0
		fetches := poll(ctx, client, wait)
		if ctx.Err() != nil {
			return n, began, nil
		}
		if err := fetchError(fetches); err != nil {
			return n, began, err
		}
		if n == 0 {
			began = time.Now()
		}
		entries := entriesOf(p.cfg, fetches)
		into.add(entries, time.Now())
		n += len(entries)
		fetchedBefore := isFirst && n > 0 && began.Sub(asked) <= waited
		if n >= manyRead || len(entries) < manyRecords && !fetchedBefore {
			return n, began, nil
		}
	}
}

// wait is how long to wait for records; 0: until some come.
func (p *Projector) wait(gathered *gathered) time.Duration {
	switch {
	case len(gathered.queues) > 0:
		return busyRest
	case p.store.skipped:
		return p.catchUpInterval
	}
	return 0
}

// poll returns all that has been fetched: a part of it would be some topics only.
func poll(ctx context.Context, client *kgo.Client, wait time.Duration) kgo.Fetches {
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	return client.PollFetches(ctx)
}

// positions reads the stored position of every partition of the log. A partition that was never read has position 0. It
// fails when the log does not hold what a position says comes next.
func (p *Projector) positions(ctx context.Context, client *kgo.Client) (map[kafka.TopicPartition]int64, error) {
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
	positions := map[kafka.TopicPartition]int64{}
	for _, topic := range topics {
		for partition, s := range starts[p.cfg.Topic(topic)] {
			tp := kafka.TopicPartition{Topic: topic, Partition: partition}
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

// fetchError is the last error of the fetches. The deadline of poll is none.
func fetchError(fetches kgo.Fetches) error {
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			failed = fmt.Errorf("reading %s partition %d: %w", topic, partition, err)
		}
	})
	return failed
}
