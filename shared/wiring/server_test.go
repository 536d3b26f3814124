package wiring

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// listening is a server whose listener a test can break.
type listening struct {
	*httpapi.Server

	listener net.Listener
}

func (l *listening) Listen(ctx context.Context) (net.Listener, error) {
	var err error
	l.listener, err = l.Server.Listen(ctx)
	return l.listener, err
}

// start runs the server as Platform does.
func start(t *testing.T) (app *fx.App, s *listening, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	logger := slog.New(slog.NewTextHandler(log, nil))
	s = &listening{Server: httpapi.NewServer(config.HTTP{Addr: "127.0.0.1:0"}, nil, nil, nil, logger)}
	app = fx.New(fx.NopLogger, fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner) { lc.Append(serving(s, sd, logger)) }))
	require.NoError(t, app.Start(t.Context()))
	resp, err := http.Get("http://" + s.listener.Addr().String() + "/livez")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return app, s, log
}

// A process whose HTTP server had died lived on: it took no request, and no supervisor started it again.
func TestAServerThatDiesEndsTheProcess(t *testing.T) {
	t.Parallel()
	app, s, log := start(t)
	ended := app.Wait()
	require.NoError(t, s.listener.Close())
	select {
	case end := <-ended:
		require.Equal(t, 1, end.ExitCode)
	case <-time.After(time.Minute):
		require.Fail(t, "the process goes on")
	}
	require.NoError(t, app.Stop(t.Context()))
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), `msg="http server ended; the process stops" error=`)
}

func TestAServerThatIsStoppedSaysNothing(t *testing.T) {
	t.Parallel()
	app, _, log := start(t)
	require.NoError(t, app.Stop(t.Context()))
	require.Empty(t, log.String())
}
