package projector

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// row is a row of vendor_erp_sync; the tags are its columns.
type row struct {
	SyncID             int64         `db:"sync_id"`
	OrderID            *int64        `db:"order_id"`
	OrderIncrementID   string        `db:"order_increment_id"`
	Status             domain.Status `db:"status"`
	Attempts           int           `db:"attempts"`
	MaxAttempts        int           `db:"max_attempts"`
	LastAttemptAt      *time.Time    `db:"last_attempt_at"`
	NextAttemptAt      *time.Time    `db:"next_attempt_at"`
	LastError          *string       `db:"last_error"`
	ErpReference       *string       `db:"erp_reference"`
	IdempotencyKey     string        `db:"idempotency_key"`
	Payload            *string       `db:"payload"`
	Response           *string       `db:"response"`
	CreatedAt          time.Time     `db:"created_at"`
	UpdatedAt          time.Time     `db:"updated_at"`
	Source             string        `db:"source"`
	Generation         int           `db:"generation"`
	AttemptVersion     int64         `db:"attempt_version"`
	AttemptVersionAt   time.Time     `db:"attempt_version_at"`
	Version            int64         `db:"version"`
	VersionAt          time.Time     `db:"version_at"`
	ReferenceVersion   int64         `db:"reference_version"`
	ReferenceVersionAt *time.Time    `db:"reference_version_at"`
}

// domain is the row as domain.Fold takes it.
func (r row) domain() domain.Row {
	out := domain.Row{
		SyncID: r.SyncID, OrderID: r.OrderID, Source: r.Source, OrderIncrementID: r.OrderIncrementID, Status: r.Status,
		Attempts: r.Attempts, MaxAttempts: r.MaxAttempts, LastAttemptAt: r.LastAttemptAt, NextAttemptAt: r.NextAttemptAt,
		LastError: r.LastError, ErpReference: r.ErpReference, IdempotencyKey: r.IdempotencyKey, Payload: r.Payload,
		Response: r.Response, Generation: r.Generation, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		AttemptVersion: domain.Stamp{Version: domain.Version(r.AttemptVersion), Time: r.AttemptVersionAt},
		Version:        domain.Stamp{Version: domain.Version(r.Version), Time: r.VersionAt},
	}
	if r.ReferenceVersionAt != nil {
		out.ReferenceVersion = domain.Stamp{Version: domain.Version(r.ReferenceVersion), Time: *r.ReferenceVersionAt}
	}
	return out
}

// rowOf is a folded row as the table keeps it.
func rowOf(d domain.Row) row {
	r := row{
		SyncID: d.SyncID, OrderID: d.OrderID, Source: d.Source, OrderIncrementID: d.OrderIncrementID, Status: d.Status,
		Attempts: d.Attempts, MaxAttempts: d.MaxAttempts, LastAttemptAt: d.LastAttemptAt, NextAttemptAt: d.NextAttemptAt,
		LastError: d.LastError, ErpReference: d.ErpReference, IdempotencyKey: d.IdempotencyKey, Payload: d.Payload,
		Response: d.Response, Generation: d.Generation, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
		AttemptVersion: int64(d.AttemptVersion.Version), AttemptVersionAt: d.AttemptVersion.Time,
		Version: int64(d.Version.Version), VersionAt: d.Version.Time, ReferenceVersion: int64(d.ReferenceVersion.Version),
	}
	if !d.ReferenceVersion.Time.IsZero() {
		r.ReferenceVersionAt = &d.ReferenceVersion.Time
	}
	return r
}
