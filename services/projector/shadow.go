package projector

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

const (
	maxBehind   = 10_000 // offsets behind the live projection; the rest is folded up to the snapshot
	maxLaps     = 20
	pollTimeout = 30 * time.Second // a log that holds the records gives one sooner

	// A shadow reads all partitions side by side, a little of each: so most facts of an order come in one batch, and its row is written
	// once for all of them; see merge.
	shadowBatch          = 5000     // records
	shadowPartitionBytes = 32 << 10 // of a fetch, compressed

	mendStart = "a projection is built from the log's start, so restore the topic first"
)

// Progress is how far a shadow is on its way to the live projection's positions. It counts offsets. Markers of transactions
// have offsets too, so there are fewer records than that.
type Progress struct {
	Done, Of int64
}

// shadow is a second projection next to the live one: the same fold of the same log, into tables of its own. It never passes
// the live positions. So it has no dead letters to write, and leaves timeline and write side to the live projection.
type shadow struct {
	*Projector

	live       *store
	onProgress func(Progress)
}

func newShadow(cfg kafka.Config, pool *pgxpool.Pool, log *slog.Logger, name string, onProgress func(Progress), check *timelineCheck) *shadow {
	into := target{rows: name, positions: name + "_position", mend: mendStart}
	s := &shadow{Projector: newProjector(cfg, pool, log, into), live: newStore(pool, live), onProgress: onProgress}
	s.store.check = check
	return s
}

// create makes the shadow's tables where there are none; persistence is "" or UNLOGGED. It keeps the unique indexes, which
// refuse what those of the live tables refuse. It drops the others: they are for readers, and cost much while rows change.
func (s *shadow) create(ctx context.Context, persistence string) error {
	tables := map[string]string{s.store.into.rows: live.rows, s.store.into.positions: live.positions}
	if s.store.into.history != "" {
		tables[s.store.into.history] = live.history
	}
	for table, like := range tables {
		if _, err := s.store.pool.Exec(ctx, `CREATE `+persistence+` TABLE IF NOT EXISTS `+table+` (LIKE `+like+` INCLUDING ALL)`); err != nil {
			return fmt.Errorf("making table %s: %w", table, err)
		}
	}
	err := s.each(ctx, `SELECT 'DROP INDEX ' || indexrelid::regclass FROM pg_index WHERE indrelid = $1::text::regclass AND NOT indisunique`, s.store.into.rows)
	if err != nil {
		return fmt.Errorf("making table %s: %w", s.store.into.rows, err)
	}
	return nil
}

// each executes, in one transaction, the statements that a query returns.
func (s *shadow) each(ctx context.Context, query string, args ...any) error {
	return pgx.BeginFunc(ctx, s.store.pool, func(tx pgx.Tx) error { return executeEach(ctx, tx, query, args...) })
}

// executeEach executes the statements that a query returns.
func executeEach(ctx context.Context, tx pgx.Tx, query string, args ...any) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// drop takes the shadow's tables away.
func (s *shadow) drop(ctx context.Context) error {
	tables := s.store.into.rows + ", " + s.store.into.positions
	if s.store.into.history != "" {
		tables += ", " + s.store.into.history
	}
	if _, err := s.store.pool.Exec(ctx, `DROP TABLE IF EXISTS `+tables); err != nil {
		return fmt.Errorf("dropping table %s: %w", s.store.into.rows, err)
	}
	return nil
}

// approach folds until the shadow is close behind the live projection, which moves on meanwhile. It gives up after maxLaps:
// a shadow that is no faster than the live projection has the rest folded at the end.
func (s *shadow) approach(ctx context.Context) error {
	for range maxLaps {
		until, err := s.live.positions(ctx, s.live.pool)
		if err != nil {
			return err
		}
		at, err := s.store.positions(ctx, s.store.pool)
		if err != nil {
			return err
		}
		if err := s.foldTo(ctx, until); err != nil {
			return err
		}
		if sum(until)-sum(at) < maxBehind {
			return nil
		}
	}
	return nil
}

// foldTo folds exactly the records before these positions of the live projection. While it writes a batch, it reads the next one.
func (s *shadow) foldTo(ctx context.Context, until map[kafka.TopicPartition]int64) error {
	client, positions, err := s.reader(ctx, kgo.FetchMaxPartitionBytes(shadowPartitionBytes))
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	left := maps.Clone(until)
	for tp, next := range positions {
		if next > until[tp] {
			return fmt.Errorf("table %s has applied %s partition %d up to offset %d, the live projection only up to %d: begin anew (--anew)",
				s.store.into.rows, tp.Topic, tp.Partition, next, until[tp])
		}
		s.passed(client, left, tp, next)
	}
	reading, stop := context.WithCancel(ctx)
	batches, ended := make(chan []*entry), make(chan error, 1)
	go func() {
		defer close(batches)
		ended <- s.readTo(reading, client, left, until, batches)
	}()
	for batch := range batches {
		if err = s.apply(ctx, client, positions, batch); err != nil {
			break
		}
		s.onProgress(Progress{Done: sum(positions), Of: sum(until)})
	}
	stop() // for the reader that a failure has left; it has ended before the client is closed
	return cmp.Or(err, <-ended)
}

// readTo reads the records before these positions, batch by batch.
func (s *shadow) readTo(ctx context.Context, client *kgo.Client, left, until map[kafka.TopicPartition]int64, batches chan<- []*entry) error {
	merged := newMerge()
	var batch []*entry
	for len(left) > 0 {
		entries, err := s.next(ctx, client, left)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.record.Offset < until[e.at] {
				merged.add(e)
			}
			s.passed(client, left, e.at, e.record.Offset+1)
		}
		batch = append(batch, merged.due(left)...)
		merged.pace(client, s.cfg, left)
		for len(batch) >= shadowBatch || (len(left) == 0 && len(batch) > 0) {
			n := min(len(batch), shadowBatch)
			select {
			case batches <- batch[:n:n]:
				batch = batch[n:]
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// passed takes a partition off what is left once its position is reached, and fetches no more of it.
func (s *shadow) passed(client *kgo.Client, left map[kafka.TopicPartition]int64, tp kafka.TopicPartition, next int64) {
	if end, waits := left[tp]; waits && next < end {
		return
	}
	delete(left, tp)
	client.PauseFetchPartitions(map[string][]int32{s.cfg.Topic(tp.Topic): {tp.Partition}})
}

// next polls the next records. It fails when none come, as the log should hold those that are left.
func (s *shadow) next(ctx context.Context, client *kgo.Client, left map[kafka.TopicPartition]int64) ([]*entry, error) {
	waiting, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	fetches := client.PollRecords(waiting, shadowBatch)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := fetchError(fetches); err != nil {
		return nil, err
	}
	if waiting.Err() != nil && fetches.Empty() {
		for tp, end := range left {
			return nil, fmt.Errorf("no record from Kafka for %s, yet the live projection has read %s partition %d up to offset %d: "+
				"look whether the brokers answer (erpconnector topics check) and whether the topic was made anew", pollTimeout, tp.Topic, tp.Partition, end)
		}
	}
	return entriesOf(s.cfg, fetches), nil
}

// sum adds up positions.
func sum(positions map[kafka.TopicPartition]int64) (total int64) {
	for _, next := range positions {
		total += next
	}
	return total
}
