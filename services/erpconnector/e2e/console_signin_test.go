package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/oauth2-proxy/mockoidc"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// withUser is a product with a user of that name, who may do this.
func (p *product) withUser(name string, resources ...httpapi.Resource) {
	p.t.Helper()
	p.withShopUser(name, "", resources...)
}

// withShopUser is a product with a user for one shop; empty: for all.
func (p *product) withShopUser(name, shop string, resources ...httpapi.Resource) {
	p.t.Helper()
	status, made := p.do(http.MethodPost, httpapi.BasePath+"/users", map[string]any{
		"name": name, "password": passwordOf(name), "resources": resources, "source": shop,
	})
	require.Equal(p.t, http.StatusCreated, status, made)
}

func passwordOf(name string) string { return "the password of " + name }

// logIn signs in by a name and a password, as a person does, once the page has put the cursor into its first field.
func (b *browser) logIn(name, password string) {
	b.t.Helper()
	b.until(`document.getElementById('password') && document.activeElement !== document.body`)
	for field, value := range map[string]string{"username": name, "password": password} {
		evaluate[any](b, fmt.Sprintf(`(() => { const f = document.getElementById(%q); f.value = ''; f.focus(); })()`, field))
		b.press(value)
	}
	evaluate[any](b, `document.getElementById('password').form.requestSubmit()`)
}

// A person signs in by name and password, works, and signs out: then the session is over, also for who has kept its cookie.
func TestSigningInByPassword(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	p.withUser("jane", httpapi.ResourceViewStatus)
	b := browse(t, p.base)
	b.open("/console/orders#status=failed")
	b.until(`document.activeElement?.id === 'username'`)
	for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
		b.prefers(theme, width)
		b.isAccessible("sign-in " + theme)
	}
	b.prefers("light", 1280)
	b.logIn("jane", "another password")
	b.reads("This name and password do not belong together")
	b.logIn("Jane", passwordOf("jane"))
	b.until(`document.querySelector('nav a[aria-current=page]')`)
	require.Equal(t, "/console/orders#status=failed", evaluate[string](b, `location.pathname + location.hash`), "where it began")
	require.Empty(t, evaluate[string](b, `document.cookie`), "no script reads the session")

	b.clickOn("header summary", "jane")
	b.clickOn("header button", "Sign out")
	b.until(`document.getElementById('username')`)
	status, sessions := p.do(http.MethodGet, httpapi.BasePath+"/tokens?user=1&all=true", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "jane", sessions["tokens"].([]any)[0].(map[string]any)["revoked_by"]) //nolint:forcetypeassert // a test
	b.open("/console/orders")
	b.until(`document.getElementById('username')`)
	b.clean()
}

// withProvider is a product whose people sign in at a provider, with a user beside them.
func withProvider(t *testing.T) (*product, *mockoidc.MockOIDC) {
	t.Helper()
	provider, err := mockoidc.Run()
	require.NoError(t, err)
	t.Cleanup(func() { _ = provider.Shutdown() })
	cfg := configured(t, testkit.EmbeddedBroker(t))
	cfg.HTTP.PublicURL = "http://" + cfg.HTTP.Addr
	cfg.HTTP.OIDC = config.OIDC{
		Issuer: provider.Issuer(), ClientID: provider.ClientID, ClientSecret: config.Secret(provider.ClientSecret), Scopes: []string{"openid", "profile", "groups"},
		NameClaim: "preferred_username", Rules: []config.OIDCRule{{Claim: "groups", Value: "erp-support", Resources: []string{"view_status", "resync"}}},
	}
	p := start(t, cfg)
	p.withUser("jane", httpapi.ResourceViewStatus)
	return p, provider
}

var vera = &mockoidc.MockUser{Subject: "1", PreferredUsername: "vera", Groups: []string{"staff", "erp-support"}}

// A person signs in at the provider, comes back to the same address, and may do what the groups say. When the session ends meanwhile, the
// page says so, and leads back again.
func TestSigningInAtTheProvider(t *testing.T) {
	t.Parallel()
	p, provider := withProvider(t)
	b := browse(t, p.base)
	b.open("/console/orders#status=failed")
	b.reads("Sign in at " + strings.TrimPrefix(provider.Addr(), "http://"))
	b.reads("Sign in with a token")
	b.isAccessible("three ways to sign in")

	provider.QueueUser(&mockoidc.MockUser{Subject: "2", PreferredUsername: "nemo", Groups: []string{"staff"}})
	b.clickOn("main button", "Sign in at")
	b.reads("The identity provider knows you, but you may do nothing here.")
	b.isAccessible("refused")

	provider.QueueUser(vera)
	b.clickOn("main button", "Sign in at")
	b.until(`document.querySelector('nav a[aria-current=page]')`)
	require.Equal(t, "/console/orders#status=failed", evaluate[string](b, `location.pathname + location.hash`), "where it began")
	b.clickOn("header summary", "vera")
	b.reads("resync, view_status")

	execute(t, p.cfg.DatabaseURL, `UPDATE api_token SET expires_at = created_at + interval '1 microsecond' WHERE subject = '1'`)
	b.reads("The session has ended")
	require.Equal(t, "/console/orders#status=failed", evaluate[string](b, `location.pathname + location.hash`))
	provider.QueueUser(vera)
	b.clickOn("main button", "Sign in at")
	b.until(`document.querySelector('nav a[aria-current=page]')`)
	b.clickOn("header summary", "vera")
	b.clickOn("header button", "Sign out")
	b.reads("Sign in at")
	b.clean()
}

// What comes back without a sign-in that this browser has begun lets nobody in, and leads nowhere else.
func TestWhatTheProviderDidNotSend(t *testing.T) {
	t.Parallel()
	p, provider := withProvider(t)
	b := browse(t, p.base)
	for path, says := range map[string]string{
		"/console/callback?code=x&state=y":                                    "This sign-in was begun too long ago",
		"/console/callback":                                                   "This sign-in was begun too long ago",
		"/console#signin=denied":                                              "The identity provider has not let you in.",
		"/console#signin=<img src=x onerror=alert(1)>":                        "its answer is not good",
		"/console/callback?error=access_denied&state=y&error_description=<b>": "This sign-in was begun too long ago",
	} {
		b.open(path)
		b.reads(says)
		require.Equal(t, "/console", evaluate[string](b, `location.pathname + location.search + location.hash`), path)
	}
	require.NoError(t, provider.Shutdown())
	b.open("/console")
	b.clickOn("main button", "Sign in at")
	b.reads("The identity provider does not answer.")
	b.clean()
}

// Two tabs are one session: who signs in or out in one is signed in or out in the other.
func TestTwoTabsAreOneSession(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	p.withUser("jane", httpapi.ResourceViewStatus)
	first := browse(t, p.base)
	first.open("/console/orders")
	first.until(`document.getElementById('username')`)
	second := first.tab()
	second.open("/console/failures")
	second.logIn("jane", passwordOf("jane"))
	second.until(`document.querySelector('nav a[aria-current=page]')`)
	first.until(`document.querySelector('nav a[aria-current=page]')`)
	first.clickOn("header summary", "jane")
	first.clickOn("header button", "Sign out")
	second.until(`document.getElementById('username')`)
	first.clean()
	second.clean()
}
