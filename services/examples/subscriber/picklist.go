package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// errUnreadable marks a message that will be no better the next time.
var errUnreadable = errors.New("the message cannot be read")

// fact is what the warehouse takes from a terminal event.
type fact struct {
	source, id string // of the CloudEvent: the same pair is the same fact
	ref        domain.OrderRef
	version    domain.Version
	at         time.Time
	state      string
	reference  *string
	lines      []line
}

type line struct {
	SKU  string        `json:"sku"`
	Name string        `json:"name"`
	Qty  domain.Amount `json:"qty"`
}

func readFact(msg *message.Message) (fact, error) {
	record := event.View{Value: msg.Payload, Headers: event.Metadata(msg.Metadata)}
	value, err := record.Sync()
	if err != nil {
		return fact{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	at, err := record.Time()
	if err != nil {
		return fact{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	var order struct {
		Items []line `json:"items"`
	}
	if len(value.Order) > 0 {
		if err := json.Unmarshal(value.Order, &order); err != nil {
			return fact{}, fmt.Errorf("%w: its order: %w", errUnreadable, err)
		}
	}
	f := fact{
		source: record.Source(), id: record.ID(),
		ref: value.Sync.Ref(), version: value.Sync.Version, at: at, state: "stopped",
		reference: value.Sync.ErpReference, lines: append([]line{}, order.Items...),
	}
	if value.Sync.Status == domain.Success {
		f.state = "to_pick"
	}
	return f, nil
}

// pickList is what the warehouse has to pick: a table of its own.
type pickList struct{ pool *pgxpool.Pool }

//go:embed schema.sql
var schema string

// prepare makes the tables. The lock is for instances that start at once: IF NOT EXISTS alone does not bear that.
func (l pickList) prepare(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('warehouse'))"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return fmt.Errorf("making the warehouse's tables: %w", err)
	}
	return nil
}

// What became of a fact.
const (
	applied   = "applied"
	duplicate = "duplicate" // seen before
	older     = "older"     // than what the row already says
)

// Of what the row says and the fact, the newer stays: the higher version, and of equal ones the later.
const pickQuery = `
INSERT INTO warehouse.pick AS p (source, increment_id, state, version, stated_at, erp_reference, lines, facts)
VALUES ($1, $2, $3, $4, $5, $6, $7, 1)
ON CONFLICT (source, increment_id) DO UPDATE SET facts = p.facts + 1,
    (state, version, stated_at, erp_reference, lines) = (
        SELECT * FROM (VALUES
            (p.state, p.version, p.stated_at, p.erp_reference, p.lines),
            (excluded.state, excluded.version, excluded.stated_at, excluded.erp_reference, excluded.lines)
        ) AS newest (state, version, stated_at, erp_reference, lines)
        ORDER BY version DESC, stated_at DESC LIMIT 1)
RETURNING version = $4 AND stated_at = $5`

// apply takes a fact into the list, any number of times and in any order, with the same result.
func (l pickList) apply(ctx context.Context, f fact) (outcome string, err error) {
	err = postgres.InTx(ctx, l.pool, func(tx pgx.Tx) error {
		fresh, err := tx.Exec(ctx, `INSERT INTO warehouse.seen (ce_source, ce_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, f.source, f.id)
		if err != nil || fresh.RowsAffected() == 0 {
			outcome = duplicate
			return err
		}
		outcome = older
		var newest bool
		row := tx.QueryRow(ctx, pickQuery, f.ref.Source, f.ref.IncrementID, f.state, f.version, f.at, f.reference, f.lines)
		if err := row.Scan(&newest); err != nil {
			return err
		}
		if newest {
			outcome = applied
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("taking %s into the pick list: %w", f.id, err)
	}
	return outcome, nil
}
