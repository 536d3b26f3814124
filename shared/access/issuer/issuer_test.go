package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// provider is an OpenID provider over HTTP: discovery, keys that change, and tokens that it signs. Unlike those of libraries it can be away,
// withdraw a key, and sign what no provider should.
type provider struct {
	*httptest.Server

	t     *testing.T
	asked atomic.Int64 // for keys
	away  atomic.Bool
	code  http.HandlerFunc // trades a code; nil: there is no such place

	mu   sync.Mutex
	keys []jose.JSONWebKey // private
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, map[string]any{
			"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"id_token_signing_alg_values_supported": []string{"ES256"}, "subject_types_supported": []string{"public"}, "response_types_supported": []string{"code"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		p.mu.Lock()
		public := []any{map[string]string{"kty": "of tomorrow", "kid": "x"}}
		for _, k := range p.keys {
			public = append(public, k.Public())
		}
		p.mu.Unlock()
		p.answer(w, map[string]any{"keys": public})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { p.code(w, r) })
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	p.rotate("k1")
	return p
}

func (p *provider) answer(w http.ResponseWriter, v any) {
	if p.away.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// rotate signs with a new key from now on, and withdraws all but it.
func (p *provider) rotate(id string) {
	p.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(p.t, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = []jose.JSONWebKey{{Key: private, KeyID: id, Algorithm: "ES256", Use: "sig"}}
}

func (p *provider) sign(claims map[string]any) string {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	return signed(p.t, jose.SigningKey{Algorithm: jose.ES256, Key: p.keys[0]}, claims)
}

func signed(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("at+jwt"))
	require.NoError(t, err)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	jws, err := signer.Sign(payload)
	require.NoError(t, err)
	token, err := jws.CompactSerialize()
	require.NoError(t, err)
	return token
}

// claims are those of a token that is taken, with some of them otherwise.
func (p *provider) claims(now time.Time, otherwise map[string]any) map[string]any {
	c := map[string]any{
		"iss": p.URL, "aud": []string{"account", "erpconnector"}, "sub": "0b1c", "preferred_username": "jane", "groups": []string{"staff", "erp-support"},
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(c, otherwise)
	return c
}

type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func setup(t *testing.T) (*Issuer, *provider, *clock) {
	t.Helper()
	p, c := newProvider(t), new(clock)
	c.advance(time.Since(time.Unix(0, 0)))
	i, err := New(config.OIDC{
		Issuer: p.URL, Audience: "erpconnector", ClientID: "console", ClientSecret: "hush", Scopes: []string{"openid", "groups"}, NameClaim: "preferred_username", Rules: []config.OIDCRule{
			{Claim: "groups", Value: "erp-support", Resources: []string{"view_status", "resync"}}, {Claim: "realm_access.roles", Value: "admin", Resources: []string{"all"}},
		},
	}, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})))
	require.NoError(t, err)
	i.now = c.now
	return i, p, c
}

func TestATokenOfTheIssuer(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	id, err := i.Identify(t.Context(), p.sign(p.claims(c.now(), nil)))
	require.NoError(t, err)
	require.Equal(t, httpapi.Identity{Name: "jane", Resources: []httpapi.Resource{httpapi.ResourceViewStatus, httpapi.ResourceResync}}, id)
	for range 20 {
		_, err := i.Identify(t.Context(), p.sign(p.claims(c.now(), nil)))
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, p.asked.Load(), "keys are kept")
}

// What is signed, but not for us and now, is refused; so is what anybody could have made.
func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	good := p.sign(p.claims(c.now(), nil))
	_, err := i.Identify(t.Context(), good)
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	payload, err := json.Marshal(p.claims(c.now(), nil))
	require.NoError(t, err)
	parts := strings.Split(good, ".")
	public, err := json.Marshal(p.keys[0].Public())
	require.NoError(t, err)
	forger := newProvider(t)
	forger.keys[0].KeyID = "k1"
	for name, token := range map[string]string{
		"nothing":                  "",
		"two dots":                 "..",
		"another audience":         p.sign(p.claims(c.now(), map[string]any{"aud": "account"})),
		"no audience":              p.sign(p.claims(c.now(), map[string]any{"aud": nil})),
		"another issuer":           p.sign(p.claims(c.now(), map[string]any{"iss": "https://elsewhere.example"})),
		"expired":                  p.sign(p.claims(c.now(), map[string]any{"exp": c.now().Add(-skew - 2*time.Second).Unix()})),
		"without an end":           p.sign(p.claims(c.now(), map[string]any{"exp": nil})),
		"not yet":                  p.sign(p.claims(c.now(), map[string]any{"nbf": c.now().Add(10 * time.Minute).Unix()})),
		"names nobody":             p.sign(p.claims(c.now(), map[string]any{"sub": "", "preferred_username": " "})),
		"alg none":                 encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + ".",
		"HS256 by the public key":  signed(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, p.claims(c.now(), nil)),
		"another's key of this id": signed(t, jose.SigningKey{Algorithm: jose.ES256, Key: forger.keys[0]}, p.claims(c.now(), nil)),
		"payload changed":          parts[0] + "." + encode([]byte(strings.Replace(string(payload), "jane", "root", 1))) + "." + parts[2],
		"signature cut":            good[:len(good)-4],
	} {
		_, err := i.Identify(t.Context(), token)
		require.ErrorIs(t, err, httpapi.ErrNoToken, name)
	}
	_, err = i.Identify(t.Context(), p.sign(p.claims(c.now(), map[string]any{"exp": c.now().Add(-skew / 2).Unix()})))
	require.NoError(t, err, "its clock may be behind")
	_, err = i.Identify(t.Context(), p.sign(p.claims(c.now(), map[string]any{"nbf": c.now().Add(skew).Unix()})))
	require.NoError(t, err, "or ahead")
}

// A new key is met with the first token that it has signed. One that was withdrawn is refused ten minutes later.
func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	before := p.sign(p.claims(c.now(), map[string]any{"exp": c.now().Add(time.Hour).Unix()}))
	_, err := i.Identify(t.Context(), before)
	require.NoError(t, err)
	p.rotate("k2")
	c.advance(askInterval)
	_, err = i.Identify(t.Context(), p.sign(p.claims(c.now(), nil)))
	require.NoError(t, err)
	require.EqualValues(t, 2, p.asked.Load())
	_, err = i.Identify(t.Context(), before)
	require.ErrorIs(t, err, httpapi.ErrNoToken)

	last := p.sign(p.claims(c.now(), map[string]any{"exp": c.now().Add(time.Hour).Unix()}))
	p.rotate("k3")
	_, err = i.Identify(t.Context(), last)
	require.NoError(t, err, "nobody has asked meanwhile")
	c.advance(freshFor)
	_, err = i.Identify(t.Context(), last)
	require.ErrorIs(t, err, httpapi.ErrNoToken)
}

// Forged tokens with keys that there are none of are no way to make us ask the issuer again and again.
func TestForgedKeysAskTheIssuerSeldom(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	_, err := i.Identify(t.Context(), p.sign(p.claims(c.now(), nil)))
	require.NoError(t, err)
	forger := newProvider(t)
	c.advance(askInterval)
	for n := range 50 {
		forger.keys[0].KeyID = time.Duration(n).String()
		_, err := i.Identify(t.Context(), signed(t, jose.SigningKey{Algorithm: jose.ES256, Key: forger.keys[0]}, p.claims(c.now(), nil)))
		require.ErrorIs(t, err, httpapi.ErrNoToken)
	}
	require.EqualValues(t, 2, p.asked.Load())
}

// While the issuer is away, keys that it had lately count; without any, nobody can tell, and it is asked again soon.
func TestWhileTheIssuerIsAway(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	p.away.Store(true)
	token := func() string { return p.sign(p.claims(c.now(), nil)) }
	_, err := i.Identify(t.Context(), token())
	require.ErrorIs(t, err, httpapi.ErrIssuerAway)
	_, err = i.Identify(t.Context(), "erpc_of.another.kind")
	require.ErrorIs(t, err, httpapi.ErrNoToken, "only its own tokens")
	_, err = i.Identify(t.Context(), p.sign(p.claims(c.now(), map[string]any{"iss": "https://elsewhere.example"})))
	require.ErrorIs(t, err, httpapi.ErrNoToken)

	p.away.Store(false)
	_, err = i.Identify(t.Context(), token())
	require.ErrorIs(t, err, httpapi.ErrIssuerAway, "it was asked a moment ago")
	c.advance(askInterval)
	_, err = i.Identify(t.Context(), token())
	require.NoError(t, err)

	p.away.Store(true)
	c.advance(staleFor - time.Second)
	_, err = i.Identify(t.Context(), token())
	require.NoError(t, err)
	c.advance(askInterval)
	_, err = i.Identify(t.Context(), token())
	require.ErrorIs(t, err, httpapi.ErrIssuerAway)
	p.Close()
	c.advance(askInterval)
	_, err = i.Identify(t.Context(), token())
	require.ErrorIs(t, err, httpapi.ErrIssuerAway)
}

// Who waits for the keys waits with all others for one answer.
func TestManyAtOnceAskOnce(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	token := p.sign(p.claims(c.now(), nil))
	errs := make(chan error)
	for range 20 {
		go func() {
			_, err := i.Identify(t.Context(), token)
			errs <- err
		}()
	}
	for range 20 {
		require.NoError(t, <-errs)
	}
	require.EqualValues(t, 1, p.asked.Load())
}

// A provider whose answer is not that of an OpenID provider is away, and its page is not copied into the log.
func TestAPageInPlaceOfAProvider(t *testing.T) {
	t.Parallel()
	i, p, c := setup(t)
	token := p.sign(p.claims(c.now(), nil))
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(strings.Repeat("x", 2<<20)))
	})
	_, err := i.Identify(t.Context(), token)
	require.ErrorIs(t, err, httpapi.ErrIssuerAway)
	require.Less(t, len(err.Error()), 2*maxErrorBytes)
}
