package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// An operator finds what was refused, corrects it, sends it again, and the order reaches the ERP.
func TestQuarantineFromRefusalToTheErp(t *testing.T) {
	t.Parallel()
	broker := testkit.EmbeddedBroker(t)
	cfg := configured(t, broker)
	p := start(t, cfg)
	conn, err := pgx.Connect(t.Context(), cfg.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	bad := invoice("bad", "1")
	bad["type"] = "invoice.paid"
	require.NoError(t, pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		publishEvents(t, tx, []any{bad, invoice("good", "2")})
		return nil
	}))
	p.becomes("2", ended("success"))

	quarantine := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := cli.Root()
		cmd.SetArgs(append([]string{"quarantine"}, args...))
		cmd.SetOut(&out)
		err := cmd.ExecuteContext(withEnvironment(t.Context(), map[string]string{"DATABASE_URL": cfg.DatabaseURL}))
		return out.String(), err
	}
	list, err := quarantine("list")
	require.NoError(t, err)
	require.Contains(t, list, `refused: /type is "invoice.paid"; it must be order.placed, order.updated or invoice.created`)
	id, _, _ := strings.Cut(strings.Split(list, "\n")[1], " ")

	shown, err := quarantine("show", id)
	require.NoError(t, err)
	require.Contains(t, shown, "erpconnector quarantine send "+id)
	out, err := quarantine("send", id)
	require.ErrorContains(t, err, "1 of 1 were refused again and stay in the quarantine")
	require.Contains(t, out, id+"  refused: /type")

	file := filepath.Join(t.TempDir(), "event.json")
	payload, err := quarantine("show", id, "--payload")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(payload, "invoice.paid", "invoice.created", 1)), 0o600))
	out, err = quarantine("send", id, "--event", file)
	require.NoError(t, err)
	require.Equal(t, id+"  accepted: order 1 is queued\n", out)
	p.becomes("1", ended("success"))
	list, err = quarantine("list")
	require.NoError(t, err)
	require.Equal(t, "nothing is in the quarantine\n", list)

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"send"}, "name entries by their ids, or give --all"},
		{[]string{"send", "one"}, `"one" is no id`},
		{[]string{"send", id}, "1 of 1 are not in the quarantine (any more)"},
		{[]string{"show", id}, "there is no such entry in the quarantine"},
		{[]string{"send", id, "--event", file}, "there is no such entry in the quarantine"},
		{[]string{"send", id, "--event", file + ".txt"}, "reading the event"},
	} {
		_, err := quarantine(c.args...)
		require.ErrorContains(t, err, c.want)
	}
}
