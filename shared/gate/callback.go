package gate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Callback is what is remembered of a callback of the ERP: enough to recognise it, not what it said.
type Callback struct {
	Key       string            // the order's
	Body      [sha256.Size]byte // the digest of the raw body
	Reference *string           // the ERP's, when it names one
}

// Hear reads what is known of this callback: whether it came before, and of which generation its reference is. The caller holds the
// gate. heardIn is the newest generation in which the same body came; 0 when it never did.
func Hear(ctx context.Context, tx pgx.Tx, c Callback) (known domain.Heard, heardIn int, err error) {
	err = tx.QueryRow(ctx, `
		SELECT coalesce((SELECT heard_in FROM erp_callback WHERE order_key = $1 AND digest = $2), 0), coalesce(greatest(
			(SELECT max(generation) FROM erp_callback WHERE order_key = $1 AND reference = $3),
			(SELECT generation FROM erp_reference WHERE order_key = $1 AND digest = $3),
			(SELECT v.reference_version >> 28 FROM vendor_erp_sync v JOIN erp_sync_gate g ON g.sync_id = v.sync_id
				WHERE g.order_key = $1 AND v.erp_reference = $4)), 0)`,
		c.Key, c.Body[:], digestOf(c.Reference), c.Reference).Scan(&heardIn, &known.References)
	if err != nil {
		return known, 0, fmt.Errorf("reading what the ERP said before: %w", err)
	}
	known.Before = heardIn > 0
	return known, heardIn, nil
}

// Keep remembers a callback that came in the generation. referenceOf is the generation that its reference belongs to; 0 when that is
// unknown, and then the reference is not kept.
func Keep(ctx context.Context, tx pgx.Tx, c Callback, generation, referenceOf int, now time.Time) error {
	reference := digestOf(c.Reference)
	if referenceOf == 0 {
		reference = nil
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO erp_callback AS t (order_key, digest, reference, generation, heard_in, heard_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (order_key, digest) DO UPDATE SET heard_in = excluded.heard_in`,
		c.Key, c.Body[:], reference, referenceOf, generation, domain.NormalizeTime(now))
	if err != nil {
		return fmt.Errorf("remembering a callback: %w", err)
	}
	return nil
}

// digestOf is what is kept of a reference. The reference itself may be longer than an entry of an index can be.
func digestOf(reference *string) []byte {
	if reference == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(*reference))
	return sum[:]
}
