package access

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// CreateUser makes a user. It returns ErrUserName when one of that name is there.
func (s *Store) CreateUser(ctx context.Context, n NewUser) (u User, err error) {
	if wrong := n.Check(); len(wrong) > 0 {
		return u, fmt.Errorf("user %q: %w", n.Name, wrong[0])
	}
	hash, err := hashed(ctx, n.Password)
	if err != nil {
		return u, fmt.Errorf("making a user: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `INSERT INTO api_user (name, password, resources, source, created_at, created_by)
		VALUES ($1, $2, $3, nullif($4, ''), $5, $6) RETURNING `+userColumns,
		n.Name, hash, distinct(n.Resources), n.Source, domain.NormalizeTime(s.now()), domain.WhoText.Fit(n.By))
	if err == nil {
		u, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[User])
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.ConstraintName == "api_user_name" {
		return u, ErrUserName
	}
	if err != nil {
		return u, fmt.Errorf("making a user: %w", err)
	}
	return u, nil
}

func distinct(resources []httpapi.Resource) []httpapi.Resource {
	return slices.Compact(slices.Sorted(slices.Values(resources)))
}

// Users lists all users, by their names.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT `+userColumns+` FROM api_user ORDER BY lower(name)`)
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowToStructByPos[User])
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	return users, nil
}

// ChangeUser changes a user, when may allows it for the user as it is. A new password, and being disabled, end the user's sessions, in
// every process within two seconds. It returns ErrNoUser when there is none, and the error of may.
func (s *Store) ChangeUser(ctx context.Context, id int64, c UserChange, may func(User) error) (u User, err error) {
	var hash *string
	if c.Password != nil {
		text, err := hashed(ctx, *c.Password)
		if err != nil {
			return u, fmt.Errorf("changing user %d: %w", id, err)
		}
		hash = &text
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if u, err = lockUser(ctx, tx, id); err != nil {
			return err
		}
		if err := may(u); err != nil {
			return err
		}
		if c.endsSessions() {
			if err := s.endSessions(ctx, tx, id, c.By); err != nil {
				return err
			}
		}
		u, err = s.change(ctx, tx, id, c, hash)
		return err
	})
	if err != nil {
		return u, fmt.Errorf("changing user %d: %w", id, err)
	}
	return u, nil
}

func lockUser(ctx context.Context, tx pgx.Tx, id int64) (u User, err error) {
	rows, err := tx.Query(ctx, `SELECT `+userColumns+` FROM api_user WHERE user_id = $1 FOR UPDATE`, id)
	if err == nil {
		u, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[User])
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNoUser
	}
	return u, err
}

func (s *Store) endSessions(ctx context.Context, tx pgx.Tx, id int64, by string) error {
	_, err := tx.Exec(ctx, `UPDATE api_token SET revoked_at = $2, revoked_by = $3 WHERE user_id = $1 AND revoked_at IS NULL`,
		id, domain.NormalizeTime(s.now()), domain.WhoText.Fit(by))
	return err
}

func (s *Store) change(ctx context.Context, tx pgx.Tx, id int64, c UserChange, hash *string) (u User, err error) {
	rows, err := tx.Query(ctx, `UPDATE api_user SET password = coalesce($2, password), resources = coalesce($3, resources),
			source = CASE WHEN $4::text IS NULL THEN source ELSE nullif($4, '') END,
			disabled_at = CASE WHEN $5 THEN coalesce(disabled_at, $6) WHEN NOT $5 THEN NULL ELSE disabled_at END,
			disabled_by = CASE WHEN $5 THEN coalesce(disabled_by, $7) WHEN NOT $5 THEN NULL ELSE disabled_by END,
			changed_at = $6, changed_by = $7
		WHERE user_id = $1 RETURNING `+userColumns,
		id, hash, distinct(c.Resources), c.Source, c.Disabled, domain.NormalizeTime(s.now()), domain.WhoText.Fit(c.By))
	if err != nil {
		return u, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[User])
}

// DeleteUser deletes a user with all sessions, which every process refuses within two seconds. It returns ErrNoUser when there is none.
func (s *Store) DeleteUser(ctx context.Context, id int64) (u User, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `DELETE FROM api_user WHERE user_id = $1 RETURNING `+userColumns, id)
	if err == nil {
		u, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[User])
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return u, ErrNoUser
	}
	if err != nil {
		return u, fmt.Errorf("deleting user %d: %w", id, err)
	}
	return u, nil
}
