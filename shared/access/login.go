package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// maxSessions are those of one user. With one more, the one that began first ends.
const maxSessions = 100

// ErrCredentials says that no user has this name and this password, or that the user is disabled: who guesses is not told which.
var ErrCredentials = errors.New("no user who may log in has this name and this password")

// LimitedError says that too many logins failed; After is when the next one is looked at.
type LimitedError struct{ After time.Duration }

// Error says so.
func (e *LimitedError) Error() string {
	return fmt.Sprintf("too many logins failed; the next is looked at in %s", e.After)
}

// Logins lets users in. It is safe for concurrent use.
type Logins struct {
	store   *Store
	guesses *guesses
}

// NewLogins makes Logins.
func NewLogins(store *Store) *Logins { return &Logins{store: store, guesses: newGuesses()} }

// Login begins a session of a user and returns its token, which is good for so long. The address is the client's. It returns ErrCredentials,
// a LimitedError, or ErrBusy, and other errors when it could not be told who that is.
func (l *Logins) Login(ctx context.Context, name, password, address string, lifetime time.Duration) (t Token, secret string, err error) {
	who := guess{name: domain.Truncate(name, domain.WhoText.MaxBytes), address: network(address)}
	if after := l.guesses.take(who, l.store.now()); after > 0 {
		return t, "", &LimitedError{after}
	}
	t, secret, err = l.login(ctx, name, password, lifetime)
	switch {
	case err == nil:
		l.guesses.succeeded(who, l.store.now())
	case !errors.Is(err, ErrCredentials):
		l.guesses.giveBack(who) // nobody has learned anything
	}
	return t, secret, err
}

func (l *Logins) login(ctx context.Context, name, password string, lifetime time.Duration) (t Token, secret string, err error) {
	id, hash, err := l.store.credentials(ctx, name)
	if err != nil {
		return t, "", err
	}
	ok, err := matches(ctx, hash, password)
	if err != nil {
		return t, "", err
	}
	if !ok || id == 0 {
		return t, "", ErrCredentials
	}
	return l.store.beginSession(ctx, id, hash, lifetime)
}

// credentials are a user's id and hash; 0 and a hash that no password has when there is no such user.
func (s *Store) credentials(ctx context.Context, name string) (id int64, hash string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = s.pool.QueryRow(ctx, `SELECT user_id, password FROM api_user WHERE lower(name) = lower($1)`, domain.KeepableText(name)).Scan(&id, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nobodysHash, nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("looking for a user: %w", err)
	}
	return id, hash, nil
}

// beginSession makes the token of a session, and forgets the user's sessions that have ended. The user is locked, so that who is disabled
// or gets another password meanwhile does not come in.
func (s *Store) beginSession(ctx context.Context, user int64, hash string, lifetime time.Duration) (t Token, secret string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	secret, hint := newSecret()
	sum := hashOf(secret)
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var name string
		err := tx.QueryRow(ctx, `SELECT name FROM api_user WHERE user_id = $1 AND password = $2 AND disabled_at IS NULL FOR UPDATE`, user, hash).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrCredentials
		}
		if err != nil {
			return err
		}
		now := domain.NormalizeTime(s.now())
		if _, err := tx.Exec(ctx, `DELETE FROM api_token WHERE user_id = $1 AND (revoked_at IS NOT NULL OR expires_at <= $2 OR token_id <=
			(SELECT token_id FROM api_token WHERE user_id = $1 ORDER BY token_id DESC OFFSET $3 LIMIT 1))`, user, now, maxSessions-1); err != nil {
			return err
		}
		var id int64
		if err := tx.QueryRow(ctx, `INSERT INTO api_token (name, hash, hint, resources, created_at, created_by, expires_at, user_id)
			VALUES ($1, $2, $3, '{}', $4, $1, $5, $6) RETURNING token_id`, name, sum[:], hint, now, now.Add(lifetime), user).Scan(&id); err != nil {
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
