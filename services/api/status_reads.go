package api

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/coalesce"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// statusReads reads where orders stand. Requests that come while a query runs share the next one, so that many at once cost little more
// than one. Each query begins after its requests came.
type statusReads struct {
	pool     *pgxpool.Pool
	pace     *pace.Store
	settings setting.Reader
	log      *slog.Logger
	shared   coalesce.Group[*statusRead]
}

// statusRead is the question about one order, and the answer.
type statusRead struct {
	of     domain.OrderRef
	status status
	found  bool
	due    bool // it could be sent now
}

func newStatusReads(pool *pgxpool.Pool, p *pace.Store, settings setting.Reader, log *slog.Logger) *statusReads {
	s := &statusReads{pool: pool, pace: p, settings: settings, log: log}
	s.shared = coalesce.Group[*statusRead]{Work: s.readAll, Running: 1, SlowRunning: 8, MaxWait: 5 * time.Millisecond, MaxItems: 200}
	return s
}

// read is where the order stands, or pgx.ErrNoRows.
func (s *statusReads) read(ctx context.Context, ref domain.OrderRef) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	one := &statusRead{of: ref}
	err := s.shared.Do(ctx, one)
	if err == nil && !one.found {
		err = pgx.ErrNoRows
	}
	return one.status, err
}

func (s *statusReads) readAll(ctx context.Context, reads []*statusRead) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	keys, byKey := make([]string, 0, len(reads)), make(map[string][]*statusRead, len(reads))
	for _, one := range reads {
		key := one.of.Key()
		if byKey[key] == nil {
			keys = append(keys, key)
		}
		byKey[key] = append(byKey[key], one)
	}
	rows, err := s.pool.Query(ctx, `
		SELECT g.order_key, g.sync_id, g.state, coalesce(g.closed_by, ''), coalesce(g.callback, ''), g.version, g.max_attempts,
			coalesce(v.order_id, (SELECT o.order_id FROM sales_order o WHERE o.order_key = g.order_key)),
			coalesce(v.version, -1), coalesce(v.version_at, 'epoch'), coalesce(v.status, ''), coalesce(v.attempts, 0),
			v.last_attempt_at, v.next_attempt_at, v.erp_reference, v.last_error,
			coalesce(v.created_at, g.requested_at), coalesce(v.updated_at, g.updated_at), g.updated_at
		FROM erp_sync_gate g LEFT JOIN vendor_erp_sync v ON v.sync_id = g.sync_id
		WHERE g.order_key = ANY($1) AND g.sync_id IS NOT NULL`, keys)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scanStatus(rows, byKey); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	s.tellWhatWaits(ctx, reads)
	return nil
}

// scanStatus reads a row from the projection, or from the gate while the gate is newer. Right after an event was accepted the projection has
// no row yet.
func scanStatus(rows pgx.Rows, byKey map[string][]*statusRead) error {
	var key string
	var s status
	var g domain.Gate
	var row domain.Stamp
	var last, next *time.Time
	var created, updated time.Time
	err := rows.Scan(&key, &s.SyncID, &g.State, &g.ClosedBy, &g.Callback, &g.Version, &s.MaxAttempts, &s.OrderID,
		&row.Version, &row.Time, &s.Status, &s.Attempts, &last, &next, &s.ErpReference, &s.LastError, &created, &updated, &g.UpdatedAt)
	if err != nil {
		return err
	}
	reads := byKey[key]
	of := reads[0].of
	s.OrderIncrementID, s.Source = of.IncrementID, of.Source
	// A resync, a settlement or a cancellation is shown at once, not when the projection has read it from Kafka.
	if g.Newer(row) {
		s.Status, s.LastError, next, updated = g.Status(), lastErrorOf(g, of), nil, g.UpdatedAt
		if reference := g.CallbackReference(); reference != nil {
			s.ErpReference = reference
		}
		if g.Version.Class() == domain.ClassRequest { // a request starts a new generation
			s.Attempts, last = 0, nil
		}
	}
	s.LastAttemptAt, s.NextAttemptAt = moduleTime(last), moduleTime(next)
	s.CreatedAt, s.UpdatedAt = created.UTC().Format(domain.ModuleTime), updated.UTC().Format(domain.ModuleTime)
	for _, one := range reads { // of the same order
		one.status, one.found, one.due = s, true, s.Status == domain.Queued && (next == nil || !next.After(time.Now()))
	}
	return nil
}

// tellWhatWaits adds what keeps orders that could be sent now. Without an answer about that the status is told all the same.
func (s *statusReads) tellWhatWaits(ctx context.Context, reads []*statusRead) {
	if !slices.ContainsFunc(reads, func(one *statusRead) bool { return one.due }) {
		return
	}
	v, err := s.pace.Load(ctx)
	if err != nil {
		s.log.Warn("the ERP's pace not read; the status is told without it", "error", err)
		return
	}
	waitsFor := pace.StatusOf(v, s.settings.Current()).WaitsFor
	for _, one := range reads {
		if one.due {
			one.status.WaitsFor = waitsFor
		}
	}
}
