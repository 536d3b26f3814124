// Package orders is what can be asked of an order beside its events: sync and resync, the ERP's callbacks, cancel, settle
// and send now by hand, and the release of what is held. Each is one Postgres transaction: the gate's lock, a decision by
// the domain's table, and the facts in the outbox.
package orders

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// ErrDisabled is what a request that sends comes to while the connector is off.
var ErrDisabled = errors.New("the connector is off")

const txTimeout = 5 * time.Second

// Command is one request.
type Command struct {
	Ref     domain.OrderRef
	Request domain.Request
	// Who asks, and why. Both stand in the log for ever, so neither should name a person that is not an operator.
	Who, Reason    string
	Reference      *string           // the ERP's, of a callback or a settlement by hand
	IdempotencyKey string            // that a callback echoes
	Body           string            // of a callback, as far as it is kept
	Truncated      bool              // it is longer
	Digest         [sha256.Size]byte // of a callback's raw body
	Traceparent    string
}

// Result is what a request came to.
type Result struct {
	State   domain.OrderState // where the order stood
	Action  domain.Action
	Settled domain.Settled // of a settlement
	Gate    domain.Gate    // as it is now

	wrote bool // to the outbox
}

// Orders takes requests.
type Orders struct {
	pool     *pgxpool.Pool
	settings setting.Reader
	now      func() time.Time
}

// New makes Orders on one database.
func New(pool *pgxpool.Pool, settings setting.Reader) *Orders {
	return &Orders{pool: pool, settings: settings, now: time.Now}
}

// Do answers a request, and starts what follows from it. A refusal is no error: Result.Action tells it.
func (o *Orders) Do(ctx context.Context, a Command) (Result, error) {
	if wrong := a.Check(); len(wrong) > 0 {
		return Result{}, fmt.Errorf("%s of order %s: %w", a.Request, a.Ref.Key(), wrong[0])
	}
	s := o.settings.Current()
	if a.Request.NeedsConnector() && !s.Enabled {
		return Result{}, ErrDisabled
	}
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	var answer Result
	err := postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		t := change{tx: tx, ask: a, maxAttempts: s.MaxAttempts, now: domain.NormalizeTime(o.now())}
		err := t.run(ctx)
		answer = t.answer
		return err
	})
	if err != nil {
		return Result{}, fmt.Errorf("%s of order %s: %w", a.Request, a.Ref.Key(), err)
	}
	if answer.wrote {
		outbox.Wake(ctx, o.pool)
	}
	return answer, nil
}

// change is one try at a request.
type change struct {
	tx          pgx.Tx
	ask         Command
	maxAttempts int
	now         time.Time

	order   json.RawMessage // the snapshot; nil when nobody has published the order
	orderID *int64
	records []event.Record
	answer  Result
}

func (c *change) run(ctx context.Context) error {
	seen, err := c.read(ctx)
	if err != nil {
		return err
	}
	g := c.answer.Gate.CaughtUp(seen)
	c.answer.State = domain.StateOf(c.order != nil, &g, seen, c.now)
	c.answer.Action = domain.ActionFor(c.ask.Request, c.answer.State)
	next, err := c.act(ctx, g)
	if err != nil {
		return err
	}
	return c.write(ctx, g, next)
}

// write puts what is to be told into the outbox, and saves the gate if a fact stands for its change.
func (c *change) write(ctx context.Context, before, next domain.Gate) error {
	c.answer.wrote = len(c.records) > 0
	switch {
	case !c.answer.wrote:
		return nil
	case next.Version == c.answer.Gate.Version:
		return outbox.Publish(ctx, c.tx, c.records)
	}
	c.answer.Gate = next
	if before.ClosedBy == domain.ClosedByDeadLetter {
		what := deadletter.Decision{By: c.ask.Who, Why: c.cause(), At: c.now}
		if err := deadletter.DiscardOf(ctx, c.tx, before.Ref.Key(), before.Generation, what); err != nil {
			return err
		}
	}
	return c.save(ctx, next)
}

// save writes the gate and the facts.
func (c *change) save(ctx context.Context, g domain.Gate) error {
	if err := gate.Save(ctx, c.tx, []domain.Gate{g}); err != nil {
		return err
	}
	return outbox.Publish(ctx, c.tx, c.records)
}

// read locks the gate and reads what it guards. A gate that nobody has made yet guards nothing.
func (c *change) read(ctx context.Context) (domain.Projected, error) {
	key := c.ask.Ref.Key()
	gates, err := gate.LockKnown(ctx, c.tx, []string{key})
	if err != nil {
		return domain.Projected{}, err
	}
	g, known := gates[key]
	if !known {
		c.answer.Gate = domain.Gate{Ref: c.ask.Ref, State: domain.GateNone}
		return domain.Projected{}, nil
	}
	c.answer.Gate = g
	var order *string
	var seen domain.Projected
	err = c.tx.QueryRow(ctx, `
		SELECT o.snapshot::text, o.order_id, coalesce(v.status, ''), coalesce(v.generation, 0), coalesce(v.attempts, 0), v.next_attempt_at,
			coalesce(v.version, 0), coalesce(v.version_at, 'epoch')
		FROM erp_sync_gate g LEFT JOIN sales_order o ON o.order_key = g.order_key LEFT JOIN vendor_erp_sync v ON v.sync_id = g.sync_id
		WHERE g.order_key = $1`, key).Scan(&order, &c.orderID, &seen.Status, &seen.Generation, &seen.Attempts, &seen.NextAttemptAt,
		&seen.Stamp.Version, &seen.Stamp.Time)
	if err != nil {
		return seen, fmt.Errorf("reading the order: %w", err)
	}
	if order != nil {
		c.order = json.RawMessage(*order)
	}
	return seen, nil
}

// act changes the gate and tells of it.
func (c *change) act(ctx context.Context, g domain.Gate) (domain.Gate, error) {
	switch c.answer.Action {
	case domain.ActCreate:
		var syncID int64
		if err := c.tx.QueryRow(ctx, `SELECT erp_sync_ids(1)`).Scan(&syncID); err != nil {
			return g, fmt.Errorf("allotting a sync id: %w", err)
		}
		g, _ = g.Request(syncID, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: c.maxAttempts}, c.now)
		return g, c.requested(g)
	case domain.ActRelease:
		g, _ = g.Release(c.now)
		return g, c.requested(g)
	case domain.ActResync:
		next := g.Resync(c.maxAttempts, c.ask.Request == domain.RequestAnew, c.now)
		s := next.RequestedSync(c.orderID, c.cause())
		s.NewKey = next.KeyNumber > g.KeyNumber
		return next, c.addRequest(s, c.order)
	case domain.ActSettle:
		return c.settle(ctx, g)
	default:
		return g, nil
	}
}

// settledBy says what a settlement closes the gate by.
var settledBy = map[domain.Request]domain.ClosedBy{
	domain.RequestAccepted: domain.ClosedByWebhook, domain.RequestRejected: domain.ClosedByRejected,
	domain.RequestCancel: domain.ClosedByCancelled, domain.RequestSettle: domain.ClosedByHand,
}

func (c *change) settle(ctx context.Context, g domain.Gate) (domain.Gate, error) {
	if c.ask.Request == domain.RequestAccepted || c.ask.Request == domain.RequestRejected {
		return c.callback(ctx, g)
	}
	return c.settleAs(g, c.settlement())
}

func (c *change) settlement() domain.Settlement {
	return domain.Settlement{By: settledBy[c.ask.Request], Reference: c.ask.Reference, IdempotencyKey: c.ask.IdempotencyKey}
}

// settleAs tells of the settlement, if it is about the gate's generation.
func (c *change) settleAs(g domain.Gate, s domain.Settlement) (domain.Gate, error) {
	next, released, what := g.Settle(s, c.now)
	c.answer.Settled = what
	if what != domain.SettledNow {
		return g, nil
	}
	if released {
		if err := c.requested(next); err != nil {
			return g, err
		}
	}
	v := event.Sync{Sync: next.SettledSync(c.orderID, c.ask.Reference, c.cause()), Error: c.errorText(next)}
	if c.ask.Body != "" {
		v.Response = c.ask.response()
	}
	return next, c.add(event.TopicCallback, v)
}

// errorText is what the order's last_error says of an end that is none by the ERP's answer.
func (c *change) errorText(g domain.Gate) *string {
	switch g.ClosedBy {
	case domain.ClosedByRejected:
		return new("rejected by the ERP's callback")
	case domain.ClosedByCancelled:
		return new(c.cause())
	default:
		return nil
	}
}

func (c *change) requested(g domain.Gate) error {
	return c.addRequest(g.RequestedSync(c.orderID, c.cause()), c.order)
}

func (c *change) addRequest(s domain.Sync, order json.RawMessage) error {
	r, err := event.NewRequest(s, order, domain.RemarksOf(order), c.context())
	c.records = append(c.records, r)
	return err
}

func (c *change) add(topic string, v event.Sync) error {
	r, err := event.NewSync(topic, v, c.context())
	c.records = append(c.records, r)
	return err
}

func (c *change) context() event.Context {
	return event.Context{Traceparent: c.ask.Traceparent, At: c.now}
}

// cause is who asked for what, and why.
func (c *change) cause() string { return Cause(string(c.ask.Request), c.ask.Who, c.ask.Reason) }

// Cause is how the log names who asked for what, and why.
func Cause(what, who, why string) string {
	out := what
	if who != "" {
		out += " by " + who
	}
	if why = strings.TrimSpace(why); why != "" {
		out += ": " + why
	}
	return out
}
