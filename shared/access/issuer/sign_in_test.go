package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
)

const returnTo = "https://connector.example/console/callback"

// idToken are the claims of an ID token for our client in a sign-in, with some of them otherwise.
func (p *provider) idToken(now time.Time, s SignIn, otherwise map[string]any) string {
	claims := p.claims(now, map[string]any{"aud": "console", "nonce": s.Nonce})
	for name, value := range otherwise {
		claims[name] = value
	}
	return p.sign(claims)
}

// trades answers codes with an ID token.
func (p *provider) trades(token string) {
	p.code = func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, map[string]any{"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": token})
	}
}

// The browser is sent with state, nonce and the hash of a verifier; the code is traded with the verifier itself.
func TestSigningIn(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	s := NewSignIn()
	to, err := i.SignInURL(t.Context(), s, returnTo)
	require.NoError(t, err)
	u, err := url.Parse(to)
	require.NoError(t, err)
	hash := sha256.Sum256([]byte(s.Verifier))
	require.Equal(t, p.URL+"/authorize", strings.TrimSuffix(to, "?"+u.RawQuery))
	require.Equal(t, url.Values{
		"client_id": {"console"}, "response_type": {"code"}, "scope": {"openid groups"}, "redirect_uri": {returnTo}, "state": {s.State}, "nonce": {s.Nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(hash[:])}, "code_challenge_method": {"S256"},
	}, u.Query())

	p.code = func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "console" || secret != "hush" || r.FormValue("code") != "the code" || r.FormValue("code_verifier") != s.Verifier || r.FormValue("redirect_uri") != returnTo {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		p.answer(w, map[string]any{"access_token": "opaque", "token_type": "Bearer", "id_token": p.idToken(c.now(), s, nil)})
	}
	who, err := i.Finish(t.Context(), s, "the code", returnTo)
	require.NoError(t, err)
	require.Equal(t, "0b1c", who.Subject)
	require.Equal(t, "jane", who.Identity.Name)
	require.Equal(t, []httpapi.Resource{httpapi.ResourceViewStatus, httpapi.ResourceResync}, who.Identity.Resources)
	require.WithinDuration(t, c.now().Add(5*time.Minute), *who.Identity.ExpiresAt, time.Second, "no longer than the ID token")

	_, err = i.Finish(t.Context(), s, "another code", returnTo)
	require.ErrorIs(t, err, ErrSignIn)
	another := NewSignIn()
	require.NotEqual(t, s.State, another.State)
	require.NotEqual(t, s.Nonce, another.Nonce)
	require.NotEqual(t, s.Verifier, another.Verifier)
}

// An ID token that is not for us, in this sign-in and now, lets nobody in.
func TestIDTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	s, forger := NewSignIn(), newProvider(t)
	forger.keys[0].KeyID = "k1"
	for name, token := range map[string]string{
		"none":                    "",
		"of another sign-in":      p.idToken(c.now(), NewSignIn(), nil),
		"without nonce":           p.idToken(c.now(), s, map[string]any{"nonce": nil}),
		"for a program":           p.idToken(c.now(), s, map[string]any{"aud": "erpconnector"}),
		"by way of another":       p.idToken(c.now(), s, map[string]any{"aud": []string{"console", "other"}, "azp": "other"}),
		"of another issuer":       p.idToken(c.now(), s, map[string]any{"iss": forger.URL}),
		"without subject":         p.idToken(c.now(), s, map[string]any{"sub": nil}),
		"expired a moment ago":    p.idToken(c.now(), s, map[string]any{"exp": c.now().Add(-skew / 2).Unix()}),
		"signed by somebody else": forger.idToken(c.now(), s, map[string]any{"iss": p.URL}),
	} {
		p.trades(token)
		_, err := i.Finish(t.Context(), s, "code", returnTo)
		require.ErrorIs(t, err, ErrSignIn, name)
	}
	p.trades(p.idToken(c.now(), SignIn{}, nil))
	_, err := i.Finish(t.Context(), SignIn{}, "code", returnTo)
	require.ErrorIs(t, err, ErrSignIn, "an empty nonce is none")
	p.trades(p.idToken(c.now(), s, map[string]any{"aud": []string{"console", "other"}, "azp": "console"}))
	_, err = i.Finish(t.Context(), s, "code", returnTo)
	require.NoError(t, err)
}

// A person without a rule is known, and may do nothing.
func TestSigningInWithoutRights(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	s := NewSignIn()
	p.trades(p.idToken(c.now(), s, map[string]any{"groups": []string{"staff"}}))
	who, err := i.Finish(t.Context(), s, "code", returnTo)
	require.NoError(t, err)
	require.Empty(t, who.Identity.Held())
}

// An ID token of the console is no token of the API, unless both have one audience.
func TestAnIDTokenIsNoBearerToken(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	s := NewSignIn()
	_, err := i.Identify(t.Context(), p.idToken(c.now(), s, nil))
	require.ErrorIs(t, err, httpapi.ErrNoToken)
	i.cfg.Audience = ""
	_, err = i.Identify(t.Context(), p.idToken(c.now(), s, nil))
	require.ErrorIs(t, err, httpapi.ErrNoToken, "there are none")
}

// While the provider is away nobody signs in there. It is said to be away, and not that the user is refused.
func TestSigningInWhileTheIssuerIsAway(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	p.away.Store(true)
	_, err := i.SignInURL(t.Context(), NewSignIn(), returnTo)
	require.ErrorIs(t, err, httpapi.ErrIssuerAway)
	p.away.Store(false)
	c.advance(askInterval)
	_, err = i.SignInURL(t.Context(), NewSignIn(), returnTo)
	require.NoError(t, err)
	p.trades("")
	p.away.Store(true)
	_, err = i.Finish(t.Context(), NewSignIn(), "code", returnTo)
	require.ErrorIs(t, err, httpapi.ErrIssuerAway)
	require.NotContains(t, err.Error(), "hush")
	p.Close()
	_, err = i.Finish(t.Context(), NewSignIn(), "code", returnTo)
	require.ErrorIs(t, err, httpapi.ErrIssuerAway)
	require.NotContains(t, err.Error(), "hush")
}
