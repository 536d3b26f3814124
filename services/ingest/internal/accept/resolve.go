package accept

import (
	"crypto/sha256"

	"github.com/jackc/pgx/v5"
)

// Identity is what makes an event the same one when it is sent again: its shop and its id.
func Identity(source, eventID string) [sha256.Size]byte {
	return sha256.Sum256([]byte("id\x00" + source + "\x00" + eventID))
}

// resolve takes the events out of the quarantine that were refused over HTTP under the ids that are accepted now. Where there are none,
// that is a look into an index (not the one of open entries: see storeAndRelease). An entry that an operator is sending is skipped, as in
// release: that transaction takes the gate next.
// One that was discarded stays: it tells who decided what.
func resolve(b *pgx.Batch, events []accepted) {
	identities := make([][]byte, len(events))
	for i, it := range events {
		identity := Identity(it.event.Source, it.event.EventID)
		identities[i] = identity[:]
	}
	b.Queue(resolveAccepted, identities)
}

const resolveAccepted = `DELETE FROM commerce_quarantine WHERE id = ANY(ARRAY(
	SELECT id FROM commerce_quarantine WHERE identity = ANY($1::bytea[]) AND (state = 'open') IS TRUE FOR UPDATE SKIP LOCKED))`
