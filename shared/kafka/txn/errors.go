package txn

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The errors of Commit. After ErrCommitUnknown the batch may be committed; after any other error nothing of it is. The
// client is closed, and the next Commit makes a new one.
var (
	// ErrCommitUnknown means that nobody knows whether the transaction was committed. Open decides it, by fencing the
	// old client. Then the group's offsets, or the log, show whether it was committed.
	ErrCommitUnknown = errors.New("the transaction may or may not have been committed")
	// ErrNotOwner means that the group refused the offsets. This member has left or was removed, and its partitions
	// have another owner. The work must be dropped.
	ErrNotOwner = errors.New("the consumer group refused the offsets")
	// ErrNoRecords refuses a batch that has only offsets: the client would not end such a transaction.
	ErrNoRecords = errors.New("a transaction needs at least one record; write one to a marker topic")
)

// RefusedError means that the brokers will never take one of the records, for its content. With several records it does
// not say which: records share batches, and one refuses the whole batch.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string {
	return "refused by the brokers for its content: " + e.Err.Error()
}

// Unwrap returns the broker's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// UnavailableError means that the partitions of some records take none at the moment, while others do.
type UnavailableError struct {
	Records []int // indexes in Batch.Records of those that were not written
	Err     error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%d records were not written in time: %s", len(e.Records), e.Err)
}

// Unwrap returns the cause, as far as it is known.
func (e *UnavailableError) Unwrap() error { return e.Err }

// IsRefusal reports whether an error is about a record's content, so that no retry helps.
func IsRefusal(err error) bool {
	for _, refusal := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
