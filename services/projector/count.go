package projector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/history"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Lists ask how many syncs stand where, and which errors they have. Counting ten million rows takes seconds, so the projector keeps the
// counts (vendor_erp_sync_count) and the errors (vendor_erp_sync_error) in the transaction that changes the rows. They follow from the
// rows: recount makes them anew where somebody wrote rows without counting, as an earlier release or a rebuild does. It finds that out by
// the sum of the positions that the counts belong to.

// place is where a sync is counted.
type place struct {
	source string
	status domain.Status
	group  int64 // of its error; 0: none
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.status, b.status), cmp.Compare(a.group, b.group))
}

// shownError is the error of a sync as lists show it.
type shownError struct {
	SyncID     int64            `db:"sync_id"`
	GroupID    int64            `db:"group_id"`
	HTTPStatus int              `db:"http_status"`
	Code       domain.ErrorCode `db:"error_code"`
}

// hasError reports whether lists show the row's error. A success may have one of a try before it.
func hasError(r *domain.Row) bool {
	return r != nil && r.LastError != nil && r.Status != domain.Success
}

// count moves the counts from where the syncs were to where they are. Where no sync has an error it is one statement.
func (s *store) count(ctx context.Context, tx pgx.Tx, b batch, before, after map[int64]*domain.Row) error {
	var failing []int64
	for id, row := range after {
		if hasError(row) || hasError(before[id]) {
			failing = append(failing, id)
		}
	}
	groupsBefore, groupsAfter := map[int64]int64{}, map[int64]int64{}
	if len(failing) > 0 {
		known, err := readErrors(ctx, tx, failing)
		if err != nil {
			return err
		}
		groups := map[int64]domain.ErrorGroup{}
		for _, id := range failing {
			groupsBefore[id] = known[id].GroupID
			if hasError(after[id]) {
				g := groupOf(before[id], after[id], b.facts, known[id])
				groups[id], groupsAfter[id] = g, g.ID()
			}
		}
		if err := writeErrors(ctx, tx, after, groups, failing); err != nil {
			return err
		}
	}
	moves := map[place]int64{}
	for id, row := range after {
		if was := before[id]; was != nil {
			moves[place{was.Source, was.Status, groupsBefore[id]}]--
		}
		moves[place{row.Source, row.Status, groupsAfter[id]}]++
	}
	return s.writeCounts(ctx, tx, b, moves)
}

// groupOf is the group of a row's error. Code and status stand in the facts, and not in the row: what this batch does not say was known
// before, if the row was about the same attempt then.
func groupOf(was, row *domain.Row, facts []fact, known shownError) domain.ErrorGroup {
	g := domain.ErrorGroup{Text: domain.GroupText(*row.LastError), Answer: answerOf(row.Version.Version, row.AttemptVersion.Version, row.Response)}
	of := row.Version.Version
	if was != nil && was.Version.Version.SameAttempt(of) {
		g.Code, g.HTTPStatus = known.Code, known.HTTPStatus
	}
	for _, f := range facts {
		if f.Sync.SyncID != row.SyncID || !f.Sync.Version.SameAttempt(of) {
			continue
		}
		if f.Sync.Version == of && f.Time.Equal(row.Version.Time) {
			g.Code = f.Sync.ErrorCode
		}
		if f.httpStatus != nil {
			g.HTTPStatus = *f.httpStatus
		}
	}
	return g
}

// answerOf is what the row's answer says of its error, if it is the answer of the attempt that the error is about. It follows from the row, and
// so from the log alone, in whatever order that was read.
func answerOf(errorVersion, attempt domain.Version, response *string) domain.AnswerError {
	if response == nil || !attempt.SameAttempt(errorVersion) {
		return domain.AnswerError{}
	}
	return domain.AnswerErrorOf(*response)
}

// readErrors reads the errors of syncs as they are counted.
func readErrors(ctx context.Context, tx pgx.Tx, ids []int64) (map[int64]shownError, error) {
	rows, err := tx.Query(ctx, `SELECT e.sync_id, e.group_id, g.http_status, g.error_code FROM vendor_erp_sync_error e
		JOIN vendor_erp_sync_error_group g USING (group_id) WHERE e.sync_id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("reading the errors of %d syncs: %w", len(ids), err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[shownError])
	if err != nil {
		return nil, fmt.Errorf("reading the errors of %d syncs: %w", len(ids), err)
	}
	out := map[int64]shownError{}
	for _, e := range all {
		out[e.SyncID] = e
	}
	return out, nil
}

// writeErrors writes the errors that there are, and deletes those of the other syncs.
func writeErrors(ctx context.Context, tx pgx.Tx, rows map[int64]*domain.Row, groups map[int64]domain.ErrorGroup, of []int64) error {
	var gone, ids, groupIDs, statuses []int64
	var times []time.Time
	var codes, texts, erpCodes, fields []string
	for _, id := range slices.Sorted(slices.Values(of)) {
		g, there := groups[id]
		if !there {
			gone = append(gone, id)
			continue
		}
		ids, groupIDs, times = append(ids, id), append(groupIDs, g.ID()), append(times, rows[id].UpdatedAt)
		statuses, codes, texts = append(statuses, int64(g.HTTPStatus)), append(codes, string(g.Code)), append(texts, g.Text)
		erpCodes, fields = append(erpCodes, g.Answer.Code), append(fields, g.Answer.Field)
	}
	if len(gone) > 0 {
		if _, err := tx.Exec(ctx, `DELETE FROM vendor_erp_sync_error WHERE sync_id = ANY($1)`, gone); err != nil {
			return fmt.Errorf("taking off the errors of %d syncs: %w", len(gone), err)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		WITH said AS (
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[])
				AS e (sync_id, group_id, at, http_status, error_code, text, erp_code, field)
		), groups AS (
			INSERT INTO vendor_erp_sync_error_group AS g (group_id, http_status, error_code, text, erp_code, field, first_seen, last_seen)
			SELECT group_id, min(http_status), min(error_code), min(text), min(erp_code), min(field), min(at), max(at) FROM said GROUP BY group_id ORDER BY group_id
			ON CONFLICT (group_id) DO UPDATE SET first_seen = least(g.first_seen, excluded.first_seen), last_seen = greatest(g.last_seen, excluded.last_seen)
		)
		INSERT INTO vendor_erp_sync_error (sync_id, group_id, updated_at) SELECT sync_id, group_id, at FROM said
		ON CONFLICT (sync_id) DO UPDATE SET group_id = excluded.group_id, updated_at = excluded.updated_at`,
		ids, groupIDs, times, statuses, codes, texts, erpCodes, fields)
	if err != nil {
		return fmt.Errorf("writing the errors of %d syncs: %w", len(ids), err)
	}
	return nil
}

// countQuery writes the history too, so that this takes no statement of its own.
var countQuery = `
WITH moved AS (
	INSERT INTO vendor_erp_sync_count AS c (source, status, group_id, n)
	SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
	ON CONFLICT (source, status, group_id) DO UPDATE SET n = c.n + excluded.n
), history AS (` + history.InsertInto(history.Table, 6) + `
)
UPDATE vendor_erp_sync_counted SET offsets = CASE WHEN offsets < 0 THEN -1 ELSE offsets + $5 END RETURNING offsets`

// writeCounts adds the moves to the counts, and the batch to the history. When these are not of the positions before the batch, they are counted anew later on.
func (s *store) writeCounts(ctx context.Context, tx pgx.Tx, b batch, moves map[place]int64) error {
	maps.DeleteFunc(moves, func(_ place, n int64) bool { return n == 0 })
	var sources, statuses []string
	var groups, numbers []int64
	for _, p := range slices.SortedFunc(maps.Keys(moves), comparePlaces) {
		sources, statuses = append(sources, p.source), append(statuses, string(p.status))
		groups, numbers = append(groups, p.group), append(numbers, moves[p])
	}
	moved := int64(0)
	for tp, next := range b.after {
		moved += next - b.before[tp]
	}
	tally, err := s.tally(b)
	if err != nil {
		return err
	}
	var offsets int64
	err = tx.QueryRow(ctx, countQuery, sources, statuses, groups, numbers, moved, tally).Scan(&offsets)
	if errors.Is(err, pgx.ErrNoRows) { // somebody has emptied the tables
		offsets, err = -1, nil
	}
	if err != nil {
		return fmt.Errorf("counting %d syncs: %w", len(moves), err)
	}
	s.skipped = s.skipped || offsets < 0
	return nil
}

// recount makes counts and errors anew from the rows, unless they are those of the projection's positions, by today's fingerprint.
func (s *store) recount(ctx context.Context) error {
	if fits, err := countsFit(ctx, s.pool); err != nil || fits {
		return err
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// No batch comes between: each begins with the positions.
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '10s'; LOCK TABLE projector_position IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		if err := rebuildErrors(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, recountQuery, domain.Fingerprint)
		return err
	})
	if err != nil {
		return fmt.Errorf("counting syncs anew: %w", err)
	}
	return nil
}

func countsFit(ctx context.Context, q postgres.Querier) (fits bool, err error) {
	err = q.QueryRow(ctx, `SELECT fingerprint = $1 AND offsets = (SELECT coalesce(sum(next_offset), 0) FROM projector_position) FROM vendor_erp_sync_counted`,
		domain.Fingerprint).Scan(&fits)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading which positions the counts belong to: %w", err)
	}
	return fits, nil
}

// recountQuery counts all rows, and takes off those with an error, which it counts by group.
const recountQuery = `
WITH failing AS MATERIALIZED (
	SELECT v.source, v.status, e.group_id, count(*) AS n FROM vendor_erp_sync_error e
	CROSS JOIN LATERAL (SELECT source, status FROM vendor_erp_sync v WHERE v.sync_id = e.sync_id LIMIT 1) v GROUP BY 1, 2, 3
), every AS MATERIALIZED (
	SELECT source, status, count(*) AS n FROM vendor_erp_sync GROUP BY 1, 2
), counted AS (
	INSERT INTO vendor_erp_sync_counted (offsets, fingerprint) SELECT coalesce(sum(next_offset), 0), $1 FROM projector_position
	ON CONFLICT (single) DO UPDATE SET offsets = excluded.offsets, fingerprint = excluded.fingerprint
)
INSERT INTO vendor_erp_sync_count (source, status, group_id, n)
SELECT source, status, group_id, n FROM failing
UNION ALL
SELECT source, status, 0, n - failing FROM (
	SELECT *, coalesce((SELECT sum(n) FROM failing f WHERE f.source = e.source AND f.status = e.status), 0) AS failing FROM every e
) t WHERE n > failing`

// errorsQuery finds the rows whose error lists show. Their code and status stand in the timeline, as long as that is kept, and what the ERP
// answered in the row. There are few, so it looks for them shop by shop in place of reading all rows.
var errorsQuery = `
DECLARE failing NO SCROLL CURSOR FOR
WITH RECURSIVE shops AS (
	SELECT min(source) AS source FROM vendor_erp_sync
	UNION ALL
	SELECT (SELECT min(source) FROM vendor_erp_sync WHERE source > shops.source) FROM shops WHERE source IS NOT NULL
)
SELECT v.sync_id, v.updated_at, v.last_error,
	coalesce((SELECT error_code FROM vendor_erp_sync_event e WHERE e.sync_id = v.sync_id AND e.version = v.version LIMIT 1), ''),
	coalesce((SELECT http_status FROM vendor_erp_sync_event e WHERE e.sync_id = v.sync_id AND e.version >> 3 = v.version >> 3 AND http_status IS NOT NULL LIMIT 1), 0),
	v.version, v.attempt_version, left(v.response, ` + strconv.Itoa(domain.MaxAnswerErrorBytes) + `)
FROM shops CROSS JOIN unnest(ARRAY['pending', 'queued', 'in_progress', 'failed']) AS is_not_success (status)
CROSS JOIN LATERAL (SELECT * FROM vendor_erp_sync v WHERE v.source = shops.source AND v.status = is_not_success.status AND v.last_error IS NOT NULL) v`

const errorsPage = 5000

// rebuildErrors makes vendor_erp_sync_error anew. Groups that no sync has any more keep when they were seen.
func rebuildErrors(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `DELETE FROM vendor_erp_sync_error; DELETE FROM vendor_erp_sync_count; `+errorsQuery); err != nil {
		return err
	}
	for {
		rows, groups := map[int64]*domain.Row{}, map[int64]domain.ErrorGroup{}
		found, err := tx.Query(ctx, fmt.Sprintf(`FETCH %d FROM failing`, errorsPage))
		if err != nil {
			return err
		}
		var id int64
		var at time.Time
		var text string
		var g domain.ErrorGroup
		var version, attempt domain.Version
		var response *string
		_, err = pgx.ForEachRow(found, []any{&id, &at, &text, &g.Code, &g.HTTPStatus, &version, &attempt, &response}, func() error {
			g.Text, g.Answer = domain.GroupText(text), answerOf(version, attempt, response)
			rows[id], groups[id] = &domain.Row{UpdatedAt: at}, g
			return nil
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := writeErrors(ctx, tx, rows, groups, slices.Collect(maps.Keys(rows))); err != nil {
			return err
		}
	}
}
