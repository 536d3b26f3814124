package domain

import "time"

// Fact is one record of the log, as far as the fold needs it.
type Fact struct {
	Sync     Sync
	Time     time.Time // the record's ce_time
	Payload  *string   // the bytes sent, before_send only
	Response *string   // the answer as JSON, after_send only
	Error    *string   // the text that goes with error_code
}

// Row is one row of the projection: the module's columns, and the versions that make the fold independent of the order of facts.
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

// Stamp orders facts that set the same fields: by version, then by time.
type Stamp struct {
	Version Version
	Time    time.Time
}

// notBefore reports whether a fact with this stamp overwrites the fields of one with the stamp o. Equal stamps are those of one fact
// that came twice; to apply it again changes nothing.
func (s Stamp) notBefore(o Stamp) bool {
	if s.Version != o.Version {
		return s.Version > o.Version
	}
	return !s.Time.Before(o.Time)
}

// Fold applies a fact to a row; nil is none yet. Facts in any order, and any number of times, give the same row. Each field follows
// the fact with the highest stamp: the attempt fields that of class 0 or 1, status and error that of any class, the reference that
// of those that carry one. Payload and response belong to the attempt that the attempt fields show.
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
		next.NextAttemptAt = nil // a settled order waits for nothing, though its parked record is still in a retry topic
	}
	return next
}

// foldAttempt applies a fact of class 0 or 1 to the attempt fields.
func foldAttempt(row *Row, f Fact, stamp Stamp) {
	s := f.Sync
	same := s.Version.SameAttempt(row.AttemptVersion.Version)
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

// greater picks one of two texts of the same attempt. It picks the same one whichever comes first. They differ only when another
// release of this program repeated an attempt after a crash.
func greater(a, b *string) *string {
	if a == nil || (b != nil && *b > *a) {
		return b
	}
	return a
}
