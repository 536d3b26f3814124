package domain

import "time"

// Fact is one record of the log as the projection sees it.
type Fact struct {
	Sync     Sync
	Time     time.Time // the record's ce_time
	Payload  *string   // the bytes sent, before_send only
	Response *string   // the answer as JSON, after_send only
	Error    *string   // the text behind error_code
}

// Row is one row of the projection: the module's columns and the versions that make the fold independent of order.
type Row struct {
	SyncID           int64
	OrderID          *int64
	Source           string
	OrderIncrementID string
	Status           Status
	Attempts         int
	MaxAttempts      int
	LastAttemptAt    *time.Time
	NextAttemptAt    *time.Time
	LastError        *string
	ErpReference     *string
	IdempotencyKey   string
	Payload          *string
	Response         *string
	Generation       int
	CreatedAt        time.Time
	UpdatedAt        time.Time

	AttemptVersion   Stamp // of the attempt fields
	Version          Stamp // of status and error
	ReferenceVersion Stamp // of the reference
}

// Stamp orders facts that claim the same fields: by version, then by time.
type Stamp struct {
	Version Version
	Time    time.Time
}

// notBefore reports whether a fact with this stamp takes the fields from one stamped o. Equal stamps are one fact seen
// twice, and taking it again changes nothing.
func (s Stamp) notBefore(o Stamp) bool {
	if s.Version != o.Version {
		return s.Version > o.Version
	}
	return !s.Time.Before(o.Time)
}

// Fold applies a fact to a row (nil: none yet). Any order and any number of repetitions give the same row:
// attempt fields follow the highest fact of class 0 or 1, status and error the highest of all, the reference the
// highest that carries one; payload and response belong to the attempt that the attempt fields show.
func Fold(row *Row, f Fact) Row {
	s := f.Sync
	next := Row{
		SyncID: s.SyncID, Source: s.Source, OrderIncrementID: s.OrderIncrementID, OrderID: s.OrderID,
		CreatedAt: f.Time, UpdatedAt: f.Time,
	}
	if row != nil {
		next = *row
	}
	if next.OrderID == nil {
		next.OrderID = s.OrderID
	}
	if f.Time.Before(next.CreatedAt) {
		next.CreatedAt = f.Time
	}
	if f.Time.After(next.UpdatedAt) {
		next.UpdatedAt = f.Time
	}
	stamp := Stamp{Version: s.Version, Time: f.Time}
	if s.Version.Class() != ClassCallback {
		foldAttempt(&next, f, stamp)
	}
	if stamp.notBefore(next.Version) {
		next.Version, next.Status, next.LastError = stamp, s.Status, f.Error
	}
	if s.ErpReference != nil && stamp.notBefore(next.ReferenceVersion) {
		next.ReferenceVersion, next.ErpReference = stamp, s.ErpReference
	}
	if next.Status != Queued {
		next.NextAttemptAt = nil // a settled order waits for nothing, though its parked record still lies in the ladder
	}
	return next
}

func foldAttempt(row *Row, f Fact, stamp Stamp) {
	s := f.Sync
	same := s.Version.sameAttempt(row.AttemptVersion.Version)
	if stamp.notBefore(row.AttemptVersion) {
		if !same {
			row.Payload, row.Response = nil, nil
		}
		row.AttemptVersion, same = stamp, true
		row.Attempts, row.MaxAttempts, row.Generation = s.Attempts, s.MaxAttempts, s.Generation
		row.LastAttemptAt, row.NextAttemptAt = s.LastAttemptAt, s.NextAttemptAt
		row.IdempotencyKey = s.IdempotencyKey
	}
	if same {
		row.Payload, row.Response = greater(row.Payload, f.Payload), greater(row.Response, f.Response)
	}
}

// greater picks one of two texts of the same attempt, the same one whichever comes first. They differ only when an
// attempt was repeated after a crash by another release of this program.
func greater(a, b *string) *string {
	if a == nil || (b != nil && *b > *a) {
		return b
	}
	return a
}
