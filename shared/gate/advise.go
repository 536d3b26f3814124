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

// Advise is domain.Advise for each chain record, in their order.
//
// While the log is read again (see MarkReread) it also tells which records were consumed before: by the projection's row, and by
// what this process has committed since, which the projection may not know yet (see Committed). Of a generation that the gate would
// end the timeline is asked as well, as the row tells of the newest generation only.
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
	var again []int // those that may have been consumed before
	for i, r := range records {
		g := gates[keys[i]]
		out[i] = domain.Advise(g, r)
		// Another sync of the order, as a restored database may have it, says nothing.
		if r.UpdatedAt.Before(reread) && g != nil && g.SyncID == r.SyncID {
			again = append(again, i)
		}
	}
	if len(again) == 0 {
		return out, nil
	}
	return out, s.adviseAgain(ctx, records, gates, again, out)
}

// adviseAgain advises records of a log that is read again.
func (s *Store) adviseAgain(ctx context.Context, records []domain.Sync, gates map[string]*domain.Gate, again []int, out []domain.Advice) error {
	attempts, err := s.readAttempts(ctx, records, again)
	if err != nil {
		return err
	}
	var ending []int // those that the gate would end
	for _, i := range again {
		r := records[i]
		out[i] = domain.Advise(gates[r.Ref().Key()], r, attempts[r.SyncID], s.recent.of(r))
		if out[i].Stop && !out[i].Ended {
			ending = append(ending, i)
		}
	}
	if len(ending) == 0 {
		return nil
	}
	ends, err := s.readEnds(ctx, records, ending)
	if err != nil {
		return err
	}
	for n, i := range ending {
		out[i] = domain.Advise(gates[records[i].Ref().Key()], records[i], ends[n])
	}
	return nil
}

const (
	// rereadFor is how long a record from before may still come by a retry topic, see domain.MaxRetryAfter.
	rereadFor = domain.MaxRetryAfter + 24*time.Hour
	// rereadSkew is more than clocks differ: a record that was written a moment after is asked about as well, which does no harm.
	rereadSkew = time.Minute
)

// MarkReread says that the log is read again from its start, from now on. The caller has made sure that the projection has applied
// all of it. Without that a record would be passed over of which the log holds nothing more.
func MarkReread(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, `INSERT INTO erp_log_reread DEFAULT VALUES ON CONFLICT DO NOTHING`); err != nil {
		return fmt.Errorf("noting that the log is read again: %w", err)
	}
	return nil
}

// reread keeps when the log began to be read again.
type reread struct {
	mu       sync.Mutex
	before   time.Time // records that were written before this may be old ones; zero: none
	lookedAt time.Time
}

// rereadLook is how old the answer may be. Nobody reads the log while its offsets are reset, so that even a later look would do.
const rereadLook = time.Second

func (r *reread) at(ctx context.Context, pool *pgxpool.Pool) (before time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.lookedAt) < rereadLook {
		return r.before, nil
	}
	var at *time.Time
	err = pool.QueryRow(ctx, `SELECT max(at) FROM erp_log_reread WHERE at > now() - make_interval(secs => $1)`, rereadFor.Seconds()).Scan(&at)
	if err != nil {
		return before, fmt.Errorf("asking whether the log is read again: %w", err)
	}
	r.before, r.lookedAt = time.Time{}, time.Now()
	if at != nil {
		r.before = at.Add(rereadSkew)
	}
	return r.before, nil
}

// readAttempts are the highest versions of an attempt that the projection's rows know, by sync.
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

// readEnds looks on the timeline for the ends of some records' generations. It gives a version for each, 0 where there is none.
func (s *Store) readEnds(ctx context.Context, records []domain.Sync, which []int) ([]domain.Version, error) {
	lowest := column(which, func(i int) int64 { v, _ := domain.AttemptVersions(records[i].Generation); return int64(v) })
	highest := column(which, func(i int) int64 { _, v := domain.AttemptVersions(records[i].Generation); return int64(v) })
	rows, err := s.pool.Query(ctx, `
		SELECT coalesce((SELECT version FROM vendor_erp_sync_event e
			WHERE e.sync_id = a.sync_id AND e.version BETWEEN a.lowest AND a.highest AND e.version & 7 = $4 LIMIT 1), 0)
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS a (sync_id, lowest, highest, n) ORDER BY n`,
		column(which, func(i int) int64 { return records[i].SyncID }), lowest, highest, int64(domain.PhaseTerminal))
	if err != nil {
		return nil, fmt.Errorf("reading whether %d generations have ended: %w", len(which), err)
	}
	ends, err := pgx.CollectRows(rows, pgx.RowTo[domain.Version])
	if err != nil {
		return nil, fmt.Errorf("reading whether %d generations have ended: %w", len(which), err)
	}
	return ends, nil
}

// Committed remembers that what a chain record came to stands in the log, for the moments before the projection knows it: s is the
// sync of the terminal event, else that of after_send.
func (s *Store) Committed(c domain.Sync) { s.recent.put(c) }

// maxRecent bounds what is remembered, in two halves of which the older one is forgotten at once. That is 25 s of 2,000 chains a
// second, and some 5 MB.
const maxRecent = 50_000

type chain struct {
	syncID     int64
	generation int
}

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
