// Package logging makes the log that services write: JSON lines, whose level the debug setting lowers while they run.
package logging

import (
	"io"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/erpconnector/erpconnector/shared/setting"
)

// New writes JSON lines of the level and above; of debug and above while the debug setting is on, once FollowDebug
// has told where to look. docs/logs.md lists the lines.
func New(w io.Writer, level slog.Level) *slog.Logger {
	l := &logLevel{least: level}
	return slog.New(&logHandler{Handler: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l}), level: l})
}

// FollowDebug lets a log of New, and all that were made of it, obey the debug setting; it does nothing to others.
func FollowDebug(log *slog.Logger, settings setting.Reader) {
	if h, ok := log.Handler().(*logHandler); ok {
		h.level.settings.Store(&settings)
	}
}

// logHandler remembers the level of the log it is the root of.
type logHandler struct {
	slog.Handler
	level *logLevel
}

type logLevel struct {
	least    slog.Level
	settings atomic.Pointer[setting.Reader]
}

// Level is asked for each line.
func (l *logLevel) Level() slog.Level {
	if s := l.settings.Load(); s != nil && (*s).Current().Debug {
		return min(l.least, slog.LevelDebug)
	}
	return l.least
}

// Stderr is the log of a process: New on standard error. The level is the variable LOG_LEVEL's; info when it is none.
func Stderr(level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return New(os.Stderr, l)
}
