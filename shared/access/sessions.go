package access

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// maxForgotten bounds the sessions that have ended and are deleted by one that begins.
const maxForgotten = 100

// maxSubjectBytes is what OpenID Connect allows a subject to have.
const maxSubjectBytes = 255

// BeginProviderSession makes the token of a session of somebody who has signed in at the identity provider, who knows the person by that
// subject. It may do what the identity may, until the identity ends, and may be revoked before. As with users, a person has maxSessions.
func (s *Store) BeginProviderSession(ctx context.Context, subject string, who httpapi.Identity) (t Token, secret string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	secret, hint := newSecret()
	sum, now := hashOf(secret), domain.NormalizeTime(s.now())
	subject = domain.Truncate(domain.KeepableText(subject), maxSubjectBytes)
	resources := who.Resources
	if who.All {
		resources = httpapi.Resources
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM api_token WHERE subject = $1 AND (revoked_at IS NOT NULL OR expires_at <= $2 OR token_id <=
			(SELECT token_id FROM api_token WHERE subject = $1 ORDER BY token_id DESC OFFSET $3 LIMIT 1))`, subject, now, maxSessions-1); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM api_token WHERE token_id IN
			(SELECT token_id FROM api_token WHERE subject IS NOT NULL AND expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			now, maxForgotten); err != nil {
			return err
		}
		var id int64
		if err := tx.QueryRow(ctx, `INSERT INTO api_token (name, hash, hint, resources, source, created_at, created_by, expires_at, subject)
			VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $1, $7, $8) RETURNING token_id`,
			who.Name, sum[:], hint, distinct(resources), who.Source, now, who.ExpiresAt, subject).Scan(&id); err != nil {
			return err
		}
		t, err = get(ctx, tx, id)
		return err
	})
	if err != nil {
		return t, "", fmt.Errorf("beginning a session: %w", err)
	}
	return t, secret, nil
}

// EndSession takes the token of a session out of force, in every process within two seconds. Any other token stays as it is: programs may
// use it too.
func (s *Store) EndSession(ctx context.Context, secret string) error {
	if !isSecret(secret) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	hash := hashOf(secret)
	_, err := s.pool.Exec(ctx, `UPDATE api_token SET revoked_at = $2, revoked_by = name
		WHERE hash = $1 AND revoked_at IS NULL AND (user_id IS NOT NULL OR subject IS NOT NULL)`, hash[:], domain.NormalizeTime(s.now()))
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// AnyUser reports whether somebody may log in with a password.
func (s *Store) AnyUser(ctx context.Context) (is bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM api_user WHERE disabled_at IS NULL)`).Scan(&is); err != nil {
		return false, fmt.Errorf("looking for users: %w", err)
	}
	return is, nil
}
