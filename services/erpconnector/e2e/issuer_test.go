package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/oauth2-proxy/mockoidc"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// login goes through a provider's authorization code flow as a browser and a client do, and returns the token of the one who logs in.
func login(t *testing.T, provider *mockoidc.MockOIDC) string {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(provider.AuthorizationEndpoint() + "?" + url.Values{
		"client_id": {provider.ClientID}, "response_type": {"code"}, "redirect_uri": {"http://127.0.0.1/callback"},
		"scope": {"openid profile email groups"}, "state": {"s"}, "nonce": {"n"},
	}.Encode())
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	back, err := resp.Location()
	require.NoError(t, err)
	resp, err = client.PostForm(provider.TokenEndpoint(), url.Values{
		"client_id": {provider.ClientID}, "client_secret": {provider.ClientSecret}, "grant_type": {"authorization_code"}, "code": {back.Query().Get("code")},
	})
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var tokens struct {
		IDToken string `json:"id_token"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&tokens))
	return tokens.IDToken
}

// People of a company log in at its identity provider, and do here what their groups may do, under their names.
func TestTokensOfAnIdentityProvider(t *testing.T) {
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		provider, err := mockoidc.Run()
		require.NoError(t, err)
		t.Cleanup(func() { _ = provider.Shutdown() })
		cfg := configured(t, brokers)
		cfg.HTTP.OIDC = config.OIDC{
			Issuer: provider.Issuer(), Audience: provider.ClientID, NameClaim: "preferred_username", Rules: []config.OIDCRule{
				{Claim: "groups", Value: "erp-support", Resources: []string{"view_status"}}, {Claim: "groups", Value: "erp-admin", Resources: []string{"all"}},
			},
		}
		p := start(t, cfg)
		ask := func(token, method, path, body string) (status int, answer string) {
			req, err := http.NewRequestWithContext(t.Context(), method, p.base+path, strings.NewReader(body))
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("If-Match", "*")
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer func() { _ = resp.Body.Close() }()
			said, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			return resp.StatusCode, string(said)
		}
		provider.QueueUser(&mockoidc.MockUser{Subject: "1", PreferredUsername: "vera", Groups: []string{"staff", "erp-support"}})
		vera := login(t, provider)
		status, answer := ask(vera, http.MethodGet, "/rest/default/V1/erpconnector/sync-status/000000999", "")
		require.Equal(t, http.StatusNotFound, status, answer)
		status, answer = ask(vera, http.MethodPut, "/rest/V1/erpconnector/settings", `{"debug": false}`)
		require.Equal(t, http.StatusForbidden, status)
		require.Contains(t, answer, `the token \"vera\" does not hold Escooter_ErpConnector::config`)

		provider.QueueUser(&mockoidc.MockUser{Subject: "2", PreferredUsername: "max", Groups: []string{"erp-admin"}})
		status, answer = ask(login(t, provider), http.MethodPut, "/rest/V1/erpconnector/settings", `{"cron_batch": 7}`)
		require.Equal(t, http.StatusOK, status, answer)
		require.Contains(t, answer, `"changed_by":"max"`)

		provider.FastForward(-provider.AccessTTL * 2)
		status, _ = ask(login(t, provider), http.MethodGet, "/rest/V1/erpconnector/syncs", "")
		require.Equal(t, http.StatusUnauthorized, status, "it has expired")
	})
}
