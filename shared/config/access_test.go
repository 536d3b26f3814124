package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
)

func TestStoreSources(t *testing.T) {
	t.Parallel()
	cfg, err := config.FromEnv(from(map[string]string{"STORE_SOURCES": "DE_Store=outlet, default=main"}))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"DE_Store": "outlet", "default": "main"}, cfg.HTTP.Stores)
	for _, entry := range []string{"outlet", "=outlet", "de=", "de=Outlet", "all=outlet", "a/b=outlet", "de=.."} {
		_, err := config.FromEnv(from(map[string]string{"STORE_SOURCES": entry}))
		require.ErrorContains(t, err, "STORE_SOURCES is \""+entry, entry)
	}
}

func TestAnIssuer(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"OIDC_ISSUER": "https://login.example/realms/shop", "OIDC_AUDIENCE": "erpconnector", "OIDC_SOURCE_CLAIM": "shop",
		"OIDC_RESOURCES": "groups:erp-support=view_status,resync; groups:cn=erp,ou=it=all;https://shop.example/roles:a:b=sync;",
	}
	cfg, err := config.FromEnv(from(values))
	require.NoError(t, err)
	require.Equal(t, config.OIDC{
		Issuer: "https://login.example/realms/shop", Audience: "erpconnector", NameClaim: "preferred_username", SourceClaim: "shop", Rules: []config.OIDCRule{
			{Claim: "groups", Value: "erp-support", Resources: []string{"view_status", "resync"}},
			{Claim: "groups", Value: "cn=erp,ou=it", Resources: []string{"all"}},
			{Claim: "https://shop.example/roles", Value: "a:b", Resources: []string{"sync"}},
		},
		Scopes: []string{"openid", "profile", "email"},
	}, cfg.HTTP.OIDC)

	for said, change := range map[string]map[string]string{
		"OIDC_ISSUER is not: name the issuer":         {"OIDC_ISSUER": ""},
		"it must be the issuer's http or https URL":   {"OIDC_ISSUER": "login.example"},
		"OIDC_AUDIENCE or OIDC_CLIENT_ID go together": {"OIDC_AUDIENCE": ""},
		"OIDC_CLIENT_SECRET is set and":               {"OIDC_CLIENT_SECRET": "hush"},
		"HTTP_PUBLIC_URL is not: name the address":    {"OIDC_CLIENT_ID": "console"},
		"does not name openid":                        {"OIDC_SCOPES": "profile"},
		"HTTP_PUBLIC_URL is":                          {"HTTP_PUBLIC_URL": "https://connector.example/erp"},
		"one of them is not set":                      {"OIDC_RESOURCES": ""},
		`OIDC_RESOURCES has "groups=all"`:             {"OIDC_RESOURCES": "groups=all"},
		`OIDC_RESOURCES has "groups:=all"`:            {"OIDC_RESOURCES": "groups:=all"},
		`OIDC_RESOURCES has ":a=all"`:                 {"OIDC_RESOURCES": ":a=all"},
		`OIDC_RESOURCES has "groups:a="`:              {"OIDC_RESOURCES": "groups:a="},
		`OIDC_RESOURCES has "https://x=all"`:          {"OIDC_RESOURCES": "https://x=all"},
	} {
		_, err := config.FromEnv(func(name string) (string, bool) {
			if v, ok := change[name]; ok {
				return v, true
			}
			v, ok := values[name]
			return v, ok
		})
		require.ErrorContains(t, err, said)
	}
}
