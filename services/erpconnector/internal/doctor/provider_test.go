package doctor

import (
	"testing"

	"github.com/oauth2-proxy/mockoidc"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
)

// The provider is asked as a sign-in asks it: the address to register is said, and one that is away is a warning.
func TestTheIdentityProvider(t *testing.T) {
	t.Parallel()
	provider, err := mockoidc.Run()
	require.NoError(t, err)
	in := Installation{Config: config.Config{HTTP: config.HTTP{PublicURL: "https://connector.example", OIDC: config.OIDC{Issuer: provider.Issuer(), ClientID: "console"}}}}
	require.Equal(t, []Finding{{
		Check: "identity provider", Level: OK,
		Said: "people sign in at " + provider.Server.Addr + "; it must know https://connector.example/console/callback as an address to come back to",
	}}, Examine(t.Context(), in))
	in.Config.HTTP.OIDC.ClientID = ""
	require.Contains(t, Examine(t.Context(), in)[0].Said, "nobody signs in to the console there")
	require.NoError(t, provider.Shutdown())
	require.Equal(t, Warn, Examine(t.Context(), in)[0].Level)
	in.Config.HTTP.OIDC.Rules = []config.OIDCRule{{Claim: "groups", Value: "a", Resources: []string{"vew_status"}}}
	require.Equal(t, Fail, Examine(t.Context(), in)[0].Level)
}
