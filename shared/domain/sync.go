package domain

import "time"

// Status is the status of a sync. The values are the module's.
type Status string

// The statuses. NotSynced is only the answer about an order without a sync.
const (
	Pending    Status = "pending"     // accepted, held for the cron or because the connector is off
	Queued     Status = "queued"      // on its way, or waiting for a retry with next_attempt_at
	InProgress Status = "in_progress" // the ERP is being called
	Success    Status = "success"
	Failed     Status = "failed"
	NotSynced  Status = "not_synced"
)

// Statuses are those that a sync may have.
var Statuses = []Status{Pending, Queued, InProgress, Success, Failed}

// Sync is the state of the effort to bring one order to the ERP, at one event. It is the `sync` of every lifecycle event. It holds no
// personal data but the order's number.
type Sync struct {
	SyncID           int64      `json:"sync_id"`
	Source           string     `json:"source"`
	OrderID          *int64     `json:"order_id"`
	OrderIncrementID string     `json:"order_increment_id"`
	Status           Status     `json:"status"`
	Attempts         int        `json:"attempts"`     // ERP calls of this generation that have ended
	MaxAttempts      int        `json:"max_attempts"` // fixed when the generation is made
	LastAttemptAt    *time.Time `json:"last_attempt_at"`
	NextAttemptAt    *time.Time `json:"next_attempt_at"`
	ErpReference     *string    `json:"erp_reference"` // only in facts that name it first
	IdempotencyKey   string     `json:"idempotency_key"`
	NewKey           bool       `json:"new_key,omitempty"` // of a resync: no earlier generation had the key
	Generation       int        `json:"generation"`
	Version          Version    `json:"version"`
	Released         *bool      `json:"released,omitempty"`     // requests only: false is held
	RequestedAt      *time.Time `json:"requested_at,omitempty"` // retries only, where GiveUpAfter is set: from when it counts
	Cause            string     `json:"cause,omitempty"`        // requests: the event id or the operator's action; after_send: why a success has no reference
	Lookup           Lookup     `json:"lookup,omitempty"`       // after_send and terminal events: what the ERP said, before the call, of an order in doubt
	Doubtful         bool       `json:"in_doubt,omitempty"`     // where look-ups are on: the ERP may have booked the order; see InDoubt
	KeyAnswered      bool       `json:"key_answered,omitempty"` // settlements only: the idempotency key is known to have been answered with success
	ClosedBy         ClosedBy   `json:"closed_by,omitempty"`    // terminal events that the gate, not an answer, brought about
	ErrorCode        ErrorCode  `json:"error_code,omitempty"`   // stable, for programs; the text stands in `error`
	CreatedAt        time.Time  `json:"created_at"`             // when the sync was first requested
	UpdatedAt        time.Time  `json:"updated_at"`             // this fact's time
}

// Why says to people what brought the fact about: who closed the generation, where somebody did, or else who asked for it. An operator who
// settles an order has said so in words of their own.
func (s Sync) Why() string {
	if s.ClosedBy == "" || (s.ClosedBy == ClosedByHand && s.Cause != "") {
		return s.Cause
	}
	return string(s.ClosedBy)
}

// Ref is the order the sync belongs to.
func (s Sync) Ref() OrderRef { return OrderRef{Source: s.Source, IncrementID: s.OrderIncrementID} }

// KeySentBefore reports whether the ERP may have got the key before this call: from an earlier attempt, or an earlier generation. A
// crash during a call leaves no trace in the record, so it is not counted.
func (s Sync) KeySentBefore() bool { return s.Attempts > 0 || (s.Generation > 1 && !s.NewKey) }

// NormalizeTime is t in the form of all records: UTC, in whole milliseconds, which Postgres and JSON both keep exactly.
func NormalizeTime(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// EndedBy says who ended the generation. It is for the sync of a terminal event.
func (s Sync) EndedBy() ClosedBy {
	switch {
	case s.ClosedBy != "":
		return s.ClosedBy
	case s.Status == Success:
		return ClosedByAnswer
	default:
		return ClosedByFailure
	}
}
