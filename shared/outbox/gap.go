package outbox

import "strings"

// gap decides when a missing id is dead: its transaction has ended and left no row.
//
// Why it is right. The sequence has CACHE 1 and only moves on, so when row 8 is visible, 7 has been allotted, or is passed
// over for ever: on a new server the first writer lets the sequence jump before its own nextval (see migrations/0006).
// Our writers call nextval only as the column's default: the INSERT locks erp_outbox (RowExclusiveLock) when it is
// planned, before the executor calls nextval, and keeps the lock until its transaction ends. So at any moment after 8 was
// seen, or after the sequence was read at 8 or above, the owner of 7, if there is one, either holds the lock, or has
// ended. Postgres makes a commit visible before it releases its locks. So once every transaction that held the lock at
// such a moment has ended, a snapshot taken later shows 7, or 7 will never come. (Whoever calls nextval apart from the
// INSERT breaks this; a subtransaction that rolls back releases its lock, and its ids are dead by then. And all looks must
// be at one server: another one's locks say nothing of this one's writers. So a Reader keeps to one connection.)
//
// Transaction ids would not do: an id is allotted before its row is given an xid, so a younger xid may own the smaller
// id, and the oldest open xid belongs to anybody, in any database of the server.
//
// One look at the locks settles every hole up to the sequence's value at that time, so a burst of rollbacks costs one.
type gap struct {
	settled  int64           // every missing id up to here is dead, for snapshots taken from now on
	at       int64           // the id before the hole that is waited for
	upTo     int64           // ids that the watch covers; nothing is watched when not above settled
	watching map[string]bool // virtual transactions that must end, as pg_locks names them
}

// passable counts the rows before the first hole that is not known to be dead. Rows must come from a snapshot taken
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

// isOpenAt reports whether the hole right after the given id is being waited for.
func (h *gap) isOpenAt(after int64) bool { return h.upTo > h.settled && h.at == after }

// covers reports whether the watch under way decides about the given id.
func (h *gap) covers(id int64) bool { return h.upTo > h.settled && id <= h.upTo }

// watch starts anew: lastID was read after the hole was seen, and before the holders of the lock.
func (h *gap) watch(at, lastID int64, holders []string) {
	h.at, h.upTo = at, lastID
	h.watching = make(map[string]bool, len(holders))
	for _, transaction := range holders {
		h.watching[transaction] = true
	}
	h.settle()
}

// update strikes off the transactions that have ended. One that was prepared may go on under another name, -1/xid: in
// older Postgres since PREPARE TRANSACTION, in newer ones since a restart. So when a name of the other kind is gone, the
// prepared ones of now are waited for as well; theirs is their last name.
func (h *gap) update(holders []string) {
	lives := make(map[string]bool, len(holders))
	for _, transaction := range holders {
		lives[transaction] = true
	}
	renamed := false
	for transaction := range h.watching {
		if !lives[transaction] {
			delete(h.watching, transaction)
			renamed = renamed || !isLastName(transaction)
		}
	}
	for _, transaction := range holders {
		if renamed && isLastName(transaction) {
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

func isLastName(transaction string) bool { return strings.HasPrefix(transaction, "-1/") }
