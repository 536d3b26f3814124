package drain

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// batch is one transaction: rows leave the outbox, and become events of ours or go to the quarantine.
type batch struct {
	tx   pgx.Tx
	rows []row

	taken   map[int64]bool
	results []accept.Result
	refused []quarantine.Entry
	large   int64
}

func (b *batch) run(ctx context.Context, accepter *accept.Accepter) error {
	var fit, large []int64
	for _, r := range b.rows {
		if r.bytes > event.MaxEventBytes {
			large = append(large, r.id)
		} else {
			fit = append(fit, r.id)
		}
	}
	b.taken = map[int64]bool{}
	if err := b.setLargeAside(ctx, large); err != nil {
		return err
	}
	entries, err := b.take(ctx, fit)
	if err != nil || len(entries) == 0 {
		return err
	}
	incoming := make([]accept.Incoming, len(entries))
	for i, e := range entries {
		incoming[i] = accept.Incoming{Body: e.Payload, Traceparent: e.Traceparent}
	}
	if b.results, err = accepter.AcceptIn(ctx, b.tx, incoming); err != nil {
		return err
	}
	for i, r := range b.results {
		if !r.Result.Taken() {
			b.refused = append(b.refused, entries[i].With(r))
		}
	}
	return quarantine.Add(ctx, b.tx, b.refused)
}

// Rows that somebody holds locked are skipped.
const takeQuery = `
WITH free AS (SELECT id FROM commerce_outbox WHERE id = ANY($1::bigint[]) FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM commerce_outbox o USING free WHERE o.id = free.id
    RETURNING o.id, o.source, coalesce(o.traceparent, '') AS traceparent, o.payload, o.created_at)
SELECT * FROM gone ORDER BY id`

// take deletes the rows and returns what they held, in the order of their ids.
func (b *batch) take(ctx context.Context, ids []int64) ([]quarantine.Entry, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := b.tx.Query(ctx, takeQuery, ids)
	if err != nil {
		return nil, fmt.Errorf("taking %d rows: %w", len(ids), err)
	}
	var entries []quarantine.Entry
	for rows.Next() {
		var id int64
		var e quarantine.Entry
		if err := rows.Scan(&id, &e.Source, &e.Traceparent, &e.Payload, &e.PublishedAt); err != nil {
			break // rows.Err has it
		}
		b.taken[id] = true
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("taking %d rows: %w", len(ids), err)
	}
	return entries, nil
}

// moveQuery keeps the payload on the server, however large it is.
const moveQuery = `
WITH free AS (SELECT id FROM commerce_outbox WHERE id = ANY($1::bigint[]) FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM commerce_outbox o USING free WHERE o.id = free.id RETURNING o.*),
kept AS (INSERT INTO commerce_quarantine (source, code, problems, traceparent, payload, published_at, quarantined_at)
    SELECT source, $2, $3::text::json, traceparent, payload, created_at, now() FROM gone)
SELECT id FROM gone`

func (b *batch) setLargeAside(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	moved, err := move(ctx, b.tx, ids, quarantine.TooLarge, quarantine.SizeError())
	for _, id := range moved {
		b.taken[id] = true
	}
	b.large = int64(len(moved))
	return err
}

// move takes rows to the quarantine in one statement, and returns those that were there.
func move(ctx context.Context, tx pgx.Tx, ids []int64, code quarantine.Code, why problem.FieldError) ([]int64, error) {
	problems, err := json.Marshal([]problem.FieldError{why})
	if err != nil {
		return nil, fmt.Errorf("writing why rows are set aside: %w", err)
	}
	rows, err := tx.Query(ctx, moveQuery, ids, code, string(problems))
	if err != nil {
		return nil, fmt.Errorf("setting %d rows aside: %w", len(ids), err)
	}
	moved, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("setting %d rows aside: %w", len(ids), err)
	}
	return moved, nil
}

// setAside moves a row that the database refuses to the quarantine, as it is.
func (d *Drainer) setAside(ctx context.Context, r row, why error) error {
	return postgres.InTx(ctx, d.pool, func(tx pgx.Tx) error {
		moved, err := move(ctx, tx, []int64{r.id}, quarantine.Failed, problem.FieldError{Code: problem.CodeInvalid, Detail: why.Error()})
		events.WithLabelValues("quarantined").Add(float64(len(moved)))
		return err
	})
}

// held are the rows that somebody else had locked or deleted.
func (b *batch) held() (ids []int64) {
	for _, r := range b.rows {
		if !b.taken[r.id] {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// count counts and logs what became of the batch, once it has committed.
func (b *batch) count(log *slog.Logger) {
	for _, r := range b.results {
		if r.Result.Taken() {
			events.WithLabelValues(string(r.Result)).Inc()
		}
	}
	quarantined := len(b.refused) + int(b.large)
	if quarantined == 0 {
		return
	}
	events.WithLabelValues("quarantined").Add(float64(quarantined))
	fields := []any{"events", quarantined, "first_code", quarantine.TooLarge}
	if at := slices.IndexFunc(b.results, func(r accept.Result) bool { return !r.Result.Taken() }); at >= 0 {
		first := b.results[at]
		eventID, source, order := first.Claims()
		fields = []any{
			"events", quarantined, "first_code", first.Code(), "first_event_id", eventID, "first_source", source,
			"first_order_increment_id", order, "first_pointer", first.FirstPointer(),
		}
	}
	log.Error("events quarantined: see erpconnector quarantine list", fields...)
}
