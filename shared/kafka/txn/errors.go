package txn

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The kinds of errors of Commit. Whatever the kind, nothing of the batch is committed, or, with ErrCommitUnknown, nobody
// knows. The client is gone, and the next Commit makes a new one.
var (
	// ErrCommitUnknown means that nobody knows whether the transaction was committed. Open fences the old client, which
	// decides it; what was committed then stands in the group's offsets or in the log.
	ErrCommitUnknown = errors.New("the transaction may or may not have been committed")
	// ErrNotOwner means that the group refused the offsets: this member has left or was removed, its partitions are
	// somebody else's. The work must be dropped.
	ErrNotOwner = errors.New("the consumer group refused the offsets")
	// ErrNoRecords refuses a batch of offsets alone: the client would not end such a transaction.
	ErrNoRecords = errors.New("a transaction needs at least one record; write one to a topic of markers")
)

// RefusedError is about content: the brokers will never take one of these records. When there are several, one of them may
// spoil the others, as records share batches.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string {
	return "refused by the brokers for what it is: " + e.Err.Error()
}

// Unwrap is the broker's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// UnavailableError is about partitions: these take no records at the moment, and others do.
type UnavailableError struct {
	Records []int // of the batch, by their places: those that were not written
	Err     error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%d records were not written in time: %s", len(e.Records), e.Err)
}

// Unwrap is what is known of the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// IsRefusal reports an error about what a record is: no repetition mends it.
func IsRefusal(err error) bool {
	for _, refusal := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
