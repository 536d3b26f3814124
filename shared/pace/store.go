package pace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Channel is the Postgres notification channel for changes that others must hear of at once.
const Channel = "erp_pace"

const (
	// queryTimeout bounds one reading or one change of a member. After that Postgres counts as away.
	queryTimeout = 2 * time.Second
	// reportTimeout bounds what a person asks for, who would rather wait than ask again.
	reportTimeout = 10 * time.Second
)

// Store keeps the state in Postgres. It is safe for concurrent use, in any number of processes.
type Store struct{ pool *pgxpool.Pool }

// NewStore makes a Store.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

const stateColumns = `p.breaker, p.hold, p.concurrency, p.learnt_rate, p.meter, p.next_call_at, p.settings, p.version`

// members are those seen lately, but for one; they are read in the statement that reads the state, so both belong together.
const members = `(SELECT coalesce(jsonb_agg(jsonb_build_object('ID', m.process, 'InFlight', m.in_flight, 'Roster', m.roster, 'JoinedAt', m.joined_at, 'SeenAt', m.seen_at)), '[]')
	FROM erp_member m WHERE m.seen_at > clock_timestamp() - $1::interval AND m.process <> $2)`

// Load reads the state and the members. It waits for Postgres as long as ctx does, and for 10 s at most.
func (s *Store) Load(ctx context.Context) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	row := s.pool.QueryRow(ctx, `SELECT `+stateColumns+`, `+members+`, clock_timestamp() FROM erp_pace p`, MemberTimeout, "")
	v, err := scanView(row)
	if err != nil {
		return View{}, fmt.Errorf("reading the ERP's pace: %w", err)
	}
	return v, nil
}

func scanView(row pgx.Row, more ...any) (v View, err error) {
	var next *time.Time
	var all []Member
	err = row.Scan(append([]any{&v.Breaker, &v.Hold, &v.Limit, &v.Learnt, &v.Meter, &next, &v.Made, &v.Version, &all, &v.At}, more...)...)
	if next != nil {
		v.Next = next.UTC()
	}
	v.Members, v.At = all, v.At.UTC()
	return v, err
}

// Change applies the changes to the state that the caller knows. When somebody else has changed it, it reads again, and applies them
// to what stands there then. It writes the breaker's history, and tells the others what they must hear of.
func (s *Store) Change(ctx context.Context, from State, ops ...Op) (after State, events []domain.BreakerEvent, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		after, events = from.Apply(ops)
		swapped, err := s.swap(ctx, from, after, events)
		if err != nil {
			return State{}, nil, fmt.Errorf("changing the ERP's pace: %w", err)
		}
		if swapped {
			after.Version = from.Version + 1
			return after, events, nil
		}
		run.Sleep(ctx, rand.N(wait)) //nolint:gosec // it need not be secret
		v, err := s.Load(ctx)
		if err != nil {
			return State{}, nil, err
		}
		from = v.State
	}
}

// swap puts after in the place of before, if that still stands there.
func (s *Store) swap(ctx context.Context, before, after State, events []domain.BreakerEvent) (ok bool, err error) {
	var next *time.Time
	if !after.Next.IsZero() {
		next = &after.Next
	}
	history, err := json.Marshal(events)
	if err != nil {
		return false, err
	}
	err = s.pool.QueryRow(ctx, `
		WITH swapped AS (
			UPDATE erp_pace SET breaker = $2, hold = $3, concurrency = $4, next_call_at = $5, settings = $9, learnt_rate = $10, meter = $11, version = version + 1, updated_at = clock_timestamp()
			WHERE version = $1 RETURNING version
		),
		history AS (
			INSERT INTO erp_pace_history (at, from_state, to_state, why, by, allowed)
			SELECT (e ->> 'at')::timestamptz, e ->> 'from', e ->> 'to', e ->> 'why', e ->> 'by', coalesce((e ->> 'allowed')::int, 0)
			FROM swapped, jsonb_array_elements(nullif($6::jsonb, 'null')) WITH ORDINALITY AS h (e, n) ORDER BY n
		)
		SELECT true FROM swapped, LATERAL (SELECT CASE WHEN $7 THEN pg_notify($8, '')::text END) AS told`,
		before.Version, after.Breaker, after.Hold, after.Limit, next, string(history), before.concerns(after), Channel, after.Made, after.Learnt, after.Meter).Scan(&ok)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return ok, err
}

// beat tells that a member lives, and reads what all members share.
func beat(ctx context.Context, conn *pgx.Conn, m domain.Member) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	own := Member{Member: m}
	v, err := scanView(conn.QueryRow(ctx, `
		WITH own AS (
			INSERT INTO erp_member AS m (process, joined_at, seen_at, in_flight, roster) VALUES ($2, clock_timestamp(), clock_timestamp(), $3, $4)
			ON CONFLICT (process) DO UPDATE SET seen_at = excluded.seen_at, in_flight = excluded.in_flight, roster = excluded.roster,
				joined_at = CASE WHEN m.seen_at > clock_timestamp() - $1::interval THEN m.joined_at ELSE excluded.joined_at END
			RETURNING joined_at, seen_at
		)
		SELECT `+stateColumns+`, `+members+`, clock_timestamp(), own.joined_at, own.seen_at FROM erp_pace p, own`,
		MemberTimeout, m.ID, m.InFlight, m.Roster), &own.JoinedAt, &own.SeenAt)
	if err != nil {
		return View{}, fmt.Errorf("reading the ERP's pace: %w", err)
	}
	v.Members = append(v.Members, own)
	return v, nil
}

// Leave removes a member whose calls have ended, so that the others get its share at once.
func (s *Store) Leave(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if _, err := s.pool.Exec(ctx, `DELETE FROM erp_member WHERE process = $1`, id); err != nil {
		return fmt.Errorf("leaving the members: %w", err)
	}
	return nil
}

// History is the newest changes of the breaker, the newest first.
func (s *Store) History(ctx context.Context, limit int) ([]Past, error) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT id, at, from_state, to_state, why, by, allowed FROM erp_pace_history ORDER BY id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the breaker's history: %w", err)
	}
	past, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Past, err error) {
		err = row.Scan(&p.ID, &p.At, &p.From, &p.To, &p.Why, &p.By, &p.Allowed)
		p.At = p.At.UTC()
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the breaker's history: %w", err)
	}
	return past, nil
}
