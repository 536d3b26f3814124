package stage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// The product warns in words that the harness looks for. With other words no alarm would ever be found, and a record that
// was consumed twice would stay unseen.
func TestTheAlarmIsTheProductsOwnMessage(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join("..", "..", "..", "services", "syncer", "caller.go"))
	require.NoError(t, err)
	for _, text := range []string{`Warn("` + alarmMessage + `"`, `"alarm", `, `"order_increment_id", `, `"source", `, `"generation", `} {
		require.Contains(t, string(source), text)
	}
}

func TestAlarmsAreReadFromEveryLog(t *testing.T) {
	t.Parallel()
	logs := t.TempDir()
	const alarm = `{"time":"2026-01-01T13:00:00+01:00","level":"WARN","msg":"gate and log are at odds","alarm":"the generation has ended","order_increment_id":"7","source":"shop-b","sync_id":3,"generation":2}`
	for name, lines := range map[string][]string{
		"syncer-0.log": {"--- syncer-0 started", `{"msg":"other"}`, alarm, strings.Repeat("x", 200<<10), alarm},
		"syncer-1.log": {alarm},
		"relay-0.log":  {"panic: no JSON"},
		"notes.txt":    {alarm},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(logs, name), []byte(strings.Join(lines, "\n")), 0o600))
	}
	got, err := Alarms(logs)
	require.NoError(t, err)
	want := history.Alarm{
		At: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), Target: "syncer-0", Text: "the generation has ended", Source: "shop-b", Order: "7", Generation: 2,
	}
	other := want
	other.Target = "syncer-1"
	require.Equal(t, []history.Alarm{want, want, other}, got)
	require.NoError(t, os.WriteFile(filepath.Join(logs, "syncer-2.log"), []byte(strings.TrimSuffix(alarm, "}")), 0o600))
	_, err = Alarms(logs)
	require.ErrorContains(t, err, "syncer-2.log")
}

func TestTheEmbeddedBrokersPortAndFolder(t *testing.T) {
	t.Parallel()
	port, dir, ok := parseEmbedded("9092=/tmp/a=b")
	require.True(t, ok)
	require.Equal(t, 9092, port)
	require.Equal(t, "/tmp/a=b", dir)
	for _, wrong := range []string{"", "9092", "port=/tmp"} {
		_, _, ok := parseEmbedded(wrong)
		require.False(t, ok, wrong)
	}
}
