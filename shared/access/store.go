package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

const queryTimeout = 10 * time.Second

// Errors of tokens.
var (
	ErrUnknown = errors.New("there is no such token")
	ErrName    = errors.New("a token of that name is in force; revoke it first, or choose another name")
	ErrNoFirst = errors.New("there are tokens or users already")
)

// Token is a token as it is listed, without its secret. That of a session has the name, the resources and the source of its user, and
// counts as revoked while the user is disabled.
type Token struct {
	ID         int64
	Name       string
	Hint       string // its first characters
	Resources  []httpapi.Resource
	Source     *string // the one shop that it is for; nil: all
	CreatedAt  time.Time
	CreatedBy  string
	ExpiresAt  *time.Time // nil: never
	RevokedAt  *time.Time
	RevokedBy  *string
	LastUsedAt *time.Time // to the minute; nil: never
	UserID     *int64     // whose session it is; nil: it is no session
}

const selectTokens = `SELECT t.token_id, coalesce(u.name, t.name), t.hint, coalesce(u.resources, t.resources), CASE WHEN u.user_id IS NULL THEN t.source ELSE u.source END,
	t.created_at, t.created_by, t.expires_at, coalesce(t.revoked_at, u.disabled_at), coalesce(t.revoked_by, u.disabled_by), t.last_used_at, t.user_id
	FROM api_token t LEFT JOIN api_user u USING (user_id) `

// InForce reports whether the token may be used at that time.
func (t Token) InForce(now time.Time) bool {
	return t.RevokedAt == nil && (t.ExpiresAt == nil || now.Before(*t.ExpiresAt))
}

// New says what a token shall be.
type New struct {
	Name      string
	Resources []httpapi.Resource
	Source    string     // empty: all shops
	ExpiresAt *time.Time // nil: never
	By        string     // who makes it
}

// Check finds what cannot be taken. The errors name the members of a body.
func (n New) Check(now time.Time) (wrong []problem.FieldError) {
	add := func(pointer, code, detail string) {
		wrong = append(wrong, problem.FieldError{Pointer: pointer, Code: code, Detail: detail})
	}
	if strings.TrimSpace(n.Name) == "" {
		add("/name", problem.CodeRequired, "is required: who or what uses the token, like \"outlet's shop\"; the log names it")
	} else if err := domain.WhoText.Check(n.Name); err != nil {
		add("/name", problem.TextCode(err), err.Error())
	} else if httpapi.IsReservedName(n.Name) {
		add("/name", problem.CodeInvalid, fmt.Sprintf("is %q, by which the log and histories mean another; choose another one", n.Name))
	}
	wrong = append(wrong, checkResources(n.Resources, "the token")...)
	wrong = append(wrong, checkSource(n.Source)...)
	if n.ExpiresAt != nil && !n.ExpiresAt.After(now) {
		add("/expires_at", problem.CodeRange, "is over already; leave it out for a token that does not expire")
	}
	return wrong
}

// checkResources finds what is wrong with the resources of a token or a user.
func checkResources(resources []httpapi.Resource, of string) (wrong []problem.FieldError) {
	if len(resources) == 0 {
		wrong = append(wrong, problem.FieldError{
			Pointer: "/resources", Code: problem.CodeRequired, Detail: "is required: what " + of + " may do, of " + listed(httpapi.Resources),
		})
	}
	for i, r := range resources {
		if !slices.Contains(httpapi.Resources, r) {
			wrong = append(wrong, problem.FieldError{
				Pointer: fmt.Sprintf("/resources/%d", i), Code: problem.CodeUnknown, Detail: fmt.Sprintf("is %.100q; there are %s", r, listed(httpapi.Resources)),
			})
		}
	}
	return wrong
}

// checkSource finds what is wrong with the one shop of a token or a user; empty: all.
func checkSource(source string) []problem.FieldError {
	if source == "" {
		return nil
	}
	if err := domain.ValidateKnownSource(source); err != nil {
		return []problem.FieldError{{Pointer: "/source", Code: problem.CodeInvalid, Detail: err.Error()}}
	}
	return nil
}

func listed(resources []httpapi.Resource) string {
	names := make([]string, len(resources))
	for i, r := range resources {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// Store keeps tokens in Postgres.
type Store struct {
	pool *pgxpool.Pool
	now  func() time.Time
}

// NewStore makes a Store.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool, now: time.Now} }

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Create makes a token and returns it with its secret, which cannot be read again. It returns ErrName when one of that name is in force.
func (s *Store) Create(ctx context.Context, n New) (t Token, secret string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return s.create(ctx, s.pool, n)
}

// CreateFirst makes a token as Create does, if nobody has ever made a token or a user. It returns ErrNoFirst otherwise.
func (s *Store) CreateFirst(ctx context.Context, n New) (t Token, secret string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE api_token, api_user IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		there, err := anybody(ctx, tx)
		if err != nil {
			return err
		}
		if there {
			return ErrNoFirst
		}
		t, secret, err = s.create(ctx, tx, n)
		return err
	})
	return t, secret, err
}

// Anybody reports whether there is a token or a user, in force or not.
func (s *Store) Anybody(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return anybody(ctx, s.pool)
}

func anybody(ctx context.Context, q querier) (is bool, err error) {
	if err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM api_token WHERE subject IS NULL) OR EXISTS (SELECT FROM api_user)`).Scan(&is); err != nil {
		return false, fmt.Errorf("looking for tokens and users: %w", err)
	}
	return is, nil
}

func (s *Store) create(ctx context.Context, q querier, n New) (t Token, secret string, err error) {
	if wrong := n.Check(s.now()); len(wrong) > 0 {
		return t, "", fmt.Errorf("token %q: %w", n.Name, wrong[0])
	}
	secret, hint := newSecret()
	hash := hashOf(secret)
	var id int64
	err = q.QueryRow(ctx, `INSERT INTO api_token (name, hash, hint, resources, source, created_at, created_by, expires_at)
		VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8) RETURNING token_id`,
		n.Name, hash[:], hint, distinct(n.Resources), n.Source, domain.NormalizeTime(s.now()), domain.WhoText.Fit(n.By), n.ExpiresAt).Scan(&id)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.ConstraintName == "api_token_name" {
		return t, "", ErrName
	}
	if err == nil {
		t, err = get(ctx, q, id)
	}
	if err != nil {
		return t, "", fmt.Errorf("making a token: %w", err)
	}
	return t, secret, nil
}

// List reads the tokens that are no sessions, the newest first. all: those that are revoked or expired too.
func (s *Store) List(ctx context.Context, all bool) ([]Token, error) {
	return s.list(ctx, `t.user_id IS NULL AND t.subject IS NULL`, all)
}

// Sessions reads the tokens of a user's sessions, the newest first. all: those that have ended, too, until the user logs in again.
func (s *Store) Sessions(ctx context.Context, user int64, all bool) ([]Token, error) {
	return s.list(ctx, `t.user_id = $3`, all, user)
}

func (s *Store) list(ctx context.Context, which string, all bool, more ...any) ([]Token, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, selectTokens+`WHERE `+which+` AND ($1 OR (t.revoked_at IS NULL AND u.disabled_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)))
		ORDER BY t.token_id DESC`, append([]any{all, s.now()}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	tokens, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Token])
	if err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	return tokens, nil
}

// Revoke takes a token out of force, in every process within two seconds. One that is revoked already stays as it is. It returns ErrUnknown
// when there is none.
func (s *Store) Revoke(ctx context.Context, id int64, by string) (t Token, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	_, err = s.pool.Exec(ctx, `UPDATE api_token SET revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, $3) WHERE token_id = $1`,
		id, domain.NormalizeTime(s.now()), domain.WhoText.Fit(by))
	if err == nil {
		t, err = get(ctx, s.pool, id)
	}
	if errors.Is(err, ErrUnknown) {
		return t, err
	}
	if err != nil {
		return t, fmt.Errorf("revoking token %d: %w", id, err)
	}
	return t, nil
}

// find reads the token of a secret; ErrUnknown: there is none.
func (s *Store) find(ctx context.Context, secret string) (t Token, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	hash := hashOf(secret)
	return one(ctx, s.pool, `WHERE t.hash = $1`, hash[:])
}

func get(ctx context.Context, q querier, id int64) (Token, error) {
	return one(ctx, q, `WHERE t.token_id = $1`, id)
}

// one reads a token; ErrUnknown: there is none.
func one(ctx context.Context, q querier, where string, args ...any) (t Token, err error) {
	rows, err := q.Query(ctx, selectTokens+where, args...)
	if err == nil {
		t, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Token])
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return t, ErrUnknown
	}
	if err != nil {
		return t, fmt.Errorf("looking for a token: %w", err)
	}
	return t, nil
}

// noteUse writes down when tokens were used last.
func (s *Store) noteUse(ctx context.Context, last map[int64]time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var ids []int64
	var times []time.Time
	for id, at := range last {
		ids, times = append(ids, id), append(times, at)
	}
	_, err := s.pool.Exec(ctx, `UPDATE api_token t SET last_used_at = greatest(t.last_used_at, u.at) FROM unnest($1::bigint[], $2::timestamptz[]) AS u (id, at)
		WHERE t.token_id = u.id`, ids, times)
	if err != nil {
		return fmt.Errorf("noting when tokens were used: %w", err)
	}
	return nil
}
