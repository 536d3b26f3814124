package quarantine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/shared/coalesce"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// MaxOfShop is how many entries of HTTP one shop may have. Those that were refused longest ago make room for others.
const MaxOfShop = 10_000

const (
	keepTimeout = 2 * time.Second // of one statement, and of the wait for one: a shop waits for its answer
	maxKept     = 200             // events of several requests in one statement
)

// Keeper keeps what is refused over HTTP. Requests that come at the same time share a statement, so that a flood of wrong events takes
// one connection from those that are accepted.
type Keeper struct {
	pool   *pgxpool.Pool
	log    *slog.Logger
	shared *coalesce.Group[refusal]
	most   int // MaxOfShop but in tests
}

// NewKeeper makes a Keeper.
func NewKeeper(pool *pgxpool.Pool, log *slog.Logger) *Keeper {
	k := &Keeper{pool: pool, log: log.With("service", "ingest"), most: MaxOfShop}
	k.shared = &coalesce.Group[refusal]{
		Work: k.store, Running: 1, SlowRunning: 2, MaxWait: time.Second, MaxItems: maxKept, IsOwn: postgres.IsAboutData,
	}
	return k
}

// refusal is an event that was refused, with what makes it the same event when it is repeated.
type refusal struct {
	Entry

	identity [sha256.Size]byte
}

// Keep keeps those of the events that were not taken, with their results. The answer that the shop gets does not depend on it: when the
// database does not take them, that is logged.
func (k *Keeper) Keep(ctx context.Context, events []accept.Incoming, results []accept.Result) {
	var refused []refusal
	for i, r := range results {
		if !r.Result.Taken() && len(events[i].Body) <= event.MaxEventBytes {
			refused = append(refused, refusalOf(events[i], r))
		}
	}
	if len(refused) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout) // a caller that hangs up was refused all the same
	defer cancel()
	if err := k.shared.Do(ctx, refused...); err != nil {
		keptEvents.WithLabelValues("failed").Add(float64(len(refused)))
		fields := postgres.LogFields(err) // an error of the database may quote the event
		if fields == nil {
			fields = []any{"error", err}
		}
		k.log.WarnContext(ctx, "refused events are not kept", append(fields, "events", len(refused))...)
	}
}

// refusalOf is the entry of an event. It belongs to the shop that the token is for, whatever the event says: nobody makes entries of
// another shop, or hides them behind events of its own. Its id is its identity only where that shop is its own.
func refusalOf(in accept.Incoming, r accept.Result) refusal {
	e := refusal{Entry: Entry{Door: HTTP, Source: in.Source, Traceparent: in.Traceparent, Payload: in.Body}.With(r)}
	e.OrderKey = "" // it waits for nothing: the shop was told that it is not taken
	if e.Source == "" {
		e.Source = r.Source
	}
	own := e.Source == r.Source
	if e.Source == "" { // of an event whose shop cannot be read
		e.Source = domain.DefaultSource
	}
	if !own {
		e.AboutOrder = ""
	}
	if own && r.EventID != "" && r.Source != "" {
		e.identity = accept.Identity(r.Source, r.EventID)
	} else {
		e.identity = sha256.Sum256(append([]byte("body\x00"+e.Source+"\x00"), in.Body...))
	}
	return e
}

// Of an event that is repeated as it is, the payload is not written again, and a decision about it stands. One with another body is
// news: it is open again.
const keepQuery = `
INSERT INTO commerce_quarantine AS q (door, identity, source, event_id, about_order, code, problems, traceparent, payload, tries, published_at, quarantined_at)
SELECT 'http', h, s, nullif(i, ''), nullif(k, ''), c, p::json, nullif(t, ''), b, n, now(), now()
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::int[])
	WITH ORDINALITY AS e (h, s, i, k, c, p, t, b, n, position) ORDER BY position
ON CONFLICT (identity) DO UPDATE SET event_id = excluded.event_id, about_order = excluded.about_order, code = excluded.code, problems = excluded.problems,
	traceparent = excluded.traceparent, tries = q.tries + excluded.tries, quarantined_at = excluded.quarantined_at,
	payload = CASE WHEN q.payload = excluded.payload THEN q.payload ELSE excluded.payload END,
	state = CASE WHEN q.payload = excluded.payload THEN q.state ELSE 'open' END
RETURNING q.source, xmax = 0`

// store keeps refused events, and deletes what is too much of their shops.
func (k *Keeper) store(ctx context.Context, refused []refusal) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	grown, fresh, err := k.insert(ctx, refused)
	if err != nil {
		return fmt.Errorf("keeping %d refused events: %w", len(refused), err)
	}
	keptEvents.WithLabelValues("kept").Add(float64(fresh))
	keptEvents.WithLabelValues("repeated").Add(float64(len(refused) - fresh))
	for _, source := range grown {
		dropped, err := k.trim(ctx, source)
		if err != nil {
			return err
		}
		if dropped > 0 {
			keptEvents.WithLabelValues("dropped").Add(float64(dropped))
			k.log.WarnContext(ctx, "refused events of a shop dropped: it has more than are kept", "source", source, "events", dropped, "kept", k.most)
		}
	}
	return nil
}

// insert keeps the events, and returns the shops that have more entries than before, and how many entries there are more.
func (k *Keeper) insert(ctx context.Context, refused []refusal) (grown []string, fresh int, err error) {
	refused, tries := once(refused)
	entries, identities := make([]Entry, len(refused)), make([][]byte, len(refused))
	for i, r := range refused {
		entries[i], identities[i] = r.Entry, r.identity[:]
	}
	c, err := columnsOf(entries)
	if err != nil {
		return nil, 0, err
	}
	rows, err := k.pool.Query(ctx, keepQuery, identities, c.sources, c.eventIDs, c.about, c.codes, c.problems, c.traces, c.payloads, tries)
	if err != nil {
		return nil, 0, err
	}
	var source string
	var isNew bool
	_, err = pgx.ForEachRow(rows, []any{&source, &isNew}, func() error {
		if isNew {
			fresh++
			if !slices.Contains(grown, source) {
				grown = append(grown, source)
			}
		}
		return nil
	})
	return grown, fresh, err
}

// once is each event once, as it came last, and how often it came: one statement takes no row twice. They are sorted, so that two
// statements with the same events do not deadlock.
func once(refused []refusal) (last []refusal, tries []int) {
	at := map[[sha256.Size]byte]int{}
	counts := map[[sha256.Size]byte]int{}
	for _, r := range refused {
		if i, again := at[r.identity]; again {
			last[i] = r
		} else {
			at[r.identity], last = len(last), append(last, r)
		}
		counts[r.identity]++
	}
	slices.SortFunc(last, func(a, b refusal) int { return bytes.Compare(a.identity[:], b.identity[:]) })
	for _, r := range last {
		tries = append(tries, counts[r.identity])
	}
	return last, tries
}

// trim deletes the entries of a shop that are too many: those that were refused longest ago.
func (k *Keeper) trim(ctx context.Context, source string) (deleted int64, err error) {
	done, err := k.pool.Exec(ctx, `DELETE FROM commerce_quarantine WHERE id = ANY(ARRAY(
		SELECT id FROM commerce_quarantine WHERE door = 'http' AND source = $1 ORDER BY quarantined_at DESC OFFSET $2 LIMIT 1000 FOR UPDATE SKIP LOCKED))`,
		source, k.most)
	if err != nil {
		return 0, fmt.Errorf("deleting what is too much of the shop %s: %w", source, err)
	}
	return done.RowsAffected(), nil
}

// Clean deletes entries that have aged: of HTTP those that were refused last before then, and of both doors those that were discarded
// before then. It deletes at most so many, and returns how many. What waits of the outbox is never old (ages_from).
func Clean(ctx context.Context, pool *pgxpool.Pool, before time.Time, limit int) (deleted int64, err error) {
	done, err := pool.Exec(ctx, `DELETE FROM commerce_quarantine WHERE id = ANY(ARRAY(
		SELECT id FROM commerce_quarantine WHERE ages_from < $1 ORDER BY ages_from LIMIT $2 FOR UPDATE SKIP LOCKED))`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("deleting old entries of the quarantine: %w", err)
	}
	return done.RowsAffected(), nil
}
