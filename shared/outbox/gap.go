package outbox

import "strings"

// gap decides when a missing id is dead: its transaction has ended and left no row.
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
// One read of the locks decides every gap up to the sequence's value at that time. So a burst of rollbacks costs one read.
type gap struct {
	settled  int64           // every missing id up to here is dead, for snapshots taken from now on
	at       int64           // the id before the gap that the reader waits for
	upTo     int64           // the ids that the watch decides; when it is not above settled, there is no watch
	watching map[string]bool // virtual transactions that must end, by their names in pg_locks
}

// passable counts the rows before the first gap that is not known to be dead. The rows must come from a snapshot taken
// after the last watch or update.
func (h *gap) passable(after int64, rows []Row) int {
	for i, row := range rows {
		if row.ID != after+1 && row.ID-1 > h.settled {
			return i
		}
		after = row.ID
	}
	return len(rows)
}

// isOpenAt reports whether the reader waits for the gap right after the given id.
func (h *gap) isOpenAt(after int64) bool { return h.upTo > h.settled && h.at == after }

// covers reports whether the current watch decides the given id.
func (h *gap) covers(id int64) bool { return h.upTo > h.settled && id <= h.upTo }

// watch starts a new watch. lastID must be read after the gap was seen, and before the holders of the lock.
func (h *gap) watch(at, lastID int64, holders []string) {
	h.at, h.upTo = at, lastID
	h.watching = make(map[string]bool, len(holders))
	for _, transaction := range holders {
		h.watching[transaction] = true
	}
	h.settle()
}

// update removes the transactions that have ended. A prepared transaction may get another name, -1/xid: older versions
// of Postgres give it at PREPARE TRANSACTION, newer ones at a restart. So when a transaction with another kind of name
// is gone, update also waits for all that are prepared now. Their names do not change any more.
func (h *gap) update(holders []string) {
	isOpen := make(map[string]bool, len(holders))
	for _, transaction := range holders {
		isOpen[transaction] = true
	}
	mayBeRenamed := false
	for transaction := range h.watching {
		if !isOpen[transaction] {
			delete(h.watching, transaction)
			mayBeRenamed = mayBeRenamed || !isFinalName(transaction)
		}
	}
	for _, transaction := range holders {
		if mayBeRenamed && isFinalName(transaction) {
			h.watching[transaction] = true
		}
	}
	h.settle()
}

func (h *gap) settle() {
	if len(h.watching) == 0 {
		h.settled = max(h.settled, h.upTo)
	}
}

func isFinalName(transaction string) bool { return strings.HasPrefix(transaction, "-1/") }
