package access

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const (
	password = "correct horse battery"
	office   = "192.0.2.7"
	lifetime = 4 * time.Hour
)

var jane = NewUser{Name: "Jane", Password: password, Resources: []httpapi.Resource{httpapi.ResourceViewStatus}, Source: "outlet", By: "root"}

func anyone(User) error { return nil }

// door is what lets users in.
type door struct {
	*Logins

	store    *Store
	verifier *Verifier
	clock    *clock
	pool     *pgxpool.Pool
	user     User
}

func newDoor(t *testing.T) *door {
	t.Helper()
	s, v, c, pool := setup(t)
	u, err := s.CreateUser(t.Context(), jane)
	require.NoError(t, err)
	return &door{Logins: NewLogins(s), store: s, verifier: v, clock: c, pool: pool, user: u}
}

func (d *door) login(t *testing.T) string {
	t.Helper()
	_, secret, err := d.Login(t.Context(), "jane", password, office, lifetime)
	require.NoError(t, err)
	return secret
}

// is reports as whom a session's token counts once two seconds are over.
func (d *door) is(t *testing.T, secret string) (httpapi.Identity, error) {
	t.Helper()
	d.clock.at = d.clock.at.Add(freshFor)
	return d.verifier.Identify(t.Context(), secret)
}

func TestAUserLogsIn(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	session, secret, err := d.Login(t.Context(), "JANE", password, office, lifetime)
	require.NoError(t, err)
	require.Equal(t, "Jane", session.Name)
	require.Equal(t, d.clock.at.Add(lifetime), session.ExpiresAt.UTC())
	id, err := d.is(t, secret)
	require.NoError(t, err)
	require.Equal(t, httpapi.Identity{Name: "Jane", Resources: jane.Resources, Source: "outlet", ExpiresAt: session.ExpiresAt}, id)

	_, err = d.store.CreateUser(t.Context(), NewUser{Name: "jANE", Password: password, Resources: jane.Resources})
	require.ErrorIs(t, err, ErrUserName)
	tokens, err := d.store.List(t.Context(), true)
	require.NoError(t, err)
	require.Empty(t, tokens, "a session is none of the named tokens")
	_, _, err = d.store.Create(t.Context(), New{Name: "Jane", Resources: jane.Resources})
	require.NoError(t, err, "nor does it take a name")
	sessions, err := d.store.Sessions(t.Context(), d.user.ID, false)
	require.NoError(t, err)
	require.Len(t, sessions, 1)

	d.clock.at = session.ExpiresAt.UTC()
	_, err = d.verifier.Identify(t.Context(), secret)
	require.ErrorIs(t, err, httpapi.ErrNoToken, "it has expired")

	var kept string
	require.NoError(t, d.pool.QueryRow(t.Context(), `SELECT string_agg(u::text, ' ') FROM api_user u`).Scan(&kept))
	require.NotContains(t, kept, password)
	require.Contains(t, kept, "$argon2id$v=19$m=19456,t=2,p=1$")
}

// Each of these ends a session within two seconds.
func TestWhatEndsASession(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, d *door) error{
		"revoked": func(t *testing.T, d *door) error {
			sessions, err := d.store.Sessions(t.Context(), d.user.ID, false)
			require.NoError(t, err)
			revoked, err := d.store.Revoke(t.Context(), sessions[0].ID, "root")
			require.Equal(t, "Jane", revoked.Name)
			return err
		},
		"disabled": func(t *testing.T, d *door) error {
			u, err := d.store.ChangeUser(t.Context(), d.user.ID, UserChange{Disabled: new(true), By: "root"}, anyone)
			require.Equal(t, "root", *u.DisabledBy)
			return err
		},
		"disabled_while_a_login_was_under_way": func(t *testing.T, d *door) error {
			_, err := d.pool.Exec(t.Context(), `UPDATE api_user SET disabled_at = now(), disabled_by = 'root'`)
			return err
		},
		"another_password": func(t *testing.T, d *door) error {
			_, err := d.store.ChangeUser(t.Context(), d.user.ID, UserChange{Password: new("another long password"), By: "root"}, anyone)
			return err
		},
		"deleted": func(t *testing.T, d *door) error {
			_, err := d.store.DeleteUser(t.Context(), d.user.ID)
			return err
		},
		"ninety_nine_more_and_one": func(t *testing.T, d *door) error {
			_, hash, err := d.store.credentials(t.Context(), "jane")
			for range maxSessions {
				if err == nil {
					_, _, err = d.store.beginSession(t.Context(), d.user.ID, hash, lifetime)
				}
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t)
			secret := d.login(t)
			_, err := d.is(t, secret)
			require.NoError(t, err)
			require.NoError(t, end(t, d))
			_, err = d.verifier.Identify(t.Context(), secret)
			require.NoError(t, err, "within two seconds")
			_, err = d.is(t, secret)
			require.ErrorIs(t, err, httpapi.ErrNoToken)
		})
	}
}

func TestAUserIsChanged(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	secret := d.login(t)
	change := UserChange{Resources: []httpapi.Resource{httpapi.ResourceManage}, Source: new(""), By: "root"}
	forbidden := errors.New("not yours")
	_, err := d.store.ChangeUser(t.Context(), d.user.ID, change, func(u User) error {
		require.Equal(t, jane.Resources, u.Resources, "as it is now")
		return forbidden
	})
	require.ErrorIs(t, err, forbidden)
	id, err := d.is(t, secret)
	require.NoError(t, err)
	require.Equal(t, "outlet", id.Source, "nothing was changed")

	u, err := d.store.ChangeUser(t.Context(), d.user.ID, change, anyone)
	require.NoError(t, err)
	require.Nil(t, u.Source)
	require.Equal(t, "root", *u.ChangedBy)
	id, err = d.is(t, secret)
	require.NoError(t, err, "the session goes on, and may do what the user may")
	require.Equal(t, httpapi.Identity{Name: "Jane", Resources: change.Resources, ExpiresAt: id.ExpiresAt}, id)

	_, err = d.store.ChangeUser(t.Context(), d.user.ID, UserChange{Disabled: new(true), By: "root"}, anyone)
	require.NoError(t, err)
	_, _, err = d.Login(t.Context(), "jane", password, office, lifetime)
	require.ErrorIs(t, err, ErrCredentials)
	u, err = d.store.ChangeUser(t.Context(), d.user.ID, UserChange{Disabled: new(false), Password: new("another long password"), By: "root"}, anyone)
	require.NoError(t, err)
	require.Nil(t, u.DisabledAt)
	_, _, err = d.Login(t.Context(), "jane", password, office, lifetime)
	require.ErrorIs(t, err, ErrCredentials)
	_, _, err = d.Login(t.Context(), "jane", "another long password", office, lifetime)
	require.NoError(t, err)
	var rows int
	require.NoError(t, d.pool.QueryRow(t.Context(), `SELECT count(*) FROM api_token`).Scan(&rows))
	require.Equal(t, 1, rows, "the next login forgets sessions that have ended")

	for _, err := range []error{
		second(d.store.ChangeUser(t.Context(), 99, change, anyone)), second(d.store.DeleteUser(t.Context(), 99)),
	} {
		require.ErrorIs(t, err, ErrNoUser)
	}
}

func second[T any](_ T, err error) error { return err }

func TestUsersThatCannotBe(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*NewUser){
		"/name: is required":          func(n *NewUser) { n.Name = " Jane" },
		"/name: contains the control": func(n *NewUser) { n.Name = "J\nane" },
		"/password: has 11 bytes":     func(n *NewUser) { n.Password = "eleven char" },
		"/password: has 257 bytes":    func(n *NewUser) { n.Password = strings.Repeat("x", 257) },
		"/resources: is required":     func(n *NewUser) { n.Resources = nil },
		"/resources/0: is \"fly\"":    func(n *NewUser) { n.Resources = []httpapi.Resource{"fly"} },
		"/source: source \"Outlet\"":  func(n *NewUser) { n.Source = "Outlet" },
	} {
		n := jane
		change(&n)
		wrong := n.Check()
		require.Len(t, wrong, 1, want)
		require.Contains(t, wrong[0].Pointer+": "+wrong[0].Detail, want)
	}
	require.NotEmpty(t, UserChange{}.Check())
	require.Len(t, UserChange{Password: new("short"), Resources: []httpapi.Resource{}, Source: new("A")}.Check(), 3)
}

// A wrong name takes the same work as a wrong password: both are compared with a hash. That of nobody is no password's.
func TestWhoGuessesIsNotToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	for _, name := range []string{"jane", "joe", "", "j\x00e", strings.Repeat("x", 10_000)} {
		_, _, err := d.Login(t.Context(), name, "wrong password", office, lifetime)
		require.ErrorIs(t, err, ErrCredentials, name)
	}
	ok, err := matches(t.Context(), nobodysHash, "")
	require.NoError(t, err)
	require.False(t, ok)
	_, err = matches(t.Context(), "$2a$10$x", "")
	require.Error(t, err)
}

// Nobody is locked out: an address that the user has logged in from is not held up by failures elsewhere, and any other only for seconds.
func TestGuessesAreLimited(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.login(t)
	wrong := func(address string) error {
		_, _, err := d.Login(t.Context(), "jane", "wrong password", address, lifetime)
		return err
	}
	for range pairRate.burst {
		require.ErrorIs(t, wrong("198.51.100.1"), ErrCredentials)
	}
	var limited *LimitedError
	require.ErrorAs(t, wrong("198.51.100.1"), &limited)
	require.Equal(t, pairRate.interval, limited.After)
	require.ErrorIs(t, wrong("198.51.100.2"), ErrCredentials, "another address")
	d.login(t)
	d.clock.at = d.clock.at.Add(pairRate.interval)
	require.ErrorIs(t, wrong("198.51.100.1"), ErrCredentials, "one more")
	require.ErrorAs(t, wrong("198.51.100.1"), &limited)

	d.pool.Close()
	for range 2 * pairRate.burst {
		err := wrong(office)
		require.NotErrorIs(t, err, ErrCredentials)
		require.NotErrorAs(t, err, &limited, "nothing was learned, so nothing is counted")
	}
}

func TestCountersOfGuesses(t *testing.T) {
	t.Parallel()
	gs, now := newGuesses(), time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	failures := func(most int, of func(int) guess) (n int) {
		for n < most && gs.take(of(n), now) == 0 {
			n++
		}
		return n
	}
	letters := func(n int) string { return strings.Repeat("x", n+1) }
	require.Equal(t, userRate.burst, failures(1000, func(n int) guess { return guess{"jane", letters(n)} }), "one user from many addresses")
	require.Equal(t, addressRate.burst, failures(1000, func(n int) guess { return guess{letters(n), "here"} }), "many users from one address")

	gs.succeeded(guess{"JANE", "home"}, now) // before the failures
	require.Equal(t, pairRate.burst, failures(1000, func(int) guess { return guess{"jane", "home"} }), "a trusted address has its own limit only")
	for n := range 3 * maxGuesses {
		gs.take(guess{"jane", "address " + time.Duration(n).String()}, now.Add(time.Duration(n)*time.Minute))
	}
	require.LessOrEqual(t, len(gs.newer)+len(gs.older), 2*maxGuesses)
}

func TestNetworkOfAClient(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "pipe": "pipe",
	} {
		require.Equal(t, want, network(address))
	}
}

// When more log in at once than can be hashed, some are told to come again; memory does not grow.
func TestTooManyLoginsAtOnce(t *testing.T) {
	for range hashesInQueue {
		queued <- struct{}{}
	}
	_, err := derive(t.Context(), "x", nil)
	require.ErrorIs(t, err, ErrBusy)
	for range hashesInQueue {
		<-queued
	}
	_, err = derive(t.Context(), "x", nil)
	require.NoError(t, err)
}

// The first token is made once, however many processes ask for it at the same time.
func TestTheFirstToken(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	s := NewStore(pool)
	there, err := s.Anybody(t.Context())
	require.NoError(t, err)
	require.False(t, there)
	first := New{Name: "admin", Resources: httpapi.Resources, By: "root"}
	made := make(chan error)
	for range 4 {
		go func() {
			_, _, err := s.CreateFirst(t.Context(), first)
			made <- err
		}()
	}
	won := 0
	for range 4 {
		if err := <-made; err == nil {
			won++
		} else {
			require.ErrorIs(t, err, ErrNoFirst)
		}
	}
	require.Equal(t, 1, won)
}

// Somebody of the identity provider has sessions that may do what the claims said, end with the token, and are in nobody's way.
func TestSessionsOfTheProvider(t *testing.T) {
	t.Parallel()
	store := NewStore(testkit.Postgres(t).Pool)
	end := time.Now().Add(time.Hour)
	jane := httpapi.Identity{Name: "jane", Resources: []httpapi.Resource{httpapi.ResourceViewStatus}, Source: "outlet", ExpiresAt: &end}
	first, secret, err := store.BeginProviderSession(t.Context(), "0b1c", jane)
	require.NoError(t, err)
	require.Equal(t, "outlet", *first.Source)
	require.WithinDuration(t, end, *first.ExpiresAt, time.Millisecond)
	_, _, err = store.CreateFirst(t.Context(), New{Name: "admin", Resources: httpapi.Resources, By: "test"})
	require.NoError(t, err, "a session is not the first token")
	_, kept, err := store.Create(t.Context(), New{Name: "jane", Resources: httpapi.Resources, By: "test"})
	require.NoError(t, err, "nor does it hold a name")
	listed, err := store.List(t.Context(), true)
	require.NoError(t, err)
	require.Len(t, listed, 2)

	v := NewVerifier(store, slog.New(slog.DiscardHandler))
	who, err := v.Identify(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, "jane", who.Name)
	require.Equal(t, jane.Resources, who.Resources)
	require.Equal(t, "outlet", who.Source)
	require.NoError(t, store.EndSession(t.Context(), secret))
	require.NoError(t, store.EndSession(t.Context(), kept))
	require.NoError(t, store.EndSession(t.Context(), "no token"))
	found, err := store.find(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, "jane", *found.RevokedBy)
	found, err = store.find(t.Context(), kept)
	require.NoError(t, err)
	require.Nil(t, found.RevokedAt, "a program may use it too")

	admin, _, err := store.BeginProviderSession(t.Context(), "0b1c", httpapi.Identity{Name: "jane", All: true, ExpiresAt: &end})
	require.NoError(t, err)
	require.ElementsMatch(t, httpapi.Resources, admin.Resources)
	_, err = store.find(t.Context(), secret)
	require.ErrorIs(t, err, ErrUnknown, "what has ended is forgotten with the next one")
}

// A person who signs in again and again has a hundred sessions; those of others that have ended are forgotten by and by.
func TestSessionsOfTheProviderAreBounded(t *testing.T) {
	t.Parallel()
	store := NewStore(testkit.Postgres(t).Pool)
	now := time.Now()
	store.now = func() time.Time { return now }
	end := now.Add(time.Minute)
	begin := func(subject string) {
		_, _, err := store.BeginProviderSession(t.Context(), subject, httpapi.Identity{Name: subject, All: true, ExpiresAt: &end})
		require.NoError(t, err)
	}
	_, err := store.pool.Exec(t.Context(), `INSERT INTO api_token (name, hash, hint, resources, created_at, created_by, expires_at, subject)
		SELECT 'a', n::text::bytea, '', '{}', $1, 'a', $2, 'a' FROM generate_series(1, $3) AS n`, now, end, maxSessions+5)
	require.NoError(t, err)
	begin("a")
	count := func() (n int) {
		require.NoError(t, store.pool.QueryRow(t.Context(), `SELECT count(*) FROM api_token`).Scan(&n))
		return n
	}
	require.Equal(t, maxSessions, count())
	now, end = end.Add(time.Second), end.Add(time.Minute)
	begin("b")
	require.Equal(t, 1, count())
}
