// Package accept takes commerce events. It is the only place where an event becomes ours.
//
// The steps for a batch, each for all of its events at once:
//
//  1. check each event by itself, before any transaction: JSON, names, amounts, totals;
//  2. lock the gates of their orders, in the order of the keys, so that no two batches can wait for each other;
//  3. look which event ids are known: these are duplicates, or conflicts;
//  4. decide, event by event in the order of the batch: keep the snapshot, and make the first request at the first invoice;
//  5. store events, snapshots, gates and outbox rows, and commit.
//
// So an invoice of 000000123 leaves: one row in accepted_event, the order in sales_order, its gate at generation 1, and two outbox
// rows (sales_order_event and vendor_erp_sync_requested). All of them are there, or none.
//
// Requests that come while others are taken share the next transaction (shared/coalesce). A batch of them is one batch for the steps.
//
// What a caller may rely on: the same event, sent again at any time, makes no second request. The answer is given after the commit.
package accept

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/coalesce"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Accepter accepts events into one database.
type Accepter struct {
	pool     *pgxpool.Pool
	settings setting.Reader
	log      *slog.Logger
	now      func() time.Time
	timeout  time.Duration // of one transaction; txTimeout but in tests
	shared   *coalesce.Group[*item]
}

// New makes an Accepter.
func New(pool *pgxpool.Pool, settings setting.Reader, log *slog.Logger) *Accepter {
	a := &Accepter{pool: pool, settings: settings, log: log.With("service", "ingest"), now: time.Now, timeout: txTimeout}
	a.shared = &coalesce.Group[*item]{
		Work: a.commit, Running: maxTransactions, SlowRunning: maxSlowTransactions, MaxWait: maxWait, MaxItems: maxShared, IsOwn: postgres.IsAboutData,
	}
	return a
}

const (
	// txTimeout bounds one transaction, so that a caller gets an answer before its own timeout when the database does not answer.
	txTimeout = 10 * time.Second

	// maxTransactions is how many transactions of requests run at once, and maxSlowTransactions where those do not end within maxWait,
	// as one of them waits for an order's lock.
	maxTransactions     = 2
	maxSlowTransactions = 8
	maxWait             = 50 * time.Millisecond
	maxShared           = 200 // events of several requests in one transaction
)

// Accept checks the events, and takes those that pass in one transaction, in their order. Requests that come at the same time may share
// it. It deduplicates them, and writes gates, snapshots and outbox rows, with a handful of statements however many events there are. After an
// error none was taken, or that is not known: the caller sends them again.
func (a *Accepter) Accept(ctx context.Context, events []Incoming) ([]Result, error) {
	results, batch := a.check(events)
	if len(batch) == 0 {
		return results, nil
	}
	if err := a.shared.Do(ctx, batch...); err != nil {
		return nil, fmt.Errorf("accepting %d events: %w", len(batch), err)
	}
	a.Log(ctx, results)
	return results, nil
}

// commit takes a batch in a transaction of its own.
func (a *Accepter) commit(ctx context.Context, batch []*item) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	err := postgres.InTx(ctx, a.pool, func(tx pgx.Tx) error { return a.take(ctx, tx, batch, true) })
	if err != nil {
		return err
	}
	failpoint.Hit("accept.after_commit")
	outbox.Wake(ctx, a.pool)
	return nil
}

// AcceptIn is Accept in a transaction of the caller, who may try it again. It differs in one thing: an invoice that comes before its
// order in the batch is taken after the order, where Accept refuses it. Once the transaction has committed, the caller calls
// outbox.Wake and Log.
func (a *Accepter) AcceptIn(ctx context.Context, tx pgx.Tx, events []Incoming) ([]Result, error) {
	results, batch := a.check(events)
	err := a.take(ctx, tx, batch, false)
	if err == nil {
		err = a.take(ctx, tx, early(batch), false)
	}
	if err != nil {
		return nil, fmt.Errorf("accepting %d events: %w", len(batch), err)
	}
	return results, nil
}

// early finds the invoices that were refused because their order comes later in the batch.
func early(batch []*item) []*item {
	came := map[string]bool{}
	for _, it := range batch {
		if it.order != nil && it.result.Result == Accepted {
			came[it.key] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(batch), func(it *item) bool { return !came[it.result.UnknownOrder] })
}

// check returns the results of the events that cannot be accepted, and items of the others, whose results come later.
func (a *Accepter) check(events []Incoming) ([]Result, []*item) {
	refuseBadTotals := a.settings.Current().RefuseBadTotals
	results := make([]Result, len(events))
	batch := make([]*item, len(events))
	each(len(events), func(i int) {
		in := events[i]
		c, problems := check(in.Body, refuseBadTotals)
		if len(problems) == 0 {
			problems = in.foreign(c.event.Source)
		}
		if len(problems) > 0 {
			results[i] = refused(in.Body, problems)
			return
		}
		batch[i] = &item{checked: c, key: c.ref.Key(), digest: event.Digest(c.body), trace: in.Traceparent, result: &results[i]}
	})
	return results, slices.DeleteFunc(batch, func(it *item) bool { return it == nil })
}

// take is one try at the events that have passed the checks. It reads the settings once, so that one batch has one policy. isLast: the
// transaction ends with them.
func (a *Accepter) take(ctx context.Context, tx pgx.Tx, batch []*item, isLast bool) error {
	if len(batch) == 0 {
		return nil
	}
	t := transaction{tx: tx, isLast: isLast, admit: a.settings.Current().RequestPolicy(), now: domain.NormalizeTime(a.now()), batch: batch}
	return t.run(ctx)
}
