package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/setting"
)

type switched struct{ debug atomic.Bool }

func (s *switched) Current() setting.Settings { return setting.Settings{Debug: s.debug.Load()} }

// An operator switches debug mode on and off while the process runs.
func TestTheLogObeysTheDebugSetting(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := New(&out, slog.LevelWarn)
	made := log.With("service", "x").WithGroup("g") // before anybody knows of the settings
	say := func() int {
		out.Reset()
		made.Debug("d")
		made.Info("i")
		made.Warn("w")
		return strings.Count(out.String(), "\n")
	}
	require.Equal(t, 1, say(), "the process's own level")
	var s switched
	FollowDebug(log, &s)
	require.Equal(t, 1, say())
	s.debug.Store(true)
	require.Equal(t, 3, say())
	require.Contains(t, out.String(), `"msg":"d"`)
	s.debug.Store(false)
	require.Equal(t, 1, say())
	FollowDebug(slog.New(slog.DiscardHandler), &s) // another's log keeps its level
}
