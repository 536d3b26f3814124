// Package bulk carries out one command for many orders: sent again, cancelled, settled, or sent now.
//
// An example, all failed orders of a shop whose error says that a number is unknown, ten of them first:
//
//	store := bulk.NewStore(pool, settings)
//	preview, err := store.Preview(ctx, bulk.Plan{
//		Command: bulk.Resync, Reason: "the catalogue is mended", Canary: 10,
//		Filter: &syncs.Filter{Statuses: []domain.Status{domain.Failed}, Source: "outlet", Error: "no such sku"},
//	}, "jane")
//	// preview.Orders 1001, preview.Value 12,345.00 EUR, preview.Sample …; nothing is done yet
//	job, err := store.Start(ctx, preview.Token, "jane", allowed)
//
// From then on the scheduler's Runner carries the job out. It first writes down which orders it is about, so that an order that fails
// again does not come again. Then it gives the command to a few at a time: each in one transaction with the note that the order has got
// it. So an order gets the command at most once, whatever is killed, and however many processes run.
package bulk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

const queryTimeout = 10 * time.Second

const (
	tokenPrefix = "bulk_"
	// TokenLife is how long a preview may be started.
	TokenLife = 15 * time.Minute
	// MaxOpenJobs is how many jobs may be open at once: neither stopped nor done.
	MaxOpenJobs = 20
)

// Errors of jobs.
var (
	ErrUnknown = errors.New("there is no such bulk job")
	ErrToken   = errors.New("the token is none of a preview, was used already, or its time is over")
	ErrTooMany = fmt.Errorf("%d bulk jobs are open already", MaxOpenJobs)
)

// StateError says that a change is not possible in the job's state.
type StateError struct{ Job Job }

func (e *StateError) Error() string {
	return fmt.Sprintf("bulk job %d is %s already", e.Job.ID, e.Job.State)
}

// Store keeps previews and jobs.
type Store struct {
	pool     *pgxpool.Pool
	orders   *orders.Orders
	settings setting.Reader
	now      func() time.Time

	maxLooked int // bounds of a preview
	lookTime  time.Duration
}

// NewStore makes a Store.
func NewStore(pool *pgxpool.Pool, settings setting.Reader) *Store {
	return &Store{pool: pool, orders: orders.New(pool, settings), settings: settings, now: time.Now, maxLooked: maxLooked, lookTime: maxLookTime}
}

// keep keeps a plan until its token is used, or its time is over.
func (s *Store) keep(ctx context.Context, p Plan, by string) (token string, expires time.Time, err error) {
	p.Words = p.Words.withoutPersonalData()
	raw, err := p.encode()
	if err != nil {
		return "", expires, err
	}
	token, expires = tokenPrefix+rand.Text(), domain.NormalizeTime(s.now().Add(TokenLife))
	_, err = s.pool.Exec(ctx, `INSERT INTO bulk_preview (hash, plan, made_by, expires_at) VALUES ($1, $2, $3, $4)`, hashOf(token), raw, domain.WhoText.Fit(by), expires)
	if err != nil {
		return "", expires, fmt.Errorf("keeping a preview: %w", err)
	}
	return token, expires, nil
}

func hashOf(token string) []byte {
	hash := sha256.Sum256([]byte(token))
	return hash[:]
}

// Start starts the job of a preview. The token is used up by it. allowed says whether who starts it may do so: its error leaves all as it is.
// It returns ErrToken and ErrTooMany, too.
func (s *Store) Start(ctx context.Context, token, by string, allowed func(Plan) error) (j Job, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var raw []byte
		err := tx.QueryRow(ctx, `DELETE FROM bulk_preview WHERE hash = $1 AND expires_at > $2 RETURNING plan`, hashOf(token), s.now()).Scan(&raw)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrToken
		}
		if err != nil {
			return fmt.Errorf("reading a preview: %w", err)
		}
		p, err := decodePlan(raw)
		if err != nil {
			return err
		}
		if err := allowed(p); err != nil {
			return err
		}
		if err := roomForOne(ctx, tx); err != nil {
			return err
		}
		j, err = insertJob(ctx, tx, p, raw, domain.WhoText.Fit(by), domain.NormalizeTime(s.now()))
		return err
	})
	return j, err
}

// roomForOne refuses one more job when there are many. Who asks at the same moment waits for the lock.
func roomForOne(ctx context.Context, tx pgx.Tx) error {
	var open int
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('erpconnector/bulk-start', 0))`)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT count(*) FROM bulk_job WHERE state IN ('selecting', 'running', 'paused')`).Scan(&open)
	}
	switch {
	case err != nil:
		return fmt.Errorf("counting bulk jobs: %w", err)
	case open >= MaxOpenJobs:
		return ErrTooMany
	}
	return nil
}

func insertJob(ctx context.Context, tx pgx.Tx, p Plan, raw []byte, by string, now time.Time) (j Job, err error) {
	canary := NoCanary
	if p.Canary > 0 {
		canary = CanaryOpen
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO bulk_job (command, new_key, reason, source, words, canary, canary_is, plan, state, since, changed_by, created_at, created_by)
		VALUES ($1, $2, $3, nullif($4, ''), $5, $6, $7, $8, 'selecting', $9, $10, $9, $10) RETURNING `+columns,
		p.Command, p.NewKey, p.Reason, p.Source, p.Words, p.Canary, canary, raw, now, by)
	if err == nil {
		j, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Job])
	}
	if err != nil {
		return j, fmt.Errorf("starting a bulk job: %w", err)
	}
	return j, nil
}
