// Package orders takes the commands about an order that are no events: sync and resync, the ERP's callbacks, cancel, settle and
// send now by hand, and the release of held orders. Each is one Postgres transaction: the lock of the gate, a decision by
// the table of actions in the domain, and the facts in the outbox.
//
// An example, a resync of the failed order 000000123:
//
//	result, err := orders.New(pool, settings).Do(ctx, orders.Command{Ref: ref, Request: domain.RequestResync, Who: "api"})
//	// result.State "failed", result.Action "next_generation", result.Gate.Generation 2; one row in the outbox
//
// When Do returns nil, the command is committed, and nothing loses it. A refusal is a Result too: nothing was written then. Any number of
// processes may give commands about one order: the gate's lock puts them in a row, and each sees what the one before has done.
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

// ErrDisabled is the error of a command that sends, while the connector is off.
var ErrDisabled = errors.New("the connector is off")

// txTimeout bounds a command, the wait for the gate included. It is below the time-outs of callers, so that they get an answer.
const txTimeout = 10 * time.Second

// Command is one request about an order.
type Command struct {
	Ref     domain.OrderRef
	Request domain.Request
	// Who gives the command, and why. Both stay in the log for ever, so neither should name a person that is not an operator.
	Who, Reason    string
	Reference      *string           // the ERP's, of a callback or a settlement by hand
	IdempotencyKey string            // the one that a callback echoes
	Body           string            // of a callback, as far as it is kept
	Truncated      bool              // the body is longer
	Digest         [sha256.Size]byte // of a callback's raw body
	Traceparent    string
	// InTx, when given, runs at the end of the same transaction, also of a refusal. Its error undoes the command. It may run again, when
	// the transaction does.
	InTx func(ctx context.Context, tx pgx.Tx, r Result) error
}

// Result is what came of a command.
type Result struct {
	State   domain.OrderState // of the order, before the command
	Action  domain.Action
	Settled domain.Settled // what came of a settlement
	Gate    domain.Gate    // after the command

	wrote bool // there is something new in the outbox
}

// Orders takes commands.
type Orders struct {
	pool     *pgxpool.Pool
	settings setting.Reader
	now      func() time.Time
}

// New makes Orders on one database.
func New(pool *pgxpool.Pool, settings setting.Reader) *Orders {
	return &Orders{pool: pool, settings: settings, now: time.Now}
}

// Do carries out a command. A refusal is no error: see Result.Action.
func (o *Orders) Do(ctx context.Context, cmd Command) (Result, error) {
	if wrong := cmd.Check(); len(wrong) > 0 {
		return Result{}, fmt.Errorf("%s of order %s: %w", cmd.Request, cmd.Ref.Key(), wrong[0])
	}
	s := o.settings.Current()
	if cmd.Request.NeedsConnector() && !s.Enabled {
		return Result{}, ErrDisabled
	}
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	var result Result
	err := postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		c := change{tx: tx, command: cmd, maxAttempts: s.MaxAttempts, now: domain.NormalizeTime(o.now())}
		err := c.run(ctx)
		result = c.result
		if err == nil && cmd.InTx != nil {
			err = cmd.InTx(ctx, tx, result)
		}
		return err
	})
	if err != nil {
		return Result{}, fmt.Errorf("%s of order %s: %w", cmd.Request, cmd.Ref.Key(), err)
	}
	if result.wrote {
		outbox.Wake(ctx, o.pool)
	}
	return result, nil
}

// change is one transaction of a command.
type change struct {
	tx          pgx.Tx
	command     Command
	maxAttempts int
	now         time.Time

	order   json.RawMessage // the snapshot; nil when nobody has published the order
	orderID *int64
	records []event.Record
	result  Result
}

// run is one try. The state is what the gate says and, where the projection knows of a success that the gate was not told yet, that.
func (c *change) run(ctx context.Context) error {
	seen, err := c.read(ctx)
	if err != nil {
		return err
	}
	g := c.result.Gate.CaughtUp(seen)
	c.result.State = domain.StateOf(c.order != nil, &g, seen, c.now)
	c.result.Action = domain.ActionFor(c.command.Request, c.result.State)
	next, err := c.act(ctx, g)
	if err != nil {
		return err
	}
	return c.write(ctx, g, next)
}

// write puts the facts into the outbox. It saves the gate only when the version has changed, which means that one of the
// facts stands for the change: a gate that differs from the log could not be restored from it.
func (c *change) write(ctx context.Context, before, next domain.Gate) error {
	c.result.wrote = len(c.records) > 0
	switch {
	case !c.result.wrote:
		return nil
	case next.Version == c.result.Gate.Version:
		return outbox.Publish(ctx, c.tx, c.records)
	}
	c.result.Gate = next
	if before.ClosedBy == domain.ClosedByDeadLetter {
		what := deadletter.Decision{By: c.command.Who, Why: c.cause(), At: c.now}
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

// read locks the gate, and reads the snapshot and what the projection shows. An order that nobody has published has no gate.
func (c *change) read(ctx context.Context) (domain.Projected, error) {
	key := c.command.Ref.Key()
	gates, err := gate.LockKnown(ctx, c.tx, []string{key})
	if err != nil {
		return domain.Projected{}, err
	}
	g, known := gates[key]
	if !known {
		c.result.Gate = domain.Gate{Ref: c.command.Ref, State: domain.GateNone}
		return domain.Projected{}, nil
	}
	c.result.Gate = g
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

// act changes the gate, and adds the facts of the change.
func (c *change) act(ctx context.Context, g domain.Gate) (domain.Gate, error) {
	switch c.result.Action {
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
		next := g.Resync(c.maxAttempts, c.command.Request == domain.RequestAnew, c.now)
		s := next.RequestedSync(c.orderID, c.cause())
		s.NewKey = next.KeyNumber > g.KeyNumber
		return next, c.addRequest(s, c.order)
	case domain.ActSettle:
		return c.settle(ctx, g)
	default:
		return g, nil
	}
}

// settledBy says who ends the generation, by the request.
var settledBy = map[domain.Request]domain.ClosedBy{
	domain.RequestAccepted: domain.ClosedByWebhook, domain.RequestRejected: domain.ClosedByRejected,
	domain.RequestCancel: domain.ClosedByCancelled, domain.RequestSettle: domain.ClosedByHand,
}

// settle ends the generation: as the ERP calls back, or by hand.
func (c *change) settle(ctx context.Context, g domain.Gate) (domain.Gate, error) {
	if c.command.Request == domain.RequestAccepted || c.command.Request == domain.RequestRejected {
		return c.callback(ctx, g)
	}
	return c.settleAs(g, c.settlement())
}

// settlement is the command as the domain takes it.
func (c *change) settlement() domain.Settlement {
	return domain.Settlement{By: settledBy[c.command.Request], Reference: c.command.Reference, IdempotencyKey: c.command.IdempotencyKey}
}

// settleAs adds the facts of a settlement, if that is about the gate's generation.
func (c *change) settleAs(g domain.Gate, s domain.Settlement) (domain.Gate, error) {
	next, released, what := g.Settle(s, c.now)
	c.result.Settled = what
	if what != domain.SettledNow {
		return g, nil
	}
	if released {
		if err := c.requested(next); err != nil {
			return g, err
		}
	}
	v := event.Sync{Sync: next.SettledSync(c.orderID, c.command.Reference, c.cause()), Error: c.errorText(next)}
	if c.command.Body != "" {
		v.Response = c.command.response()
	}
	return next, c.add(event.TopicCallback, v)
}

// errorText is the order's last_error after an end that the ERP's answer has not brought about; nil for a success.
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

// requested adds the fact of a request or a release.
func (c *change) requested(g domain.Gate) error {
	return c.addRequest(g.RequestedSync(c.orderID, c.cause()), c.order)
}

// addRequest adds a request with the remarks on its order, which only requests carry.
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

// context gives all facts of a command one time and the caller's trace.
func (c *change) context() event.Context {
	return event.Context{Traceparent: c.command.Traceparent, At: c.now}
}

// cause says who gave which command, and why.
func (c *change) cause() string {
	return Cause(string(c.command.Request), c.command.Who, c.command.Reason)
}

// Cause is the text in the log of who did what, and why.
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
