package access

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var publisher = New{Name: "outlet's shop", Resources: []httpapi.Resource{httpapi.ResourcePublish}, Source: "outlet", By: "jane"}

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func setup(t *testing.T) (*Store, *Verifier, *clock, *pgxpool.Pool) {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	c := &clock{time.Date(2024, 1, 15, 10, 30, 20, 0, time.UTC)}
	s := NewStore(pool)
	s.now = c.now
	v := NewVerifier(s, slog.New(slog.DiscardHandler))
	v.now = c.now
	return s, v, c, pool
}

func TestATokenFromItsBeginToItsEnd(t *testing.T) {
	t.Parallel()
	s, v, c, pool := setup(t)
	made, secret, err := s.Create(t.Context(), publisher)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(secret, made.Hint))
	require.Regexp(t, `^erpc_[A-Z2-7]{6}_[A-Za-z0-9_-]{43}[A-Za-z0-9_-]{6}$`, secret)
	id, err := v.Identify(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, httpapi.Identity{Name: "outlet's shop", Resources: publisher.Resources, Source: "outlet"}, id)

	_, _, err = s.Create(t.Context(), publisher)
	require.ErrorIs(t, err, ErrName)

	require.NoError(t, v.note(t.Context()))
	listed, err := s.List(t.Context(), false)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.Equal(t, c.at.Truncate(time.Minute), listed[0].LastUsedAt.UTC(), "to the minute")
	require.NoError(t, v.note(t.Context()), "there is nothing to note")

	_, err = s.Revoke(t.Context(), made.ID, "joe")
	require.NoError(t, err)
	again, err := s.Revoke(t.Context(), made.ID, "jill")
	require.NoError(t, err)
	require.Equal(t, "joe", *again.RevokedBy, "who was first")
	_, err = v.Identify(t.Context(), secret)
	require.NoError(t, err, "within two seconds")
	c.at = c.at.Add(freshFor)
	_, err = v.Identify(t.Context(), secret)
	require.ErrorIs(t, err, httpapi.ErrNoToken)
	listed, err = s.List(t.Context(), false)
	require.NoError(t, err)
	require.Empty(t, listed)
	listed, err = s.List(t.Context(), true)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	_, err = s.Revoke(t.Context(), 99, "joe")
	require.ErrorIs(t, err, ErrUnknown)

	_, another, err := s.Create(t.Context(), publisher)
	require.NoError(t, err, "the name is free again")
	require.NotEqual(t, secret, another)

	var kept string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT string_agg(t::text, ' ') FROM api_token t`).Scan(&kept))
	require.NotContains(t, kept, strings.TrimPrefix(secret, made.Hint), "the table does not have the secret")
}

func TestATokenExpires(t *testing.T) {
	t.Parallel()
	s, v, c, _ := setup(t)
	n := publisher
	n.ExpiresAt = new(c.at.Add(time.Hour))
	_, secret, err := s.Create(t.Context(), n)
	require.NoError(t, err)
	_, err = v.Identify(t.Context(), secret)
	require.NoError(t, err)
	c.at = *n.ExpiresAt
	_, err = v.Identify(t.Context(), secret)
	require.ErrorIs(t, err, httpapi.ErrNoToken)
	listed, err := s.List(t.Context(), false)
	require.NoError(t, err)
	require.Empty(t, listed)
}

// What has not the form of a token is refused without a question to the database.
func TestWhatIsNoToken(t *testing.T) {
	t.Parallel()
	_, v, _, pool := setup(t)
	secret, _ := newSecret()
	_, err := v.Identify(t.Context(), secret)
	require.ErrorIs(t, err, httpapi.ErrNoToken, "nobody made it")
	pool.Close()
	for _, text := range []string{"", "erpc_", "token", secret[1:], secret[:len(secret)-1], strings.Replace(secret, "erpc_", "erpd_", 1), secret + "x"} {
		_, err := v.Identify(t.Context(), text)
		require.ErrorIs(t, err, httpapi.ErrNoToken, text)
	}
	_, err = v.Identify(t.Context(), secret)
	require.Error(t, err)
	require.NotErrorIs(t, err, httpapi.ErrNoToken, "it could not be told")
}

// While the database is away, a token that was good a moment ago is good; later on nobody can tell.
func TestWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	s, v, c, pool := setup(t)
	_, secret, err := s.Create(t.Context(), publisher)
	require.NoError(t, err)
	_, err = v.Identify(t.Context(), secret)
	require.NoError(t, err)
	pool.Close()
	c.at = c.at.Add(staleFor - time.Second)
	_, err = v.Identify(t.Context(), secret)
	require.NoError(t, err)
	require.Error(t, v.note(t.Context()))
	require.Len(t, v.used, 1, "to be noted the next time")
	c.at = c.at.Add(time.Second)
	_, err = v.Identify(t.Context(), secret)
	require.Error(t, err)
	require.NotErrorIs(t, err, httpapi.ErrNoToken)
}

func TestTokensThatCannotBe(t *testing.T) {
	t.Parallel()
	s, _, c, _ := setup(t)
	past := c.at
	for want, n := range map[string]New{
		"/name: is required":                    {Resources: publisher.Resources},
		"/name: contains the control character": {Name: "a\nb", Resources: publisher.Resources},
		"/name: is \"API\", by which the log":   {Name: "API", Resources: publisher.Resources},
		"/resources: is required":               {Name: "a"},
		"/resources/0: is \"publish\"":          {Name: "a", Resources: []httpapi.Resource{"publish"}},
		"/source: source \"Outlet\"":            {Name: "a", Resources: publisher.Resources, Source: "Outlet"},
		"/expires_at: is over already":          {Name: "a", Resources: publisher.Resources, ExpiresAt: &past},
	} {
		wrong := n.Check(c.at)
		require.Len(t, wrong, 1)
		require.Contains(t, wrong[0].Pointer+": "+wrong[0].Detail, want)
		_, _, err := s.Create(t.Context(), n)
		require.Error(t, err)
	}
}

// The worker writes down the rest at its end, and then ends.
func TestUseIsNotedAtTheEnd(t *testing.T) {
	t.Parallel()
	s, v, _, _ := setup(t)
	_, secret, err := s.Create(t.Context(), publisher)
	require.NoError(t, err)
	_, err = v.Identify(t.Context(), secret)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, v.Run(ctx))
	listed, err := s.List(t.Context(), false)
	require.NoError(t, err)
	require.NotNil(t, listed[0].LastUsedAt)
}
