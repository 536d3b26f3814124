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
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/coalesce"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Incoming is one event as it came, with its trace.
type Incoming struct {
	Body        []byte
	Traceparent string
	Source      string // the one shop whose events whoever sends them may send; empty: all
	PathSource  string // the shop that the request's path names; empty: none
}

// foreign says what is wrong with an event of another shop than that of the path, or than the one that its sender may speak for.
func (in Incoming) foreign(source string) []problem.FieldError {
	switch {
	case in.PathSource != "" && in.PathSource != source:
		return []problem.FieldError{wrong("/source", problem.CodeContradicts, "is %s, and the path names the shop %s: name it in the event, too", source, in.PathSource)}
	case in.Source != "" && in.Source != source:
		return []problem.FieldError{wrong("/source", problem.CodeForbidden, "is %s, and the token is for the shop %s only", source, in.Source)}
	}
	return nil
}

// Verdict is what became of an event.
type Verdict string

// The verdicts.
const (
	Accepted  Verdict = "accepted"
	Duplicate Verdict = "duplicate"
	Refused   Verdict = "refused"
	Conflict  Verdict = "conflict" // it contradicts what was accepted before: another event has its id, or another order has its order's number
)

// Taken reports whether the event is ours, now or before.
func (v Verdict) Taken() bool { return v == Accepted || v == Duplicate }

// Result is the answer to one event.
type Result struct {
	Result           Verdict              `json:"result"`
	EventID          string               `json:"event_id"`
	SyncID           *int64               `json:"sync_id,omitempty"`
	Source           string               `json:"source,omitempty"` // empty when the event names no valid one
	OrderIncrementID string               `json:"order_increment_id,omitempty"`
	Status           domain.Status        `json:"status,omitempty"`
	Differs          bool                 `json:"differs,omitempty"`           // a duplicate with other content than the first one
	Older            bool                 `json:"older,omitempty"`             // a newer state of the order is known; it stays
	AlreadyRequested bool                 `json:"already_requested,omitempty"` // the event sends nothing more
	Note             string               `json:"note,omitempty"`              // the same in words
	Warnings         []string             `json:"warnings,omitempty"`
	NotSent          []string             `json:"not_sent,omitempty"` // what of the order the ERP is not sent, and why
	Errors           []problem.FieldError `json:"errors,omitempty"`
	UnknownOrder     string               `json:"-"` // the key of the order that an invoice names and nobody has published yet
	Released         int                  `json:"-"` // invoices that waited in the quarantine for this order and went back to the outbox

	claims claims // what an event that is not taken says of itself, for the log
}

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
// it. It deduplicates them, and writes gates, snapshots and outbox rows, with a handful of statements however many events there are. An
// error means that none was taken.
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
	err := postgres.InTx(ctx, a.pool, func(tx pgx.Tx) error { return a.take(ctx, tx, batch) })
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
	err := a.take(ctx, tx, batch)
	if err == nil {
		err = a.take(ctx, tx, early(batch))
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
			came[it.ref.Key()] = true
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
		batch[i] = &item{checked: c, digest: event.Digest(c.body), trace: in.Traceparent, result: &results[i]}
	})
	return results, slices.DeleteFunc(batch, func(it *item) bool { return it == nil })
}

// take is one try at the events that have passed the checks. It reads the settings once, so that one batch has one policy.
func (a *Accepter) take(ctx context.Context, tx pgx.Tx, batch []*item) error {
	if len(batch) == 0 {
		return nil
	}
	t := transaction{tx: tx, admit: a.settings.Current().RequestPolicy(), now: domain.NormalizeTime(a.now()), batch: batch}
	return t.run(ctx)
}

// item is one checked event of a batch.
type item struct {
	checked
	digest [sha256.Size]byte
	trace  string
	result *Result
}

// transaction is one try at a batch. After a rollback only the results are left, and the next try overwrites them.
type transaction struct {
	tx    pgx.Tx
	admit domain.RequestPolicy
	now   time.Time
	batch []*item

	gates     map[string]domain.Gate
	written   map[string]domain.Gate // the gates as they stand in the database
	snapshots map[string]*snapshot
	records   []event.Record
}

// run is the steps 2 to 5. Every order is under its gate's lock from the first of them on.
func (t *transaction) run(ctx context.Context) error {
	seen, err := t.lock(ctx)
	if err != nil {
		return err
	}
	accepted, err := t.decide(ctx, seen)
	if err != nil {
		return err
	}
	if err := t.store(ctx, accepted); err != nil {
		return err
	}
	failpoint.Hit("accept.before_commit")
	return nil
}

// lock locks the gates in the order of their keys, and reads what they guard: the snapshots, and which events were accepted before.
func (t *transaction) lock(ctx context.Context) (seen map[eventKey]known, err error) {
	var keys, sources, ids []string
	for _, it := range t.batch {
		keys, sources, ids = append(keys, it.ref.Key()), append(sources, it.event.Source), append(ids, it.event.EventID)
	}
	made, known, err := gate.LockAnd(ctx, t.tx, t.presumed(), func(b *pgx.Batch) {
		t.snapshots, seen = map[string]*snapshot{}, map[eventKey]known{}
		b.Queue(`SELECT order_key, snapshot::text, order_id, snapshot_at FROM sales_order WHERE order_key = ANY($1)`, keys).Query(t.readSnapshots)
		b.Queue(`
			SELECT e.source, e.event_id, e.order_key, coalesce(e.type, ''), e.digest FROM accepted_event e
			JOIN (SELECT DISTINCT s, i FROM unnest($1::text[], $2::text[]) AS n (s, i)) n ON e.source = n.s AND e.event_id = n.i`,
			sources, ids).Query(func(rows pgx.Rows) error { return readKnown(rows, seen) })
	})
	t.gates, t.written = known, maps.Clone(known)
	for key, g := range made {
		t.gates[key], t.written[key] = gate.New(g.Ref, t.now), g
	}
	return seen, err
}

// presumed are the gates as they will be if the orders are new and nothing speaks against their events, as is usual. A new order's gate is
// made like that before all is known, so that it is written once. Where it turns out otherwise, it is written again.
func (t *transaction) presumed() map[string]domain.Gate {
	gates := map[string]domain.Gate{}
	for _, it := range t.batch {
		key := it.ref.Key()
		g, again := gates[key]
		if !again {
			g = gate.New(it.ref, t.now)
		}
		if it.event.Type == event.InvoiceCreated && it.order != nil {
			g, _ = g.Request(0, t.admit, t.now) // the sync id comes with the row
		}
		gates[key] = g
	}
	return gates
}

func (t *transaction) readSnapshots(rows pgx.Rows) error {
	var key, order string
	var orderID *int64
	var at *time.Time
	_, err := pgx.ForEachRow(rows, []any{&key, &order, &orderID, &at}, func() error {
		t.snapshots[key] = &snapshot{order: json.RawMessage(order), orderID: orderID, at: at}
		return nil
	})
	return err
}

// eventKey names an event. Ids are the shops' own, so two shops may use the same.
type eventKey struct{ source, id string }

// known is an event that was accepted before.
type known struct {
	orderKey string
	ofType   event.Type // empty: accepted by a release that did not keep types
	digest   []byte
}

func readKnown(rows pgx.Rows, seen map[eventKey]known) error {
	var id eventKey
	var e known
	_, err := pgx.ForEachRow(rows, []any{&id.source, &id.id, &e.orderKey, &e.ofType, &e.digest}, func() error {
		seen[id] = e
		e.digest = nil // the next row must not share its memory
		return nil
	})
	return err
}

// decide goes through the batch in its order and fills the results; it returns the events that are new.
func (t *transaction) decide(ctx context.Context, seen map[eventKey]known) ([]*item, error) {
	syncIDs, err := t.syncIDs(ctx)
	if err != nil {
		return nil, err
	}
	var accepted []*item
	for _, it := range t.batch {
		key := it.ref.Key()
		if t.isOld(it, seen) || t.isUnfit(it, key) {
			continue
		}
		seen[eventKey{it.event.Source, it.event.EventID}] = known{key, it.event.Type, it.digest[:]}
		accepted = append(accepted, it)
		older := t.keepSnapshot(it, key)
		t.records = append(t.records, event.NewCommerce(it.event, it.ref, it.body, t.now, it.trace))
		note := noteOn(t.gates[key].State, it.event.Type)
		if it.event.Type == event.InvoiceCreated {
			if err := t.request(it, key, syncIDs); err != nil {
				return nil, err
			}
		}
		t.answer(it, Accepted)
		it.result.Older, it.result.Note, it.result.AlreadyRequested = older, note, note != ""
	}
	return accepted, nil
}

// noteOn says what the status alone does not: the order was requested before, so the event sends nothing.
func noteOn(state domain.GateState, of event.Type) string {
	switch {
	case state == domain.GateNone, state == domain.GateHeld && of != event.InvoiceCreated:
		return ""
	case state == domain.GateHeld:
		return "the order was requested before and waits to be sent, once, as it is known then; this invoice sends nothing more to the ERP"
	default:
		return "the order was requested before, so this event sends nothing more to the ERP; resync-order sends the order as it is known now"
	}
}

// request makes the first request of the order, unless it has one.
func (t *transaction) request(it *item, key string, syncIDs map[string]int64) error {
	g, ok := t.gates[key].Request(syncIDs[key], t.admit, t.now)
	if !ok {
		return nil
	}
	t.gates[key] = g
	snap := t.snapshots[key]
	remarks := snap.remarksOn()
	if it.order == nil {
		it.remarks = remarks
	}
	r, err := event.NewRequest(g.RequestedSync(snap.orderID, it.event.EventID), snap.order, remarks, event.Context{Traceparent: it.trace, At: t.now})
	t.records = append(t.records, r)
	return err
}

// syncIDs are the ids for the orders that may get their first sync in this batch: one that came with a new gate, or else one that is
// allotted now. Ids that are not used are lost, which is no harm.
func (t *transaction) syncIDs(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	var keys []string
	for _, it := range t.batch {
		key := it.ref.Key()
		if it.event.Type != event.InvoiceCreated || t.gates[key].State != domain.GateNone || slices.Contains(keys, key) {
			continue
		}
		if out[key] = t.written[key].SyncID; out[key] == 0 {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return out, nil
	}
	rows, err := t.tx.Query(ctx, `SELECT erp_sync_ids($1)`, len(keys))
	if err != nil {
		return nil, fmt.Errorf("allotting sync ids: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("allotting sync ids: %w", err)
	}
	for i, key := range keys {
		out[key] = ids[i]
	}
	return out, nil
}

// answer fills in what a result says of the order: as the gate has it after this event, not after the batch.
func (t *transaction) answer(it *item, v Verdict) {
	g := t.gates[it.ref.Key()]
	*it.result = Result{
		Result: v, EventID: it.event.EventID, Source: it.ref.Source, OrderIncrementID: it.ref.IncrementID, Status: g.Status(),
		Warnings: slices.Concat(it.remarks.Warnings, it.warnings), NotSent: it.remarks.NotSent,
	}
	if g.SyncID != 0 {
		it.result.SyncID = &g.SyncID
	}
}
