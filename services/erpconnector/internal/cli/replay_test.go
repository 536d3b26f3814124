package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
)

func TestReplayRefusesWhatItCannotDo(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "name an order"},
		{"--order 1 --from 2024-01-15", "name an order"},
		{"--order 1 --resume file", "go with --from"},
		{"--order 1 --topics " + event.TopicSuccess, "go with --from"},
		{"--from yesterday --to-time now", `--to-time "now" is no time`},
		{"--from 2024-01-15 --topics a", `"a" is no topic of the log`},
		{"--from 2024-01-15 --to-time 2024-01-15", "is not after its start"},
		{"--from 2024-01-15", "KAFKA_BROKERS is not set"},
	} {
		cmd := Root()
		cmd.SetArgs(append([]string{"replay"}, strings.Fields(c.args)...))
		require.ErrorContains(t, cmd.ExecuteContext(WithEnvironment(t.Context(), func(string) (string, bool) { return "", false })), c.want, "%s", c.args)
	}
}
