package issuer

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

func TestWhatClaimsMean(t *testing.T) {
	t.Parallel()
	status, resync := httpapi.ResourceViewStatus, httpapi.ResourceResync
	rules := []config.OIDCRule{
		{Claim: "groups", Value: "support", Resources: []string{"view_status"}},
		{Claim: "groups", Value: "cn=erp,ou=groups", Resources: []string{"Escooter_ErpConnector::resync"}},
		{Claim: "realm_access.roles", Value: "admin", Resources: []string{"all"}},
		{Claim: "https://shop.example/roles", Value: "support", Resources: []string{"view_status"}},
		{Claim: "scope", Value: "erp", Resources: []string{"resync"}},
	}
	for name, c := range map[string]struct {
		claims string
		cfg    config.OIDC
		want   httpapi.Identity
	}{
		"no rule fits":                      {claims: `{"sub": "s", "groups": ["Support"]}`, want: httpapi.Identity{Name: "s"}},
		"a list":                            {claims: `{"sub": "s", "groups": [1, "support", "cn=erp,ou=groups"]}`, want: httpapi.Identity{Name: "s", Resources: []httpapi.Resource{status, resync}}},
		"a text is no list of words":        {claims: `{"sub": "s", "groups": "other support"}`, want: httpapi.Identity{Name: "s"}},
		"a text":                            {claims: `{"sub": "s", "groups": "support"}`, want: httpapi.Identity{Name: "s", Resources: []httpapi.Resource{status}}},
		"within an object":                  {claims: `{"sub": "s", "realm_access": {"roles": ["admin"]}}`, want: httpapi.Identity{Name: "s", All: true}},
		"a name with dots":                  {claims: `{"sub": "s", "https://shop.example/roles": ["support"]}`, want: httpapi.Identity{Name: "s", Resources: []httpapi.Resource{status}}},
		"words of scope":                    {claims: `{"sub": "s", "scope": "openid erp"}`, want: httpapi.Identity{Name: "s", Resources: []httpapi.Resource{resync}}},
		"another kind of value":             {claims: `{"sub": "s", "groups": {"support": true}}`, want: httpapi.Identity{Name: "s"}},
		"named by e-mail":                   {claims: `{"sub": "s", "email": "j@example.com"}`, cfg: config.OIDC{NameClaim: "email"}, want: httpapi.Identity{Name: "j@example.com"}},
		"an e-mail that is not verified":    {claims: `{"sub": "s", "email": "j@example.com", "email_verified": false}`, cfg: config.OIDC{NameClaim: "email"}, want: httpapi.Identity{Name: "s"}},
		"a name that a terminal would obey": {claims: `{"sub": "s\u001b[2J"}`, want: httpapi.Identity{Name: `s\x1b[2J`}},
		"one shop":                          {claims: `{"sub": "s", "shop": "outlet", "groups": "support"}`, cfg: config.OIDC{SourceClaim: "shop"}, want: httpapi.Identity{Name: "s", Source: "outlet", Resources: []httpapi.Resource{status}}},
		"all shops":                         {claims: `{"sub": "s", "shop": "*", "groups": "support"}`, cfg: config.OIDC{SourceClaim: "shop"}, want: httpapi.Identity{Name: "s", Resources: []httpapi.Resource{status}}},
		"no shop named":                     {claims: `{"sub": "s", "groups": "support"}`, cfg: config.OIDC{SourceClaim: "shop"}, want: httpapi.Identity{Name: "s"}},
		"two shops":                         {claims: `{"sub": "s", "shop": ["a", "b"], "groups": "support"}`, cfg: config.OIDC{SourceClaim: "shop"}, want: httpapi.Identity{Name: "s"}},
		"what is no shop":                   {claims: `{"sub": "s", "shop": "Shop A", "groups": "support"}`, cfg: config.OIDC{SourceClaim: "shop"}, want: httpapi.Identity{Name: "s", Source: "Shop A"}},
	} {
		c.cfg.Rules = rules
		i, err := New(c.cfg, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		var claims map[string]any
		require.NoError(t, json.Unmarshal([]byte(c.claims), &claims))
		got, err := i.identity(claims)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestARuleThatCannotBe(t *testing.T) {
	t.Parallel()
	_, err := New(config.OIDC{Rules: []config.OIDCRule{{Claim: "groups", Value: "a", Resources: []string{"viewstatus"}}}}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, `OIDC_RESOURCES gives "viewstatus" to groups:a: did you mean view_status?`)
}
