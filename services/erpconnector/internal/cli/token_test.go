package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// An operator makes the first token without having one, sees it in the list, and takes it out of force.
func testTokens(t *testing.T, _ testkit.Database, env variables) {
	p := invoke(t, env, "token", "create", "outlet's shop", "--may", "publish,Escooter_ErpConnector::view_status", "--source", "outlet", "--expires", "24h")
	require.NoError(t, p.err)
	secret := strings.TrimSpace(p.out)
	require.Regexp(t, `^erpc_\S+$`, secret, "a script takes the output as it is")
	require.NotContains(t, p.stderr, secret)
	require.Contains(t, p.stderr, `token 1, "outlet's shop": this is the only time that it is shown`)

	list := does(t, env, "token", "list")
	require.Regexp(t, `1 +outlet's shop +`+secret[:11]+`… +publish,view_status +outlet +\S+ \S+ by \S+ +never +until `, list)
	require.NotContains(t, list, secret)

	require.Equal(t, "token 1, \"outlet's shop\", is revoked\n", does(t, env, "token", "revoke", "1"))
	require.NotContains(t, does(t, env, "token", "list"), "outlet's shop")
	require.Contains(t, does(t, env, "token", "list", "--all"), "revoked ")

	for want, args := range map[string][]string{
		"--may is required: what the token may do, of config": {"create", "a"},
		`--may is "fly"; there are config, erp_address`:       {"create", "a", "--may", "fly"},
		"--source source \"Shop B\" must be":                  {"create", "a", "--may", "sync", "--source", "Shop B"},
		"the name is required":                                {"create", " ", "--may", "sync"},
		"--expires is -1h0m0s; it must be a time to come":     {"create", "a", "--may", "sync", "--expires", "-1h"},
		"token 9: there is no such token":                     {"revoke", "9"},
		`"first" is no token's id`:                            {"revoke", "first"},
	} {
		err := invoke(t, env, append([]string{"token"}, args...)...).err
		require.ErrorContains(t, err, want)
	}
}
