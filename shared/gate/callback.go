package gate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Callback is one word of the ERP about an order, as it is remembered: by what it is recognised, not by what it says.
type Callback struct {
	Key       string            // the order's
	Body      [sha256.Size]byte // the digest of the raw body
	Reference *string           // the ERP's, when it names one
}

// Hear reads what is known of earlier callbacks and of the ERP's own answers. The caller holds the gate. heardIn is the
// newest generation in which this body came; 0: it never did.
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

// Keep remembers a callback that came in the generation, and the one that its reference is known of.
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

// digestOf is how a reference is remembered: it may be as long as the ERP likes, and an index entry may not.
func digestOf(reference *string) []byte {
	if reference == nil {
		return nil
	}
	sum := sha256.Sum256([]byte(*reference))
	return sum[:]
}
