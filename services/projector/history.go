package projector

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/history"
)

// tally is what the batch adds to the history. Positions move in the same transaction, so each record counts once. When they are lost and
// the log is read again from its start, the history has to be emptied with them: see live.mend.
func (s *store) tally(b batch) (string, error) {
	t, now := make(history.Tally), s.now()
	for _, f := range b.facts {
		t.Add(history.Fact{Topic: f.at.Topic, Sync: f.Sync, Time: f.Time, Took: f.took}, now)
	}
	return t.JSON()
}

// writeHistory adds a shadow's batch to its history. The live one is written with the counts.
func (s *store) writeHistory(ctx context.Context, tx pgx.Tx, b batch) error {
	if s.into.history == "" {
		return nil
	}
	tally, err := s.tally(b)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, history.InsertInto(s.into.history, 1), tally); err != nil {
		return fmt.Errorf("writing the history: %w", err)
	}
	return nil
}

// replaceHistory puts a rebuilt history in the place of the live one, in the transaction that swaps the rows. Nobody else writes one
// meanwhile. What is older than history.Keep is not rebuilt.
func (s *shadow) replaceHistory(ctx context.Context, tx pgx.Tx) error {
	for _, statement := range []string{
		`LOCK TABLE ` + live.history + ` IN SHARE ROW EXCLUSIVE MODE`,
		`DELETE FROM ` + live.history,
		`INSERT INTO ` + live.history + ` SELECT * FROM ` + s.store.into.history,
		`DROP TABLE ` + s.store.into.history,
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("replacing the history: %w", err)
		}
	}
	return nil
}

// requireHistory refuses to go on with what a rebuild of a release without a history has left.
func (s *shadow) requireHistory(ctx context.Context) error {
	var lacks bool
	err := s.store.pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NULL`, s.store.into.rows, s.store.into.history).Scan(&lacks)
	if err == nil && lacks {
		err = fmt.Errorf("table %s of an earlier rebuild has no history beside it: begin anew (--anew)", s.store.into.rows)
	}
	return err
}
