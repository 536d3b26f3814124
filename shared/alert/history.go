package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Past is an alert as it is listed, with the newest of its deliveries.
type Past struct {
	ID         int64
	Kind       domain.AlertKind
	Subject    string
	OpenedAt   time.Time
	ToldAt     time.Time
	ResolvedAt *time.Time // nil: it is open
	Data       Data       // of the newest notice
	Deliveries []Delivery // the newest first
}

// Delivery is a notice as it is listed: what became of it at one destination. It is also its form in answers.
type Delivery struct {
	Destination string            `json:"destination"`
	Event       domain.AlertEvent `json:"event"`
	MessageID   string            `json:"message_id"`
	State       DeliveryState     `json:"state"`
	Attempts    int               `json:"attempts"`
	CreatedAt   time.Time         `json:"created_at"`
	NextAt      *time.Time        `json:"next_at"`     // while it is pending
	EndedAt     *time.Time        `json:"ended_at"`    // null: it is pending
	HTTPStatus  *int              `json:"http_status"` // null: there was no answer
	Said        string            `json:"said,omitempty"`
}

// Filter says which alerts to list.
type Filter struct {
	Open   *bool            // nil: those that are over too
	Kind   domain.AlertKind // empty: all
	Before int64            // only with a lower id; 0: from the newest on
	Limit  int
}

// state is the condition that Open stands for; the open ones have an index of their own.
func (f Filter) state() string {
	switch {
	case f.Open == nil:
		return "true"
	case *f.Open:
		return "resolved_at IS NULL"
	}
	return "resolved_at IS NOT NULL"
}

// deliveriesShown is how many deliveries of an alert are listed.
const deliveriesShown = 20

// List reads alerts, the newest first; more reports whether there are others after them.
func (s *Store) List(ctx context.Context, f Filter) (alerts []Past, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `
		SELECT a.alert_id, a.kind, a.subject, a.opened_at, a.told_at, a.resolved_at, a.data, coalesce(d.list, '[]')
		FROM (
			SELECT * FROM alert WHERE `+f.state()+` AND ($1 = '' OR kind = $1) AND ($2 = 0 OR alert_id < $2) ORDER BY alert_id DESC LIMIT $3
		) a CROSS JOIN LATERAL (
			SELECT jsonb_agg(jsonb_build_object('destination', destination, 'event', event, 'message_id', message_id, 'state', state, 'attempts', attempts,
				'created_at', created_at, 'next_at', CASE WHEN state = 'pending' THEN next_at END, 'ended_at', ended_at, 'http_status', http_status, 'said', said)
				ORDER BY delivery_id DESC) AS list
			FROM (SELECT * FROM alert_delivery WHERE alert_id = a.alert_id ORDER BY delivery_id DESC LIMIT $4) newest
		) d ORDER BY a.alert_id DESC`, f.Kind, f.Before, f.Limit+1, deliveriesShown)
	if err != nil {
		return nil, false, fmt.Errorf("listing alerts: %w", err)
	}
	alerts, err = pgx.CollectRows(rows, scanPast)
	if err != nil {
		return nil, false, fmt.Errorf("listing alerts: %w", err)
	}
	if len(alerts) > f.Limit {
		return alerts[:f.Limit], true, nil
	}
	return alerts, false, nil
}

func scanPast(row pgx.CollectableRow) (p Past, err error) {
	var deliveries json.RawMessage
	if err = row.Scan(&p.ID, &p.Kind, &p.Subject, &p.OpenedAt, &p.ToldAt, &p.ResolvedAt, &p.Data, &deliveries); err != nil {
		return p, err
	}
	return p, json.Unmarshal(deliveries, &p.Deliveries)
}

// Audit is what an audit has found, as far as alerts need it.
type Audit struct {
	At     time.Time
	Breaks int64
	Found  map[string]int // how many of each kind
}

// NoteAudit keeps what an audit has found in place of what the one before had.
func (s *Store) NoteAudit(ctx context.Context, a Audit) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, `INSERT INTO alert_audit (at, breaks, found) VALUES ($1, $2, $3)
		ON CONFLICT (single) DO UPDATE SET at = excluded.at, breaks = excluded.breaks, found = excluded.found`, a.At, a.Breaks, a.Found)
	if err != nil {
		return fmt.Errorf("noting what the audit has found: %w", err)
	}
	return nil
}
