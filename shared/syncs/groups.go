package syncs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Group is errors of one kind: with the same HTTP status, code and field, and the same text but for numbers and names.
type Group struct {
	ID         int64
	HTTPStatus int // 0: there was no answer
	Code       domain.ErrorCode
	Text       string
	ERPCode    string // of the ERP's own, where its answer has one
	Field      string // that the ERP complains of, where its answer says so
	Syncs      int64  // that have this error now
	FirstSeen  time.Time
	LastSeen   time.Time
}

// Groups returns the kinds of errors that syncs have now, the most frequent first: those of the filter's shop, statuses and error. Other
// fields of the filter are not looked at.
func Groups(ctx context.Context, q postgres.Querier, f Filter) ([]Group, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var b builder
	where := counted(&b, f)
	if f.groups() {
		ids, err := groupIDs(ctx, q, f)
		if err != nil {
			return nil, err
		}
		where = append(where, `c.group_id = ANY(`+b.arg(ids)+`::bigint[])`)
	}
	rows, err := q.Query(ctx, `
		SELECT g.group_id, g.http_status, g.error_code, g.text, g.erp_code, g.field, c.n, g.first_seen, g.last_seen FROM (
			SELECT group_id, sum(n)::bigint AS n FROM vendor_erp_sync_count c WHERE group_id <> 0 AND `+strings.Join(where, " AND ")+` GROUP BY group_id
		) c CROSS JOIN LATERAL (SELECT * FROM vendor_erp_sync_error_group g WHERE g.group_id = c.group_id LIMIT 1) g
		WHERE c.n > 0 ORDER BY c.n DESC, g.last_seen DESC, g.group_id LIMIT `+b.arg(f.Limit), b.args...)
	if err != nil {
		return nil, fmt.Errorf("reading the errors of syncs: %w", err)
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Group])
	if err != nil {
		return nil, fmt.Errorf("reading the errors of syncs: %w", err)
	}
	return groups, nil
}

// maxGroups bounds how many kinds of errors one search is about. Normalised texts make few.
const maxGroups = 1000

// groupIDs finds the groups of the errors that the filter asks for, the last seen first.
func groupIDs(ctx context.Context, q postgres.Querier, f Filter) ([]int64, error) {
	var b builder
	where := []string{"true"}
	if f.ErrorGroup != 0 {
		where = append(where, "group_id = "+b.arg(f.ErrorGroup))
	}
	if f.ErrorCode != "" {
		where = append(where, "error_code = "+b.arg(f.ErrorCode))
	}
	if f.HTTPStatus != 0 {
		where = append(where, "http_status = "+b.arg(f.HTTPStatus))
	}
	if f.Error != "" {
		where = append(where, "strpos(lower(text), lower("+b.arg(domain.GroupText(f.Error))+")) > 0")
	}
	rows, err := q.Query(ctx, `SELECT group_id FROM vendor_erp_sync_error_group WHERE `+strings.Join(where, " AND ")+
		` ORDER BY last_seen DESC LIMIT `+b.arg(maxGroups), b.args...)
	if err != nil {
		return nil, fmt.Errorf("finding errors: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("finding errors: %w", err)
	}
	return ids, nil
}

// counted are the conditions of a filter that counts know: shop and statuses.
func counted(b *builder, f Filter) []string {
	where := []string{"true"}
	if f.Source != "" {
		where = append(where, "c.source = "+b.arg(f.Source))
	}
	if len(f.Statuses) > 0 {
		where = append(where, "c.status = ANY("+b.arg(f.Statuses)+"::text[])")
	}
	return where
}

// Total returns how many syncs match, from the counts that the projector keeps. exact is false where these cannot tell: they know shops,
// statuses and errors only, and nothing before the projector has counted.
func Total(ctx context.Context, q postgres.Querier, f Filter) (total int64, exact bool, err error) {
	if !f.onlyCounted() {
		return 0, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var b builder
	where := counted(&b, f)
	if f.groups() {
		ids, err := groupIDs(ctx, q, f)
		if err != nil {
			return 0, false, err
		}
		where = append(where, `c.group_id = ANY(`+b.arg(ids)+`::bigint[])`)
	}
	err = q.QueryRow(ctx, `SELECT coalesce(sum(n), 0)::bigint, coalesce((SELECT offsets >= 0 FROM vendor_erp_sync_counted), false)
		FROM vendor_erp_sync_count c WHERE `+strings.Join(where, " AND "), b.args...).Scan(&total, &exact)
	if err != nil {
		return 0, false, fmt.Errorf("reading the counts of syncs: %w", err)
	}
	return total, exact, nil
}

// Count is how many syncs of a shop have a status.
type Count struct {
	Source string
	Status domain.Status
	Syncs  int64
	Errors int64 // of these have an error that stands
}

// Counts returns how many syncs there are, by shop and status: those of the filter's shop and statuses. They are kept by the projector, so
// that nothing is counted here. ready is false until it has counted for the first time, and after somebody else has written rows.
func Counts(ctx context.Context, q postgres.Querier, f Filter) (counts []Count, ready bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var b builder
	rows, err := q.Query(ctx, `
		SELECT source, status, sum(n)::bigint, coalesce(sum(n) FILTER (WHERE group_id <> 0), 0)::bigint FROM vendor_erp_sync_count c
		WHERE `+strings.Join(counted(&b, f), " AND ")+` GROUP BY source, status HAVING sum(n) > 0 ORDER BY source, status`, b.args...)
	if err == nil {
		counts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Count])
	}
	if err == nil {
		err = q.QueryRow(ctx, `SELECT coalesce((SELECT offsets >= 0 FROM vendor_erp_sync_counted), false)`).Scan(&ready)
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the counts of syncs: %w", err)
	}
	return counts, ready, nil
}

// CleanGroups deletes kinds of errors that were seen last before then and that no sync has any more, at most so many, and returns how many.
// No list shows them. It holds the projector up while it deletes: a batch that finds an old kind again must not lose it.
func CleanGroups(ctx context.Context, pool *pgxpool.Pool, before time.Time, limit int) (deleted int, err error) {
	var unused bool
	err = pool.QueryRow(ctx, `SELECT EXISTS (`+unusedGroups+`)`, before, limit).Scan(&unused)
	if err == nil && unused {
		err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '1s'; LOCK TABLE projector_position IN SHARE ROW EXCLUSIVE MODE`); err != nil {
				return err
			}
			return tx.QueryRow(ctx, `
				WITH unused AS (`+unusedGroups+`), counts AS (DELETE FROM vendor_erp_sync_count c USING unused u WHERE c.group_id = u.group_id),
				deleted AS (DELETE FROM vendor_erp_sync_error_group g USING unused u WHERE g.group_id = u.group_id RETURNING 1)
				SELECT count(*) FROM deleted`, before, limit).Scan(&deleted)
		})
	}
	if err != nil {
		return 0, fmt.Errorf("deleting kinds of errors that no sync has: %w", err)
	}
	return deleted, nil
}

// unusedGroups reads two small tables as a whole, and looks into an index for each old kind.
const unusedGroups = `
SELECT g.group_id FROM vendor_erp_sync_error_group g
WHERE g.last_seen < $1 AND NOT EXISTS (SELECT FROM vendor_erp_sync_error e WHERE e.group_id = g.group_id)
	AND NOT EXISTS (SELECT FROM vendor_erp_sync_count c WHERE c.group_id = g.group_id AND c.n <> 0)
LIMIT $2`
