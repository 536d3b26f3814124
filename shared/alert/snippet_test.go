package alert

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The receiver's check in docs/alerts.md takes what the connector signs, and nothing else.
func TestTheCheckInTheDocumentation(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		testkit.NotRun(t, "the check in docs/alerts.md", "there is no python3")
	}
	page, err := os.ReadFile("../../docs/alerts.md")
	require.NoError(t, err)
	_, code, found := strings.Cut(string(page), "```python\n")
	require.True(t, found)
	code, _, _ = strings.Cut(code, "```")
	const secret, id, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_1", `{"type": "test", "data": {"text": "Größe"}}`
	now := time.Now()
	check := func(at time.Time, body string) string {
		signed := signature.Standard([]string{NewSecret().Reveal(), secret}, id, at, []byte(`{"type": "test", "data": {"text": "Größe"}}`))
		script := code + `
import sys
print(is_ours(sys.argv[1], {"webhook-id": sys.argv[2], "webhook-timestamp": sys.argv[3], "webhook-signature": sys.argv[4]}, sys.argv[5].encode()))
`
		out, err := exec.CommandContext(t.Context(), python, "-c", script, secret, id, strconv.FormatInt(at.Unix(), 10), signed, body).CombinedOutput() //nolint:gosec // our own words
		require.NoError(t, err, "%s", out)
		return strings.TrimSpace(string(out))
	}
	require.Equal(t, "True", check(now, body))
	require.Equal(t, "False", check(now, body+" "))
	require.Equal(t, "False", check(now.Add(-time.Hour), body))
}
