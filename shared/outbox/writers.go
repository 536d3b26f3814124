package outbox

import (
	"math"
	"slices"
	"strings"
)

// writers decides when a missing id is dead: its transaction has ended and left no row.
//
// The proof, by the example that row 8 is visible and row 7 is not.
//
//   - The sequence has CACHE 1 and only grows. So when row 8 is visible, 7 has been allotted, or is skipped for ever: on a new server
//     the first writer lets the sequence jump before its own nextval (see migrations/0006).
//   - Our writers call nextval only as the column's default. The INSERT locks erp_outbox (RowExclusiveLock) when it is planned. That is
//     before the executor calls nextval. It keeps the lock until its transaction ends.
//   - So at any moment after 8 was seen, or after the sequence was read at 8 or above, the owner of 7 holds the lock or has ended, if
//     there is an owner.
//   - Postgres makes a commit visible before it releases the locks. So once every transaction that held the lock at such a moment has
//     ended, a later snapshot shows 7, or 7 will never come.
//
// Three conditions belong to it. Nobody may call nextval apart from the INSERT. A subtransaction that rolls back
// releases its lock, but its ids are dead by then. All reads must go to one server, as another server's locks say
// nothing about this one's writers. So a Reader keeps to one connection.
//
// Transaction ids would not do. An id is allotted before its transaction gets an xid, so a younger xid may own the
// smaller id. And the oldest open xid may belong to any transaction in any database of the server.
//
// Each look at the locks (see saw) decides all gaps at once. A transaction that was not among the holders in an earlier
// look owns no id up to the sequence's value at that time. So an old transaction keeps open what was allotted since it
// began to write, and nothing before that.
type writers struct {
	settled int64            // every missing id up to here is dead, for snapshots taken from now on
	seen    int64            // the sequence's value in the newest look
	above   map[string]int64 // of each holder, by its name in pg_locks: it owns no id up to this one
}

// saw takes the result of a look: the sequence's value, and the holders of the lock, which were listed after the value was read.
//
// A prepared transaction may get another name, -1/xid: older versions of Postgres give it at PREPARE TRANSACTION, newer
// ones at a restart. So when a transaction with another kind of name is gone, every prepared one may be that
// transaction. Their names do not change any more.
func (w *writers) saw(lastID int64, holders []string) {
	renamed := int64(math.MaxInt64) // the least that a transaction may own which now has another name
	for name, above := range w.above {
		if !slices.Contains(holders, name) && !isFinalName(name) {
			renamed = min(renamed, above)
		}
	}
	above, settled := make(map[string]int64, len(holders)), lastID
	for _, name := range holders {
		from, known := w.above[name]
		if !known {
			from = w.seen
		}
		if isFinalName(name) {
			from = min(from, renamed)
		}
		above[name], settled = from, min(settled, from)
	}
	w.above, w.seen, w.settled = above, lastID, max(w.settled, settled)
}

func isFinalName(transaction string) bool { return strings.HasPrefix(transaction, "-1/") }
