package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// An operator makes users, without having a token, and lets them in or not.
func testUsers(t *testing.T, db testkit.Database, env variables) {
	in := func(password string) error {
		_, _, err := access.NewLogins(access.NewStore(db.Pool)).Login(t.Context(), "jane", password, "192.0.2.1", 1)
		return err
	}
	p := invoke(t, env, "user", "create", "jane", "--may", "view_status,resync", "--source", "outlet")
	require.NoError(t, p.err)
	require.Regexp(t, `^[A-Z2-7]{26}\n$`, p.out, "a script takes the output as it is")
	require.Equal(t, "user 1, \"jane\": this is the only time that the password is shown\n", p.stderr)
	made := strings.TrimSpace(p.out)
	require.NoError(t, in(made))
	require.Regexp(t, `1 +jane +resync,view_status +outlet +\S+ \S+ by \S+ +may log in\n`, does(t, env, "user", "list"))
	require.Regexp(t, `jane +erpc_\S+ +resync,view_status`, does(t, env, "token", "list", "--all", "--user", "JANE"))

	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("correct horse battery\n"), 0o600))
	p = invoke(t, env, "user", "password", "jane", "--password-file", file)
	require.NoError(t, p.err)
	require.Empty(t, p.out)
	require.ErrorIs(t, in(made), access.ErrCredentials)
	require.NoError(t, in("correct horse battery"))

	require.Equal(t, "user 1, \"jane\", is disabled\n", does(t, env, "user", "disable", "jane"))
	require.Contains(t, does(t, env, "user", "list"), "disabled ")
	require.ErrorIs(t, in("correct horse battery"), access.ErrCredentials)
	require.Equal(t, "user 1, \"jane\", is enabled\n", does(t, env, "user", "enable", "Jane"))
	require.NoError(t, in("correct horse battery"))
	require.Equal(t, "user 1, \"jane\", is deleted\n", does(t, env, "user", "delete", "jane"))

	require.NoError(t, os.WriteFile(file, []byte("short\n"), 0o600))
	for want, args := range map[string][]string{
		"--may is required: what the user may do, of config": {"create", "a"},
		`--may is "fly"; there are config`:                   {"create", "a", "--may", "fly"},
		"the name is required":                               {"create", "", "--may", "sync"},
		"the password has 5 bytes; it must have":             {"create", "a", "--may", "sync", "--password-file", file},
		"--password-file: open ":                             {"password", "a", "--password-file", file + ".missing"},
		`user "joe": there is no such user`:                  {"disable", "joe"},
		`there is no such user: ` + "`":                      {"password", "joe"},
	} {
		require.ErrorContains(t, invoke(t, env, append([]string{"user"}, args...)...).err, want)
	}
}

// A new installation has no token. `migrate` says so, and one command makes the first; it can stand in a script that runs at each start.
func testFirstToken(t *testing.T, _ testkit.Database, env variables) {
	require.Contains(t, invoke(t, env, "migrate").stderr, "`erpconnector token create --first`")
	p := invoke(t, env, "token", "create", "--first")
	require.NoError(t, p.err)
	require.Regexp(t, `^erpc_\S+\n$`, p.out)
	require.Contains(t, p.stderr, `token 1, "admin"`)
	require.Empty(t, invoke(t, env, "migrate").stderr)
	p = invoke(t, env, "token", "create", "--first")
	require.NoError(t, p.err)
	require.Empty(t, p.out)
	require.Equal(t, "there are tokens or users already, so nothing was made\n", p.stderr)
	require.Error(t, invoke(t, env, "token", "create", "--first", "name").err)
	require.Error(t, invoke(t, env, "token", "create", "--first", "--may", "sync").err)
	require.Error(t, invoke(t, env, "token", "create").err)
}
