package gate

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// record is a chain record of the gate's order.
func record(g domain.Gate, generation, attempts int) domain.Sync {
	return domain.Sync{
		SyncID: g.SyncID, Source: g.Ref.Source, OrderIncrementID: g.Ref.IncrementID, Generation: generation, Attempts: attempts, UpdatedAt: now,
	}
}

// rereadFrom is as if the log had been read again from the given time on.
func rereadFrom(t *testing.T, pool *pgxpool.Pool, at time.Time) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `TRUNCATE erp_log_reread`)
	require.NoError(t, err)
	require.NoError(t, MarkReread(t.Context(), pool))
	_, err = pool.Exec(t.Context(), `UPDATE erp_log_reread SET at = $1`, at)
	require.NoError(t, err)
}

// project puts the projection's row of a gate's order.
func project(t *testing.T, pool *pgxpool.Pool, g domain.Gate, attempt domain.Version) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		INSERT INTO vendor_erp_sync (sync_id, order_increment_id, status, attempts, max_attempts, idempotency_key, created_at, updated_at,
			source, generation, attempt_version, attempt_version_at, version, version_at)
		VALUES ($1, $2, 'queued', 1, 5, 'ERP', now(), now(), $3, $4, $5, now(), $5, now())`,
		g.SyncID, g.Ref.IncrementID, g.Ref.Source, attempt.Generation(), attempt)
	require.NoError(t, err)
}

// tell puts facts of a gate's order on the timeline.
func tell(t *testing.T, pool *pgxpool.Pool, g domain.Gate, versions ...domain.Version) {
	t.Helper()
	for i, v := range versions {
		_, err := pool.Exec(t.Context(), `
			INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts)
			VALUES (now(), 'any', 0, $2, $1, $3, 'any', 'failed', 1)`, g.SyncID, i, v)
		require.NoError(t, err)
	}
}

func advise(t *testing.T, s *Store, records ...domain.Sync) []domain.Advice {
	t.Helper()
	advice, err := s.Advise(t.Context(), records)
	require.NoError(t, err)
	require.Len(t, advice, len(records))
	return advice
}

func TestAdvise(t *testing.T) {
	t.Parallel()
	after, terminal := domain.PhaseAfter, domain.PhaseTerminal
	version := domain.AttemptVersion
	settled := open(plain, 1, 2)
	settled.State, settled.ClosedBy = domain.GateClosed, domain.ClosedByWebhook
	const goesOn, stops, isOld = "goes on", "stops", "was consumed before"
	for name, c := range map[string]struct {
		gate     domain.Gate
		row      domain.Version
		timeline []domain.Version
		record   domain.Sync
		want     string
	}{
		"nothing_is_known":                         {open(plain, 1, 2), 0, nil, record(settled, 2, 0), goesOn},
		"its_request_is_projected":                 {open(plain, 1, 2), domain.RequestVersion(2, 0), nil, record(settled, 2, 0), goesOn},
		"it_was_parked_since":                      {open(plain, 1, 2), version(2, 1, after), nil, record(settled, 2, 0), isOld},
		"the_parked_one_itself":                    {open(plain, 1, 2), version(2, 1, after), nil, record(settled, 2, 1), goesOn},
		"its_end_is_projected_and_the_gate_open":   {open(plain, 1, 2), version(2, 1, terminal), nil, record(settled, 2, 1), isOld},
		"superseded_and_not_ended":                 {open(plain, 1, 2), domain.RequestVersion(2, 0), []domain.Version{version(1, 1, after), version(2, 1, terminal)}, record(settled, 1, 1), stops},
		"superseded_and_ended":                     {open(plain, 1, 2), domain.RequestVersion(2, 0), []domain.Version{version(1, 1, after), version(1, 1, terminal)}, record(settled, 1, 1), isOld},
		"superseded_and_ended_without_a_call":      {open(plain, 1, 3), 0, []domain.Version{version(2, 0, terminal)}, record(settled, 2, 0), isOld},
		"settled_and_not_ended":                    {settled, version(2, 1, after), []domain.Version{version(1, 1, terminal), domain.CallbackVersion(2, 3)}, record(settled, 2, 1), stops},
		"settled_and_ended_beneath_a_later_intent": {settled, version(2, 2, domain.PhaseBefore), []domain.Version{version(2, 1, terminal)}, record(settled, 2, 1), isOld},
		"settled_while_a_later_record_lives":       {settled, version(2, 1, after), nil, record(settled, 2, 0), isOld},
		"another_sync_of_the_order":                {open(plain, 9, 2), version(2, 4, terminal), nil, record(settled, 2, 0), goesOn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := testkit.Postgres(t).Pool
			save(t, pool, c.gate)
			if c.row != 0 {
				project(t, pool, c.gate, c.row)
			}
			tell(t, pool, c.gate, c.timeline...)
			alone := advise(t, NewStore(pool), c.record)[0]
			require.Equal(t, domain.Advise(&c.gate, c.record), alone, "while the log is not read again the gate alone counts")
			rereadFrom(t, pool, time.Now())
			switch advice := advise(t, NewStore(pool), c.record)[0]; c.want {
			case isOld:
				require.Equal(t, domain.Advice{Stop: true, Ended: true}, advice)
			case stops:
				require.True(t, advice.Stop && !advice.Ended)
				require.Equal(t, alone, advice)
			default:
				require.Equal(t, domain.Advice{}, advice)
			}
		})
	}
}

// What was written after the log began to be read again was never consumed before, whatever the projection says; nor is anything
// once the longest retry of before is through.
func TestOnlyRecordsFromBeforeAreAskedAbout(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	g := open(plain, 1, 1)
	save(t, pool, g)
	project(t, pool, g, domain.AttemptVersion(1, 1, domain.PhaseAfter))
	r := record(g, 1, 0)
	for name, c := range map[string]struct {
		reread, written time.Time
		old             bool
	}{
		"written_before":      {time.Now(), time.Now().Add(-time.Hour), true},
		"by_a_clock_ahead":    {time.Now(), time.Now().Add(time.Second), true},
		"written_after":       {time.Now().Add(-time.Hour), time.Now(), false},
		"a_retry_of_30_days":  {time.Now().Add(-domain.MaxRetryAfter), time.Now().Add(-domain.MaxRetryAfter - time.Hour), true},
		"a_reset_of_long_ago": {time.Now().Add(-domain.MaxRetryAfter - 48*time.Hour), time.Now().Add(-2 * domain.MaxRetryAfter), false},
	} {
		rereadFrom(t, pool, c.reread)
		r.UpdatedAt = c.written
		require.Equal(t, c.old, advise(t, NewStore(pool), r)[0].Stop, name)
	}
}

// Records of several orders at once, and two of one order, each get their own.
func TestAdviseKeepsTheOrderOfTheRecords(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	a, b := open(plain, 1, 3), open(slashed, 2, 1)
	save(t, pool, a, b)
	tell(t, pool, a, domain.AttemptVersion(1, 1, domain.PhaseTerminal))
	rereadFrom(t, pool, time.Now())
	missing := record(open(closed, 3, 1), 1, 0)
	got := advise(t, NewStore(pool), record(a, 2, 1), record(b, 1, 0), missing, record(a, 1, 1), record(a, 3, 0))
	superseded := domain.Advice{Stop: true, ClosedBy: domain.ClosedBySuperseded}
	require.Equal(t, []domain.Advice{superseded, {}, {Alarm: "gate missing"}}, got[:3])
	require.True(t, got[3].Ended)
	require.Equal(t, domain.Advice{}, got[4])
}

// What this process has just committed is known before the projection has it, of every generation for itself.
func TestAdviseKnowsWhatWasCommittedLately(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	g := open(plain, 1, 2)
	save(t, pool, g)
	rereadFrom(t, pool, time.Now())
	s := NewStore(pool)
	first, copied := record(g, 2, 1), record(g, 2, 1)
	require.False(t, advise(t, s, first)[0].Stop)
	committed := record(g, 2, 2)
	committed.Version = domain.AttemptVersion(2, 2, domain.PhaseAfter)
	s.Committed(committed)
	require.True(t, advise(t, s, copied)[0].Ended, "another copy of the record")
	require.False(t, advise(t, s, record(g, 2, 2))[0].Stop, "what it came to")
	require.False(t, advise(t, s, record(g, 1, 1))[0].Ended, "another generation")
	require.False(t, advise(t, NewStore(pool), copied)[0].Stop, "another process")
}

func TestWhatWasCommittedLatelyIsBounded(t *testing.T) {
	t.Parallel()
	var r recent
	sync := func(id int) domain.Sync {
		return domain.Sync{SyncID: int64(id), Generation: 1, Version: domain.AttemptVersion(1, 1, domain.PhaseAfter)}
	}
	for id := range 3 * maxRecent {
		r.put(sync(id))
		require.LessOrEqual(t, len(r.young)+len(r.aged), maxRecent)
		if id >= maxRecent/2 {
			require.NotZero(t, r.of(sync(id-maxRecent/2+1)), fmt.Sprint("the last ", maxRecent/2))
		}
	}
	require.Zero(t, r.of(sync(0)))
}

// TestAnOldGenerationWithoutLinesHasEnded guards against a second end of a generation whose lines timeline_retention has deleted.
func TestAnOldGenerationWithoutLinesHasEnded(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	g := open(plain, 1, 3)
	save(t, pool, g)
	project(t, pool, g, domain.RequestVersion(3, 0))
	rereadFrom(t, pool, time.Now())
	old := record(g, 1, 1)
	advice := func() domain.Advice { return advise(t, NewStore(pool), old)[0] }
	require.False(t, advice().Ended, "nothing was deleted")

	floor := func(at time.Time) {
		_, err := pool.Exec(t.Context(), `INSERT INTO erp_timeline_floor (before) VALUES ($1) ON CONFLICT (single) DO UPDATE SET before = $1`, at)
		require.NoError(t, err)
	}
	floor(old.UpdatedAt)
	require.False(t, advice().Ended, "what was deleted is older")
	floor(old.UpdatedAt.Add(time.Second))
	require.Equal(t, domain.Advice{Stop: true, Ended: true}, advice())

	tell(t, pool, g, domain.RequestVersion(2, 0))
	require.True(t, advice().Ended, "another generation's line is there")
	_, err := pool.Exec(t.Context(), `TRUNCATE vendor_erp_sync_event`)
	require.NoError(t, err)
	tell(t, pool, g, domain.RequestVersion(1, 0))
	require.False(t, advice().Ended, "its lines are there, and no end is among them")
}
