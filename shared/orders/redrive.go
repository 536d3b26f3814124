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

// DeadLetterError is why nothing was done about a dead letter, in words for whoever asked.
type DeadLetterError struct{ Why string }

func (e *DeadLetterError) Error() string { return e.Why }

func refuse(format string, args ...any) error { return &DeadLetterError{fmt.Sprintf(format, args...)} }

// DeadLetterRequest is what somebody asks about a dead letter.
type DeadLetterRequest struct {
	ID          int64
	Who, Reason string
	Traceparent string
}

// ErrTopic means that the letter's record could not be read from Kafka.
var ErrTopic = errors.New("the dead-letter topic cannot be read")

// Redrive sends the letter's record back to where it came from, as it was, once: it is read again there. That makes sense for a
// record that kept its order going, while nothing else was decided about the order; any other is refused, with a *DeadLetterError.
func (o *Orders) Redrive(ctx context.Context, cfg kafka.Config, a DeadLetterRequest) (deadletter.Entry, error) {
	if !o.settings.Current().Enabled {
		return deadletter.Entry{}, ErrDisabled
	}
	e, err := deadletter.Get(ctx, o.pool, a.ID)
	if err != nil {
		return e, err
	}
	var record event.Record
	if e.State == deadletter.Open {
		if record, err = originalOf(ctx, cfg, e); err != nil {
			return e, err
		}
	}
	return o.decideDeadLetter(ctx, a, deadletter.Redriven, func(ctx context.Context, tx pgx.Tx, e deadletter.Entry, now time.Time) error {
		return redrive(ctx, tx, e, record, a, now)
	})
}

// originalOf is the record that goes back.
func originalOf(ctx context.Context, cfg kafka.Config, e deadletter.Entry) (r event.Record, err error) {
	if e.Generation == nil {
		return r, refuse("%s", whyNotRedriven(e))
	}
	letter, err := deadletter.Fetch(ctx, cfg, e.Letter)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrTopic, err)
	}
	if r, err = deadletter.Original(cfg, letter); err != nil {
		return r, refuse("dead letter %d cannot be sent back as it was: %s; resync-order sends the order again", e.ID, err)
	}
	return r, nil
}

// whyNotRedriven is why the record of a letter that has stopped no order is not sent back.
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

func redrive(ctx context.Context, tx pgx.Tx, e deadletter.Entry, record event.Record, a DeadLetterRequest, now time.Time) error {
	gates, err := gate.LockKnown(ctx, tx, []string{e.OrderKey})
	if err != nil {
		return err
	}
	g := gates[e.OrderKey]
	c := change{tx: tx, now: now, ask: Command{Traceparent: a.Traceparent}}
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
	s := next.DeadLetterSync(e.ChainRecord(), c.orderID, Cause(fmt.Sprintf("redrive of dead letter %d", e.ID), a.Who, a.Reason))
	if err := c.say(s, nil); err != nil {
		return err
	}
	c.records = append(c.records, record)
	return c.save(ctx, next)
}

// Discard notes that nothing more is to be done about a letter. An order that it has stopped stays failed.
func (o *Orders) Discard(ctx context.Context, a DeadLetterRequest) (deadletter.Entry, error) {
	return o.decideDeadLetter(ctx, a, deadletter.Discarded, func(context.Context, pgx.Tx, deadletter.Entry, time.Time) error { return nil })
}

// decideDeadLetter does something about an open letter, in one transaction with the note of it.
func (o *Orders) decideDeadLetter(ctx context.Context, a DeadLetterRequest, state deadletter.State,
	do func(context.Context, pgx.Tx, deadletter.Entry, time.Time) error,
) (e deadletter.Entry, err error) {
	if wrong := a.Check(); len(wrong) > 0 {
		return e, fmt.Errorf("deciding about dead letter %d: %w", a.ID, wrong[0])
	}
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	err = postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		before, err := deadletter.Get(ctx, tx, a.ID)
		if err != nil {
			return err
		}
		if _, err := gate.LockKnown(ctx, tx, []string{before.OrderKey}); err != nil { // before the letter, as all others do
			return err
		}
		if e, err = deadletter.Lock(ctx, tx, a.ID); err != nil {
			return err
		}
		if e.State != deadletter.Open {
			return refuse("dead letter %d was %s by %s at %s already", e.ID, e.State, *e.DecidedBy, e.DecidedAt.Format(time.RFC3339))
		}
		now := domain.NormalizeTime(o.now())
		if err := do(ctx, tx, e, now); err != nil {
			return err
		}
		if err := deadletter.Decide(ctx, tx, a.ID, deadletter.Decision{State: state, By: a.Who, Why: a.Reason, At: now}); err != nil {
			return err
		}
		e, err = deadletter.Get(ctx, tx, a.ID)
		return err
	})
	var refused *DeadLetterError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, deadletter.ErrUnknown) {
		return e, fmt.Errorf("deciding about dead letter %d: %w", a.ID, err)
	}
	if err == nil && state == deadletter.Redriven {
		outbox.Wake(ctx, o.pool)
	}
	return e, err
}
