package orders

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// unchanged is why a callback settles nothing, in the words of the order's timeline.
var unchanged = map[domain.Settled]string{
	domain.SettledRepeated: "the same callback came before the resync",
	domain.SettledOtherKey: "it carries another idempotency key than the order's current one",
	domain.SettledEarlier:  "its reference is that of an earlier generation",
	domain.SettledUnnamed:  "after a resync it carries neither the idempotency key nor a reference",
}

// callback takes a callback of the ERP. It settles the order, or adds a note to the timeline of why it does not. The same body
// adds one note in a generation, so that a captured callback, sent again and again, cannot fill the log.
func (c *change) callback(ctx context.Context, g domain.Gate) (domain.Gate, error) {
	callback := gate.Callback{Key: c.command.Ref.Key(), Body: c.command.Digest, Reference: c.command.Reference}
	known, heardIn, err := gate.Hear(ctx, c.tx, callback)
	if err != nil {
		return g, err
	}
	s := c.settlement()
	s.Heard = &known
	next, err := c.settleAs(g, s)
	if err != nil || heardIn == g.Generation {
		return next, err
	}
	if why := unchanged[c.result.Settled]; why != "" {
		if err := c.annotate(g, why); err != nil {
			return g, err
		}
	}
	return next, gate.Keep(ctx, c.tx, callback, g.Generation, g.ReferenceOf(s), c.now)
}

// response is the callback's body, as records have it.
func (cmd Command) response() *event.Response {
	return &event.Response{Body: cmd.Body, Truncated: cmd.Truncated}
}

// Annotate adds a callback whose status settles nothing to the order's timeline. known is false when the order has no sync.
func (o *Orders) Annotate(ctx context.Context, cmd Command, status string) (known bool, err error) {
	if wrong := cmd.Check(); len(wrong) > 0 {
		return false, fmt.Errorf("noting a callback of order %s: %w", cmd.Ref.Key(), wrong[0])
	}
	if !o.settings.Current().Enabled {
		return false, ErrDisabled
	}
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	err = postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		c := change{tx: tx, command: cmd, now: domain.NormalizeTime(o.now())}
		known, err = c.annotateStatus(ctx, status)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("noting a callback of order %s: %w", cmd.Ref.Key(), err)
	}
	outbox.Wake(ctx, o.pool)
	return known, nil
}

// annotateStatus adds the note, and remembers the callback: the reference that it names is known from then on, and a later
// callback with the same reference is not taken for news.
func (c *change) annotateStatus(ctx context.Context, status string) (known bool, err error) {
	if _, err := c.read(ctx); err != nil {
		return false, err
	}
	g := c.result.Gate
	if g.State == domain.GateNone {
		return false, nil
	}
	callback := gate.Callback{Key: c.command.Ref.Key(), Body: c.command.Digest, Reference: c.command.Reference}
	heard, _, err := gate.Hear(ctx, c.tx, callback)
	if err != nil {
		return false, err
	}
	s := c.settlement()
	s.Heard = &heard
	if err := gate.Keep(ctx, c.tx, callback, g.Generation, g.ReferenceOf(s), c.now); err != nil {
		return false, err
	}
	if err := c.annotate(g, domain.KeepableText(status)); err != nil {
		return false, err
	}
	return true, c.write(ctx, g, g)
}

// annotate adds a note to the timeline. Its version is that of the generation's request, the lowest of the generation, so that it
// changes no field of the row.
func (c *change) annotate(g domain.Gate, why string) error {
	s := g.RequestedSync(c.orderID, Cause("webhook", "", why))
	s.Released = nil
	what := c.command.Body
	if c.command.Truncated {
		what += hex.EncodeToString(c.command.Digest[:])
	}
	r, err := event.NewNote(event.Sync{Sync: s, Response: c.command.response()}, what, event.Context{Traceparent: c.command.Traceparent, At: c.now})
	c.records = append(c.records, r)
	return err
}

// RememberCallback remembers a callback from the log, for a database that has lost it: so the callback is known when the ERP sends
// it again. A record that is no callback changes nothing. The caller holds the gate, and gives callbacks in the order of the log.
//
// Two kinds stay unknown. A callback that repeated the order's last one is not in the log; but its reference is, with the earlier
// one. A callback longer than the log keeps has an unknown digest.
func RememberCallback(ctx context.Context, tx pgx.Tx, v event.Sync, at time.Time) error {
	if v.Response == nil || v.Response.Body == "" || v.Response.Status != 0 || v.Response.Truncated {
		return nil
	}
	var body struct {
		ErpReference   domain.Reference `json:"erpReference"`
		IdempotencyKey string           `json:"idempotencyKey"`
	}
	if json.Unmarshal([]byte(v.Response.Body), &body) != nil {
		return nil
	}
	callback := gate.Callback{Key: v.Sync.Ref().Key(), Body: sha256.Sum256([]byte(v.Response.Body)), Reference: body.ErpReference.Text()}
	known, heardIn, err := gate.Hear(ctx, tx, callback)
	if err != nil || heardIn >= v.Sync.Generation {
		return err
	}
	s := domain.Settlement{Reference: callback.Reference, IdempotencyKey: body.IdempotencyKey, Heard: &known}
	return gate.Keep(ctx, tx, callback, v.Sync.Generation, domain.GateOf(v.Sync).ReferenceOf(s), at)
}
