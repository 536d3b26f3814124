package gate

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Advise is domain.Advise for each of the chain records, in their order.
//
// While the log is read again (see MarkReread), it also finds the records that were consumed before. It knows them by the
// projection's row, and by what this process has committed since, which the projection may not know yet (see Committed). When the
// gate would end a generation, Advise looks into the timeline too, as the row shows only the newest generation.
func (s *Store) Advise(ctx context.Context, records []domain.Sync) ([]domain.Advice, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	reread, err := s.reread.at(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	keys := column(records, func(r domain.Sync) string { return r.Ref().Key() })
	gates, err := s.Read(ctx, keys)
	if err != nil {
		return nil, err
	}
	out := make([]domain.Advice, len(records))
	var suspects []int // those that may have been consumed before
	for i, r := range records {
		g := gates[keys[i]]
		out[i] = domain.Advise(g, r)
		// A restored database may have another sync of the order. Its row says nothing about this record.
		if r.UpdatedAt.Before(reread) && g != nil && g.SyncID == r.SyncID {
			suspects = append(suspects, i)
		}
	}
	if len(suspects) == 0 {
		return out, nil
	}
	return out, s.adviseReread(ctx, records, gates, suspects, out)
}

// adviseReread advises the records that may have been consumed before.
func (s *Store) adviseReread(ctx context.Context, records []domain.Sync, gates map[string]*domain.Gate, suspects []int, out []domain.Advice) error {
	attempts, err := s.readAttempts(ctx, records, suspects)
	if err != nil {
		return err
	}
	var stopped []int // those that the gate would stop
	for _, i := range suspects {
		r := records[i]
		out[i] = domain.Advise(gates[r.Ref().Key()], r, attempts[r.SyncID], s.recent.of(r))
		if out[i].Stop && !out[i].Ended {
			stopped = append(stopped, i)
		}
	}
	if len(stopped) == 0 {
		return nil
	}
	ends, err := s.readEnds(ctx, records, stopped)
	if err != nil {
		return err
	}
	for n, i := range stopped {
		out[i] = domain.Advise(gates[records[i].Ref().Key()], records[i], ends[n])
	}
	return nil
}

const (
	// rereadFor is how long a record from before may still be on its way through the retry topics, see domain.MaxRetryAfter.
	rereadFor = domain.MaxRetryAfter + 24*time.Hour
	// rereadSkew is more than clocks differ. To check a record that was written a moment later too does no harm.
	rereadSkew = time.Minute
)

// MarkReread notes that the log is read again from its start, from now on. Before, the caller makes sure that the projection has
// applied all of the log. Otherwise a record that was consumed before would not be known as such.
func MarkReread(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, `INSERT INTO erp_log_reread DEFAULT VALUES ON CONFLICT DO NOTHING`); err != nil {
		return fmt.Errorf("noting that the log is read again: %w", err)
	}
	return nil
}

// reread keeps when the log began to be read again.
type reread struct {
	mu     sync.Mutex
	before time.Time // records that were written before this may be old ones; zero: none
	readAt time.Time
}

// rereadInterval is how old the answer may be. Nobody reads the log while its offsets are reset, so a longer one would do too.
const rereadInterval = time.Second

// at is the time before which records may have been consumed already; zero when the log is not read again.
func (r *reread) at(ctx context.Context, pool *pgxpool.Pool) (before time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.readAt) < rereadInterval {
		return r.before, nil
	}
	var at *time.Time
	err = pool.QueryRow(ctx, `SELECT max(at) FROM erp_log_reread WHERE at > now() - make_interval(secs => $1)`, rereadFor.Seconds()).Scan(&at)
	if err != nil {
		return before, fmt.Errorf("reading whether the log is read again: %w", err)
	}
	r.before, r.readAt = time.Time{}, time.Now()
	if at != nil {
		r.before = at.Add(rereadSkew)
	}
	return r.before, nil
}

// readAttempts reads, by sync, the highest version of an attempt that the projection has.
func (s *Store) readAttempts(ctx context.Context, records []domain.Sync, which []int) (map[int64]domain.Version, error) {
	rows, err := s.pool.Query(ctx, `SELECT sync_id, attempt_version FROM vendor_erp_sync WHERE sync_id = ANY($1)`,
		column(which, func(i int) int64 { return records[i].SyncID }))
	if err != nil {
		return nil, fmt.Errorf("reading how far %d syncs have come: %w", len(which), err)
	}
	out := map[int64]domain.Version{}
	var syncID int64
	var attempt domain.Version
	_, err = pgx.ForEachRow(rows, []any{&syncID, &attempt}, func() error {
		out[syncID] = attempt
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading how far %d syncs have come: %w", len(which), err)
	}
	return out, nil
}

// readEnds finds in the timeline how the generations of some records ended: a version for each, 0 where it has not ended.
//
// Old lines may have been deleted (timeline_retention), all of a sync at once after its end. So a generation of that age without any line
// has ended.
func (s *Store) readEnds(ctx context.Context, records []domain.Sync, which []int) ([]domain.Version, error) {
	lowest := column(which, func(i int) int64 { v, _ := domain.AttemptVersions(records[i].Generation); return int64(v) })
	highest := column(which, func(i int) int64 { _, v := domain.AttemptVersions(records[i].Generation); return int64(v) })
	rows, err := s.pool.Query(ctx, `
		SELECT coalesce((SELECT version FROM vendor_erp_sync_event e
			WHERE e.sync_id = a.sync_id AND e.version BETWEEN a.lowest AND a.highest AND e.version & 7 = $4 LIMIT 1),
			(SELECT (a.highest & ~7::bigint) | $4 FROM erp_timeline_floor WHERE a.written_at < before AND NOT EXISTS (SELECT FROM vendor_erp_sync_event e
				WHERE e.sync_id = a.sync_id AND e.version >= a.first AND e.version < a.next)), 0)
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $5::timestamptz[], $6::bigint[], $7::bigint[])
			WITH ORDINALITY AS a (sync_id, lowest, highest, written_at, first, next, n) ORDER BY n`,
		column(which, func(i int) int64 { return records[i].SyncID }), lowest, highest, int64(domain.PhaseTerminal),
		column(which, func(i int) time.Time { return records[i].UpdatedAt }),
		column(which, func(i int) int64 { return int64(domain.RequestVersion(records[i].Generation, 0)) }),
		column(which, func(i int) int64 { return int64(domain.RequestVersion(records[i].Generation+1, 0)) }))
	if err != nil {
		return nil, fmt.Errorf("reading whether %d generations have ended: %w", len(which), err)
	}
	ends, err := pgx.CollectRows(rows, pgx.RowTo[domain.Version])
	if err != nil {
		return nil, fmt.Errorf("reading whether %d generations have ended: %w", len(which), err)
	}
	return ends, nil
}

// Committed remembers the outcome of a chain record that is in the log, until the projection has it. c is the sync of the terminal
// event, or that of after_send when there is no terminal event.
func (s *Store) Committed(c domain.Sync) { s.recent.put(c) }

// maxRecent bounds what is remembered. The memory has two halves; when the young one is full, the old one is dropped as a whole. At
// 2,000 chains a second that keeps 12 to 25 s, in some 5 MB.
const maxRecent = 50_000

// chain names the records of one generation.
type chain struct {
	syncID     int64
	generation int
}

// recent are the outcomes of the last chain records.
type recent struct {
	mu          sync.Mutex
	young, aged map[chain]domain.Version
}

func (r *recent) put(s domain.Sync) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.young == nil || len(r.young) >= maxRecent/2 {
		r.young, r.aged = map[chain]domain.Version{}, r.young
	}
	r.young[chain{s.SyncID, s.Generation}] = s.Version
}

func (r *recent) of(s domain.Sync) domain.Version {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := chain{s.SyncID, s.Generation}
	if v, known := r.young[c]; known {
		return v
	}
	return r.aged[c]
}
