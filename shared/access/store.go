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
)

// Token is a token as it is listed, without its secret.
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
}

const columns = `token_id, name, hint, resources, source, created_at, created_by, expires_at, revoked_at, revoked_by, last_used_at`

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

// taken are names of others who do things: the token of the environment, and the ERP's callbacks.
var taken = []string{"api", "webhook"}

// Check finds what cannot be taken. The errors name the members of a body.
func (n New) Check(now time.Time) (wrong []problem.FieldError) {
	add := func(pointer, code, detail string) {
		wrong = append(wrong, problem.FieldError{Pointer: pointer, Code: code, Detail: detail})
	}
	if strings.TrimSpace(n.Name) == "" {
		add("/name", problem.CodeRequired, "is required: who or what uses the token, like \"outlet's shop\"; the log names it")
	} else if err := domain.WhoText.Check(n.Name); err != nil {
		add("/name", problem.TextCode(err), err.Error())
	} else if slices.Contains(taken, strings.ToLower(strings.TrimSpace(n.Name))) {
		add("/name", problem.CodeInvalid, fmt.Sprintf("is %q, by which the log and histories mean another; choose another one", n.Name))
	}
	if len(n.Resources) == 0 {
		add("/resources", problem.CodeRequired, "is required: what the token may do, of "+listed(httpapi.Resources))
	}
	for i, r := range n.Resources {
		if !slices.Contains(httpapi.Resources, r) {
			add(fmt.Sprintf("/resources/%d", i), problem.CodeUnknown, fmt.Sprintf("is %.100q; there are %s", r, listed(httpapi.Resources)))
		}
	}
	if n.Source != "" {
		if err := domain.ValidateKnownSource(n.Source); err != nil {
			add("/source", problem.CodeInvalid, err.Error())
		}
	}
	if n.ExpiresAt != nil && !n.ExpiresAt.After(now) {
		add("/expires_at", problem.CodeRange, "is over already; leave it out for a token that does not expire")
	}
	return wrong
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

// Create makes a token and returns it with its secret, which cannot be read again. It returns ErrName when one of that name is in force.
func (s *Store) Create(ctx context.Context, n New) (t Token, secret string, err error) {
	if wrong := n.Check(s.now()); len(wrong) > 0 {
		return t, "", fmt.Errorf("token %q: %w", n.Name, wrong[0])
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	secret, hint := newSecret()
	hash := hashOf(secret)
	resources := slices.Compact(slices.Sorted(slices.Values(n.Resources)))
	rows, err := s.pool.Query(ctx, `INSERT INTO api_token (name, hash, hint, resources, source, created_at, created_by, expires_at)
		VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8) RETURNING `+columns,
		n.Name, hash[:], hint, resources, n.Source, domain.NormalizeTime(s.now()), domain.WhoText.Fit(n.By), n.ExpiresAt)
	if err == nil {
		t, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Token])
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.ConstraintName == "api_token_name" {
		return t, "", ErrName
	}
	if err != nil {
		return t, "", fmt.Errorf("making a token: %w", err)
	}
	return t, secret, nil
}

// List reads all tokens, the newest first. all: those that are revoked or expired too.
func (s *Store) List(ctx context.Context, all bool) ([]Token, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `SELECT `+columns+` FROM api_token WHERE $1 OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)) ORDER BY token_id DESC`,
		all, s.now())
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
	rows, err := s.pool.Query(ctx, `UPDATE api_token SET revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, $3) WHERE token_id = $1 RETURNING `+columns,
		id, domain.NormalizeTime(s.now()), domain.WhoText.Fit(by))
	if err == nil {
		t, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Token])
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return t, ErrUnknown
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
	rows, err := s.pool.Query(ctx, `SELECT `+columns+` FROM api_token WHERE hash = $1`, hash[:])
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
