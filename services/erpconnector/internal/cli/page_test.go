package cli

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// Only the id was told: the second page of `quarantine list --code refused` held entries of every kind.
func TestTheNextPageIsOfTheSameList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"quarantine", "list"}, "erpconnector quarantine list --after 7"},
		{[]string{"quarantine", "list", "--code", "refused", "--limit=2"}, "erpconnector quarantine list --code refused --limit 2 --after 7"},
		{[]string{"deadletter", "list", "--after", "3", "--order", "a b", "--source", "outlet"}, "erpconnector deadletter list --order 'a b' --source outlet --after 7"},
		{[]string{"deadletter", "redrive", "--topic", "t", "--dry-run", "--force=false"}, "erpconnector deadletter redrive --dry-run=true --force=false --topic t --after 7"},
		{[]string{"settings", "history", "cron_batch", "--limit", "1"}, "erpconnector settings history cron_batch --limit 1 --after 7"},
	} {
		cmd, rest, err := Root().Find(c.args)
		require.NoError(t, err)
		require.NoError(t, cmd.ParseFlags(rest))
		require.Equal(t, c.want, nextPage(cmd, cmd.Flags().Args(), "after", "7"))
	}
}

// A word that was quoted is the same word again for a shell.
func TestShellWord(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"000000123": "000000123", "/var/lib/x-1/api-token": "/var/lib/x-1/api-token", "": "''", "a b": "'a b'", "it's": `'it'\''s'`,
		"$(id)": "'$(id)'", "a;b": "'a;b'", "größe": "'größe'", "'": `''\'''`,
	} {
		require.Equal(t, want, shellWord(text))
		if sh, err := exec.LookPath("sh"); err == nil { // Windows has none
			out, err := exec.CommandContext(t.Context(), sh, "-c", "printf %s "+want).Output()
			require.NoError(t, err)
			require.Equal(t, text, string(out))
		}
	}
}
