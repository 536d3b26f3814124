package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// DeadLetterError says why nothing was done about a dead letter, in words for the operator.
type DeadLetterError struct{ Why string }

func (e *DeadLetterError) Error() string { return e.Why }

func refuse(format string, args ...any) error { return &DeadLetterError{fmt.Sprintf(format, args...)} }

// DeadLetterRequest is a decision of an operator about a dead letter.
type DeadLetterRequest struct {
	ID          int64
	Who, Reason string
	Force       bool // redrive also a record that has come back maxRedrives times
	Traceparent string
}

// maxRedrives is how often a record is sent back without Force. One that came back so often comes back again: its cause is not gone.
const maxRedrives = 2

// ErrTopic means that the record of the dead letter could not be read from Kafka.
var ErrTopic = errors.New("the dead-letter topic cannot be read")

// Redrive sends the record of a dead letter back to its topic, as it was, once. Its consumer reads it again there. That makes
// sense only for a record that has stopped its order, while nobody has decided otherwise about the order. Any other is refused
// with a *DeadLetterError.
func (o *Orders) Redrive(ctx context.Context, cfg kafka.Config, r DeadLetterRequest) (deadletter.Entry, error) {
	if !o.settings.Current().Enabled {
		return deadletter.Entry{}, ErrDisabled
	}
	e, err := deadletter.Get(ctx, o.pool, r.ID)
	if err != nil {
		return e, err
	}
	var record event.Record
	if e.State == deadletter.Open {
		if record, err = originalOf(ctx, cfg, e); err != nil {
			return e, err
		}
	}
	return o.decideDeadLetter(ctx, r, deadletter.Redriven, func(ctx context.Context, tx pgx.Tx, e deadletter.Entry, now time.Time) error {
		return redrive(ctx, tx, e, record, r, now)
	})
}

// originalOf reads the record that goes back.
func originalOf(ctx context.Context, cfg kafka.Config, e deadletter.Entry) (record event.Record, err error) {
	if e.Generation == nil {
		return record, refuse("%s", whyNotRedriven(e))
	}
	letter, err := deadletter.Fetch(ctx, cfg, e.Letter)
	if err != nil {
		return record, fmt.Errorf("%w: %w", ErrTopic, err)
	}
	if record, err = deadletter.Original(cfg, letter); err != nil {
		return record, refuse("dead letter %d cannot be sent back as it was: %s; resync-order sends the order again", e.ID, err)
	}
	return record, nil
}

// whyNotRedriven says why the record of a dead letter that has stopped no order is not sent back.
func whyNotRedriven(e deadletter.Entry) string {
	if _, chain := event.ChainGroup(e.Topic); chain && e.By != deadletter.ByProjector {
		return fmt.Sprintf("dead letter %d has stopped no order: its record is none of the connector's, or its order went on or had ended; discard it", e.ID)
	}
	return fmt.Sprintf("dead letter %d is of a record that still stands in its topic, which %s could not use: sent back, it would be there twice. "+
		"When the cause is gone, `erpconnector rebuild` reads it for the table, and `erpconnector replay --to` for a subscriber; then discard the letter", e.ID, shownWriter(e.By))
}

func shownWriter(by deadletter.Writer) string {
	if by == "" {
		return "its reader"
	}
	return string(by)
}

// redrive opens the gate again, and puts the record into the outbox with the fact of it.
func redrive(ctx context.Context, tx pgx.Tx, e deadletter.Entry, record event.Record, r DeadLetterRequest, now time.Time) error {
	if err := checkLoop(e, r); err != nil {
		return err
	}
	gates, err := gate.LockKnown(ctx, tx, []string{e.OrderKey})
	if err != nil {
		return err
	}
	g := gates[e.OrderKey]
	c := change{tx: tx, now: now, command: Command{Traceparent: r.Traceparent}}
	var seen domain.Version
	err = tx.QueryRow(ctx, `
		SELECT o.order_id, coalesce(v.version, 0)
		FROM erp_sync_gate g LEFT JOIN sales_order o ON o.order_key = g.order_key LEFT JOIN vendor_erp_sync v ON v.sync_id = g.sync_id
		WHERE g.order_key = $1`, e.OrderKey).Scan(&c.orderID, &seen)
	if err != nil {
		return fmt.Errorf("reading order %s: %w", e.OrderKey, err)
	}
	next, ok := g.Redrive(e.ChainRecord(), now)
	if !ok || seen > g.Version || *e.Generation != g.Generation {
		return refuse("the order of dead letter %d has gone on or ended otherwise since: resync-order sends it again, then discard the letter", e.ID)
	}
	s := next.DeadLetterSync(e.ChainRecord(), c.orderID, Cause(redriveName(e), r.Who, r.Reason))
	if err := c.addDeadLetter(s, nil); err != nil {
		return err
	}
	c.records = append(c.records, record)
	return c.save(ctx, next)
}

// checkLoop refuses to send a record back that has come back before, again and again.
func checkLoop(e deadletter.Entry, r DeadLetterRequest) error {
	if r.Force || e.Redrives < maxRedrives {
		return nil
	}
	return refuse("the record of dead letter %d was sent back %d times, and came back each time, now because: %s. "+
		"Resync the order, or mend the cause and ask for it once more with force (--force, or \"force\": true)", e.ID, e.Redrives, e.Reason)
}

// redriveName names a redrive in the log. It says how often the record had come back.
func redriveName(e deadletter.Entry) string {
	name := fmt.Sprintf("redrive of dead letter %d", e.ID)
	if e.Redrives > 0 {
		name += fmt.Sprintf(" (redriven before: %d)", e.Redrives)
	}
	return name
}

// Discard closes a dead letter without doing anything about it. An order that it has stopped stays failed.
func (o *Orders) Discard(ctx context.Context, r DeadLetterRequest) (deadletter.Entry, error) {
	return o.decideDeadLetter(ctx, r, deadletter.Discarded, func(context.Context, pgx.Tx, deadletter.Entry, time.Time) error { return nil })
}

// decideDeadLetter carries out a decision about an open dead letter, and notes the decision in the same transaction.
func (o *Orders) decideDeadLetter(ctx context.Context, r DeadLetterRequest, state deadletter.State,
	do func(context.Context, pgx.Tx, deadletter.Entry, time.Time) error,
) (e deadletter.Entry, err error) {
	if wrong := r.Check(); len(wrong) > 0 {
		return e, fmt.Errorf("deciding about dead letter %d: %w", r.ID, wrong[0])
	}
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	err = postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		before, err := deadletter.Get(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		if _, err := gate.LockKnown(ctx, tx, []string{before.OrderKey}); err != nil { // before the dead letter, in the order of all others
			return err
		}
		if e, err = deadletter.Lock(ctx, tx, r.ID); err != nil {
			return err
		}
		if e.State != deadletter.Open {
			return refuse("dead letter %d was %s by %s at %s already", e.ID, e.State, *e.DecidedBy, e.DecidedAt.Format(time.RFC3339))
		}
		now := domain.NormalizeTime(o.now())
		if err := do(ctx, tx, e, now); err != nil {
			return err
		}
		if err := deadletter.Decide(ctx, tx, r.ID, deadletter.Decision{State: state, By: r.Who, Why: r.Reason, At: now}); err != nil {
			return err
		}
		e, err = deadletter.Get(ctx, tx, r.ID)
		return err
	})
	var refused *DeadLetterError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, deadletter.ErrUnknown) {
		return e, fmt.Errorf("deciding about dead letter %d: %w", r.ID, err)
	}
	if err == nil && state == deadletter.Redriven {
		outbox.Wake(ctx, o.pool)
	}
	return e, err
}
