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

// unchanged is why a callback settles nothing, as the order's timeline has it.
var unchanged = map[domain.Settled]string{
	domain.SettledRepeated: "the same callback came before the resync",
	domain.SettledOtherKey: "it carries another idempotency key than the order's current one",
	domain.SettledEarlier:  "its reference is that of an earlier generation",
	domain.SettledUnnamed:  "after a resync it carries neither the idempotency key nor a reference",
}

// callback takes the ERP's word on the order: a settlement, or a note on the timeline of why it is none. What is noted in
// a generation is not noted in it again, so that a captured callback cannot fill the log.
func (c *change) callback(ctx context.Context, g domain.Gate) (domain.Gate, error) {
	said := gate.Callback{Key: c.ask.Ref.Key(), Body: c.ask.Digest, Reference: c.ask.Reference}
	known, heardIn, err := gate.Hear(ctx, c.tx, said)
	if err != nil {
		return g, err
	}
	s := c.settlement()
	s.Heard = &known
	next, err := c.settleAs(g, s)
	if err != nil || heardIn == g.Generation {
		return next, err
	}
	if why := unchanged[c.answer.Settled]; why != "" {
		if err := c.note(g, why); err != nil {
			return g, err
		}
	}
	return next, gate.Keep(ctx, c.tx, said, g.Generation, g.ReferenceOf(s), c.now)
}

// response is the callback's body, as records have it.
func (a Command) response() *event.Response {
	return &event.Response{Body: a.Body, Truncated: a.Truncated}
}

// Annotate keeps what the ERP says of an order on its timeline, though its status settles nothing. known is false when the
// order has no sync.
func (o *Orders) Annotate(ctx context.Context, a Command, said string) (known bool, err error) {
	if wrong := a.Check(); len(wrong) > 0 {
		return false, fmt.Errorf("noting a callback of order %s: %w", a.Ref.Key(), wrong[0])
	}
	if !o.settings.Current().Enabled {
		return false, ErrDisabled
	}
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	err = postgres.InTx(ctx, o.pool, func(tx pgx.Tx) error {
		c := change{tx: tx, ask: a, now: domain.NormalizeTime(o.now())}
		known, err = c.noteStatus(ctx, said)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("noting a callback of order %s: %w", a.Ref.Key(), err)
	}
	outbox.Wake(ctx, o.pool)
	return known, nil
}

// noteStatus remembers the callback too: what it calls the order is known from then on.
func (c *change) noteStatus(ctx context.Context, status string) (known bool, err error) {
	if _, err := c.read(ctx); err != nil {
		return false, err
	}
	g := c.answer.Gate
	if g.State == domain.GateNone {
		return false, nil
	}
	said := gate.Callback{Key: c.ask.Ref.Key(), Body: c.ask.Digest, Reference: c.ask.Reference}
	heard, _, err := gate.Hear(ctx, c.tx, said)
	if err != nil {
		return false, err
	}
	s := c.settlement()
	s.Heard = &heard
	if err := gate.Keep(ctx, c.tx, said, g.Generation, g.ReferenceOf(s), c.now); err != nil {
		return false, err
	}
	if err := c.note(g, domain.KeepableText(status)); err != nil {
		return false, err
	}
	return true, c.write(ctx, g, g)
}

// note puts what was said on the timeline. Its version is that of the generation's request, the lowest there is, so that it
// changes no field of the row.
func (c *change) note(g domain.Gate, said string) error {
	s := g.RequestedSync(c.orderID, Cause("webhook", "", said))
	s.Released = nil
	what := c.ask.Body
	if c.ask.Truncated {
		what += hex.EncodeToString(c.ask.Digest[:])
	}
	r, err := event.NewNote(event.Sync{Sync: s, Response: c.ask.response()}, what, event.Context{Traceparent: c.ask.Traceparent, At: c.now})
	c.records = append(c.records, r)
	return err
}

// RememberCallback notes a callback that stands in the log, for a database that has lost it: so it is known when the ERP sends it
// once more. What is no callback changes nothing. The caller holds the gate, and gives callbacks in the order of the log.
//
// A callback that said what the order's last one had said stands in no log; its reference does, with the earlier one. One that is
// longer than the log keeps cannot be told by its body.
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
	said := gate.Callback{Key: v.Sync.Ref().Key(), Body: sha256.Sum256([]byte(v.Response.Body)), Reference: body.ErpReference.Text()}
	known, heardIn, err := gate.Hear(ctx, tx, said)
	if err != nil || heardIn >= v.Sync.Generation {
		return err
	}
	s := domain.Settlement{Reference: said.Reference, IdempotencyKey: body.IdempotencyKey, Heard: &known}
	return gate.Keep(ctx, tx, said, v.Sync.Generation, domain.GateOf(v.Sync).ReferenceOf(s), at)
}
