package httpapi

import (
	"context"
	"net"
	"net/http"
)

type stoppingKey struct{}

// tellStop lets handlers know when the server stops: see OnStop.
func tellStop(s *http.Server) {
	stopping, stop := context.WithCancel(context.Background())
	s.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.Background(), stoppingKey{}, stopping)
	}
	s.RegisterOnShutdown(stop)
}

// OnStop calls f, in a goroutine of its own, once the server stops. An answer that has no end must end then, as Stop waits for it; others
// are given the time to finish. Call release when the answer has ended. Where no server serves the request, as in tests, f is never called.
func OnStop(ctx context.Context, f func()) (release func() bool) {
	stopping, ok := ctx.Value(stoppingKey{}).(context.Context)
	if !ok {
		return func() bool { return true }
	}
	return context.AfterFunc(stopping, f)
}
