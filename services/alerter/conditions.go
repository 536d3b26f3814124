package alerter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
)

const (
	readTimeout = 10 * time.Second
	maxGroups   = 50     // groups of errors with an alert of their own
	readGroups  = 10_000 // that are looked at
	maxCounted  = 10_000 // of the quarantine; more is not told apart
)

// The subjects of a backlog.
const (
	backlogOrders = "orders"
	backlogOutbox = "commerce_outbox"
)

// auditNotDone is the subject of audits that could not tell. What an audit has found has none.
const auditNotDone = "not_done"

// conditions reads what alerts are about. Each reading is a short query by an index, or of a table with few rows.
type conditions struct {
	pool   *pgxpool.Pool
	pace   *pace.Store
	orders *orders.Orders
	audits *audits.Store

	keptUntil time.Time // until then nothing was to go out: what waits since before is no backlog
}

func newConditions(pool *pgxpool.Pool, settings setting.Reader) *conditions {
	return &conditions{pool: pool, pace: pace.NewStore(pool), orders: orders.New(pool, settings), audits: audits.NewStore(pool)}
}

// finding is what one look has found, with what the words need of it.
type finding struct {
	levels  domain.AlertLevels
	breaker pace.Status
	since   map[string]time.Time // of the backlogs: when the oldest began to wait
	audit   alert.Audit
	notDone audits.Run // the newest audit of the scheduler that could not tell, while there is one
}

// read looks at everything. What cannot be read is left out, and the error says so.
func (c *conditions) read(ctx context.Context, open alert.Open, current setting.Settings, now time.Time) (finding, error) {
	f := finding{levels: domain.AlertLevels{}, since: map[string]time.Time{}}
	var errs []error
	for _, kind := range domain.AlertKinds {
		levels, err := c.levels(ctx, kind, &f, current, now)
		switch {
		case err != nil:
			errs = append(errs, err)
		case levels != nil:
			isOpen := func(subject string) bool { return open.Has(domain.AlertKey{Kind: kind, Subject: subject}) }
			f.levels[kind] = domain.GatherSubjects(levels, isOpen, maxGroups)
		}
	}
	return f, errors.Join(errs...)
}

// levels are those of the subjects of one kind; nil: they cannot be told now.
func (c *conditions) levels(ctx context.Context, kind domain.AlertKind, f *finding, current setting.Settings, now time.Time) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	switch kind {
	case domain.AlertOrdersFailed:
		return c.failed(ctx)
	case domain.AlertBreaker:
		return c.breaker(ctx, f, current)
	case domain.AlertBacklog:
		return c.backlog(ctx, f, current, now)
	case domain.AlertQuarantine:
		return c.one(ctx, `SELECT count(*) FROM (SELECT FROM commerce_quarantine WHERE state = 'open' LIMIT $1) q`, maxCounted)
	case domain.AlertDeadLetters:
		n, err := deadletter.CountOpen(ctx, c.pool)
		return map[string]int64{"": n}, err
	case domain.AlertAudit:
		return c.audit(ctx, f)
	}
	return nil, nil
}

func (c *conditions) one(ctx context.Context, sql string, args ...any) (map[string]int64, error) {
	var n int64
	if err := c.pool.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return nil, fmt.Errorf("looking for alerts: %w", err)
	}
	return map[string]int64{"": n}, nil
}

// failed are the failed orders by group of errors, as the projector counts them. While it has still to count, as after a rebuild, nothing
// can be told. What an operator has cancelled is no failure.
func (c *conditions) failed(ctx context.Context) (map[string]int64, error) {
	rows, err := c.pool.Query(ctx, `
		SELECT g.group_id, g.n FROM vendor_erp_sync_counted k LEFT JOIN LATERAL (
			SELECT c.group_id, sum(c.n)::bigint AS n FROM vendor_erp_sync_count c JOIN vendor_erp_sync_error_group e USING (group_id)
			WHERE c.status = 'failed' AND c.group_id <> 0 AND c.n > 0 AND NOT (e.error_code = 'closed' AND e.text LIKE 'cancel%')
			GROUP BY c.group_id ORDER BY c.group_id LIMIT $1
		) g ON true
		WHERE k.offsets = (SELECT coalesce(sum(next_offset), 0) FROM projector_position)`, readGroups)
	if err != nil {
		return nil, fmt.Errorf("counting the failed orders: %w", err)
	}
	var levels map[string]int64
	var group, n *int64
	_, err = pgx.ForEachRow(rows, []any{&group, &n}, func() error {
		if levels == nil {
			levels = map[string]int64{}
		}
		if group != nil {
			levels[strconv.FormatInt(*group, 10)] = *n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting the failed orders: %w", err)
	}
	return levels, nil
}

// breaker has level 1 while not all calls may go out.
func (c *conditions) breaker(ctx context.Context, f *finding, current setting.Settings) (map[string]int64, error) {
	v, err := c.pace.Load(ctx)
	if err != nil {
		return nil, err
	}
	f.breaker = pace.StatusOf(v, current)
	if f.breaker.State == domain.BreakerClosed {
		return map[string]int64{}, nil
	}
	return map[string]int64{"": 1}, nil
}

// backlog has as its levels the seconds since the oldest began to wait, where that is longer than alert_backlog_age. While the connector is
// off or the ERP's calendar says that nothing goes out, what waits is as it should be, and its age counts from the end of that.
func (c *conditions) backlog(ctx context.Context, f *finding, current setting.Settings, now time.Time) (map[string]int64, error) {
	if _, shut := current.Calendar().Until(now); shut || !current.Enabled {
		c.keptUntil = now
	}
	since, err := c.orders.OldestUnfinished(ctx)
	if err != nil {
		return nil, err
	}
	oldest := map[string]time.Time{backlogOrders: since[domain.GateOpen]}
	if at := oldest[backlogOrders]; !at.IsZero() && at.Before(c.keptUntil) {
		oldest[backlogOrders] = c.keptUntil
	}
	var published *time.Time
	if err := c.pool.QueryRow(ctx, `SELECT (SELECT created_at FROM commerce_outbox ORDER BY id LIMIT 1)`).Scan(&published); err != nil {
		return nil, fmt.Errorf("finding the oldest event of the commerce outbox: %w", err)
	}
	if published != nil {
		oldest[backlogOutbox] = published.UTC()
	}
	levels := map[string]int64{}
	for subject, at := range oldest {
		if age := now.Sub(at); !at.IsZero() && current.AlertBacklogAge > 0 && age > current.AlertBacklogAge {
			levels[subject], f.since[subject] = max(1, int64(age.Seconds())), at
		}
	}
	return levels, nil
}

// audit is what the newest audit that was to tell has found, and how many of the scheduler's could not tell since one could.
func (c *conditions) audit(ctx context.Context, f *finding) (map[string]int64, error) {
	err := c.pool.QueryRow(ctx, `SELECT at, breaks, found FROM alert_audit`).Scan(&f.audit.At, &f.audit.Breaks, &f.audit.Found)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("reading what the audit has found: %w", err)
	}
	newest, failures, err := c.audits.NotDone(ctx, audits.Audit)
	if err != nil {
		return nil, err
	}
	f.notDone = newest
	return map[string]int64{"": f.audit.Breaks, auditNotDone: failures}, nil
}
