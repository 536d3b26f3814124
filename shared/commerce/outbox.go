package commerce

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Outbox is the commerce outbox as seen from a shop's transaction. The zero value finds it by the search_path.
// It is safe for concurrent use.
type Outbox struct {
	// Schema is the database schema that holds the connector's tables, when the search_path does not lead to it.
	Schema string
}

// publishArrays takes one array per column, as pgx sends them in binary.
const publishArrays = `INSERT INTO %s (source, traceparent, payload)
SELECT source, nullif(traceparent, ''), payload
FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS e (source, traceparent, payload, position) ORDER BY position`

// Publish puts the events into the outbox, in their order, with one statement of tx; they are published when tx commits.
// An error that is ErrIncomplete names the event, leaves tx as it was, and nothing was published. Any other comes from
// Postgres.
func (o Outbox) Publish(ctx context.Context, tx pgx.Tx, events ...Event) error {
	rows, err := rowsOf(events)
	if err != nil || len(rows) == 0 {
		return err
	}
	sources, traces, payloads := make([]string, len(rows)), make([]string, len(rows)), make([][]byte, len(rows))
	for i, r := range rows {
		sources[i], traces[i], payloads[i] = r.source, r.traceparent, r.payload
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf(publishArrays, o.table()), sources, traces, payloads); err != nil {
		return fmt.Errorf("publishing %d events: %w", len(rows), err)
	}
	return nil
}

// publishTexts takes one text per column, so that every driver can send it: values with commas between, payloads in
// base64. An empty text is an array of no elements, which unnest fills up with null.
const publishTexts = `INSERT INTO %s (source, traceparent, payload)
SELECT coalesce(source, ''), nullif(traceparent, ''), decode(payload, 'base64')
FROM unnest(string_to_array($1, ','), string_to_array($2, ','), string_to_array($3, ','))
    WITH ORDINALITY AS e (source, traceparent, payload, position) ORDER BY position`

// PublishSQL is Publish for a transaction of database/sql, whatever its driver.
func (o Outbox) PublishSQL(ctx context.Context, tx *sql.Tx, events ...Event) error {
	rows, err := rowsOf(events)
	if err != nil || len(rows) == 0 {
		return err
	}
	query, args := o.texts(rows)
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("publishing %d events: %w", len(rows), err)
	}
	return nil
}

func (o Outbox) texts(rows []row) (query string, args []any) {
	sources, traces, payloads := make([]string, len(rows)), make([]string, len(rows)), make([]string, len(rows))
	for i, r := range rows {
		sources[i], traces[i] = r.source, r.traceparent // neither has a comma, see newRow
		payloads[i] = base64.StdEncoding.EncodeToString(r.payload)
	}
	return fmt.Sprintf(publishTexts, o.table()), []any{strings.Join(sources, ","), strings.Join(traces, ","), strings.Join(payloads, ",")}
}

func (o Outbox) table() string {
	if o.Schema == "" {
		return "commerce_outbox"
	}
	return pgx.Identifier{o.Schema, "commerce_outbox"}.Sanitize()
}

func rowsOf(events []Event) ([]row, error) {
	rows := make([]row, len(events))
	for i, e := range events {
		var err error
		if rows[i], err = e.row(); err != nil {
			return nil, err
		}
	}
	return rows, nil
}
