package alerter

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/failpoint"
)

// sendAtOnce is how many destinations are sent to at once.
const sendAtOnce = 16

// deliverer sends the notices that are due.
type deliverer struct {
	store  *alert.Store
	sender *alert.Sender
	log    *slog.Logger
	now    func() time.Time
}

// deliver sends round by round until nothing is due, one notice to each destination in a round: a destination that does not answer holds up
// the others by one attempt. It returns how long to wait for the next notice that is due.
func (d *deliverer) deliver(ctx context.Context) (wait time.Duration, err error) {
	for ctx.Err() == nil {
		due, err := d.store.Due(ctx, d.now(), sendAtOnce)
		if err != nil {
			return lookInterval, err
		}
		if len(due) == 0 {
			break
		}
		if err := d.round(ctx, due); err != nil { // sent and not noted: it is sent again, and not at once
			return lookInterval, err
		}
	}
	n, next, err := d.store.Waiting(ctx)
	if err != nil {
		return lookInterval, err
	}
	waiting.Set(float64(n))
	if n == 0 {
		return lookInterval, nil // whoever has something to tell wakes this up
	}
	// Something may be due and not to be sent, behind another notice or for a destination that is turned off.
	return max(next.Sub(d.now()), time.Second), nil
}

// round sends each notice once.
func (d *deliverer) round(ctx context.Context, due []alert.Due) error {
	var all sync.WaitGroup
	errs := make([]error, len(due))
	for i, notice := range due {
		all.Go(func() { errs[i] = d.send(ctx, notice) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// send sends a notice and notes what came of it. Between the two the process may die: then the notice is sent again, under the same id.
func (d *deliverer) send(ctx context.Context, due alert.Due) error {
	answer := d.sender.Send(ctx, due.Destination, due.MessageID, due.Body)
	failpoint.Hit("alerter.after_send")
	if ctx.Err() != nil && !answer.Delivered { // it was cut off, and is no attempt
		return nil
	}
	now := d.now()
	next := attempt(due, answer, now, rand.Float64()) //nolint:gosec // it need not be secret
	// What was delivered is noted also when the process is asked to stop meanwhile.
	if err := d.store.Note(context.WithoutCancel(ctx), due, next, now); err != nil {
		return err
	}
	deliveries.WithLabelValues(string(due.Destination.Kind), string(next.State)).Inc()
	d.report(due, next)
	if answer.Gone {
		d.log.Warn("a destination of alerts says that it is gone, and is turned off", "destination_id", due.Destination.ID)
		return d.store.TurnOff(ctx, due.Destination, "alerter, as it answered 410")
	}
	return nil
}

// attempt is what an answer leads to: any answer but a 2xx is tried again, as somebody may correct the receiver. 410 is final.
func attempt(due alert.Due, answer alert.Answer, now time.Time, random float64) alert.Attempt {
	if answer.Delivered {
		return alert.Attempt{State: alert.Delivered, Answer: answer}
	}
	at, more := domain.DefaultDeliveryPolicy().Next(due.Attempts+1, due.CreatedAt, now, answer.AskAt, random)
	if !more || answer.Gone {
		return alert.Attempt{State: alert.Failed, Answer: answer}
	}
	return alert.Attempt{State: alert.Pending, NextAt: domain.NormalizeTime(at), Answer: answer}
}

// report logs the first attempt in vain and the last one. What the destination said stands in the table: it may be anything.
func (d *deliverer) report(due alert.Due, a alert.Attempt) {
	switch {
	case a.State == alert.Failed:
		d.log.Warn("notice of an alert given up", "destination_id", due.Destination.ID, "message_id", due.MessageID, "http_status", a.Answer.HTTPStatus, "attempt", due.Attempts+1)
	case a.State == alert.Pending && due.Attempts == 0:
		d.log.Warn("notice of an alert not taken; trying on", "destination_id", due.Destination.ID, "message_id", due.MessageID, "http_status", a.Answer.HTTPStatus)
	default:
		d.log.Debug("notice of an alert sent", "destination_id", due.Destination.ID, "message_id", due.MessageID, "state", a.State, "attempt", due.Attempts+1)
	}
}
