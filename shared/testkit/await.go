package testkit

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Await waits for a channel.
func Await(t testing.TB, what <-chan struct{}) {
	t.Helper()
	select {
	case <-what:
	case <-time.After(Patience):
		require.Fail(t, "waited in vain")
	}
}

// Said returns a log, and a channel that receives a value each time the message is logged.
func Said(message string) (*slog.Logger, <-chan struct{}) {
	said := make(chan struct{}, 100)
	return slog.New(listener{message, said}), said
}

type listener struct {
	message string
	said    chan<- struct{}
}

func (l listener) Enabled(context.Context, slog.Level) bool { return true }
func (l listener) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l listener) WithGroup(string) slog.Handler            { return l }

func (l listener) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.message {
		select {
		case l.said <- struct{}{}:
		default:
		}
	}
	return nil
}
