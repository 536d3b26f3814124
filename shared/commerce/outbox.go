package commerce

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Outbox is the commerce outbox as a shop's transaction sees it. The zero value finds it by the search_path. It is safe for
// concurrent use.
type Outbox struct {
	// Schema is the database schema that holds the connector's tables; empty means that the search_path leads to it.
	Schema string
}

// Publish puts the events into the outbox, in their order, with one statement of tx. They are published when tx commits. An
// ErrIncomplete names the event: nothing was published, and tx is unchanged. Any other error comes from Postgres.
func (o Outbox) Publish(ctx context.Context, tx pgx.Tx, events ...Event) error {
	return o.publish(events, func(query string, args ...any) error {
		_, err := tx.Exec(ctx, query, args...)
		return err
	})
}

// PublishSQL does what Publish does, for a transaction of database/sql with any driver.
func (o Outbox) PublishSQL(ctx context.Context, tx *sql.Tx, events ...Event) error {
	return o.publish(events, func(query string, args ...any) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

func (o Outbox) publish(events []Event, exec func(query string, args ...any) error) error {
	query, args, err := o.insert(events)
	if err != nil || len(events) == 0 {
		return err
	}
	if err := exec(query, args...); err != nil {
		return fmt.Errorf("publishing %d events: %w", len(events), err)
	}
	return nil
}

// publishQuery takes one text per column, as not every driver can send arrays: the values are separated by commas, the
// payloads are in base64. Of an empty text string_to_array makes an array without elements; unnest pads it with NULL.
const publishQuery = `INSERT INTO %s (source, traceparent, payload)
SELECT coalesce(source, ''), nullif(traceparent, ''), decode(payload, 'base64')
FROM unnest(string_to_array($1, ','), string_to_array($2, ','), string_to_array($3, ','))
    WITH ORDINALITY AS e (source, traceparent, payload, position) ORDER BY position`

// maxStatementBytes keeps a statement far below the 1 GB at which Postgres ends the connection.
const maxStatementBytes = 256 << 20

// insert builds the statement for the events and its arguments. It checks all events before anything is sent.
func (o Outbox) insert(events []Event) (query string, args []any, err error) {
	sources, traces, payloads := make([]string, len(events)), make([]string, len(events)), make([]string, len(events))
	total := 0
	for i, e := range events {
		r, err := e.row()
		if err != nil {
			return "", nil, err
		}
		if total += len(r.payload); total > maxStatementBytes {
			return "", nil, fmt.Errorf("%w: these %d events have more than %d bytes together; publish fewer at once", ErrIncomplete, len(events), maxStatementBytes)
		}
		sources[i], traces[i] = r.source, r.traceparent // neither has a comma, see newRow
		payloads[i] = base64.StdEncoding.EncodeToString(r.payload)
	}
	return fmt.Sprintf(publishQuery, o.table()), []any{strings.Join(sources, ","), strings.Join(traces, ","), strings.Join(payloads, ",")}, nil
}

func (o Outbox) table() string {
	if o.Schema == "" {
		return "commerce_outbox"
	}
	return pgx.Identifier{o.Schema, "commerce_outbox"}.Sanitize()
}
