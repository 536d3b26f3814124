package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	other := errors.New("an order is in the ERP twice")
	canceled := fmt.Errorf("reading the log: %w", context.Canceled)
	for name, c := range map[string]struct {
		err       error
		signalled bool
		said      string
		code      int
	}{
		"done":                               {nil, false, "", 0},
		"done_all_the_same":                  {nil, true, "", 0},
		"failed":                             {other, false, "an order is in the ERP twice", 1},
		"failed_with_a_code":                 {coded{other, CouldNotTell}, false, "an order is in the ERP twice", CouldNotTell},
		"stopped":                            {canceled, true, "stopped before it was done", 130},
		"stopped_a_command_with_codes":       {coded{canceled, CouldNotTell}, true, "stopped before it was done", 130},
		"stopped_and_found_something":        {other, true, "an order is in the ERP twice", 130},
		"services_that_did_not_stop_in_time": {coded{context.DeadlineExceeded, 1}, true, "context deadline exceeded", 1},
		"something_else_was_cancelled_by_no_signal": {canceled, false, "reading the log: context canceled", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, code := outcome(c.err, c.signalled)
			require.Equal(t, c.said, said)
			require.Equal(t, c.code, code)
		})
	}
}

// Whoever waits for what is typed can be stopped.
func TestReadAllEndsWithItsContext(t *testing.T) {
	t.Parallel()
	content, err := readAll(t.Context(), strings.NewReader("event"))
	require.NoError(t, err)
	require.Equal(t, "event", string(content))
	never, w := io.Pipe()
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = readAll(ctx, never)
	require.ErrorIs(t, err, context.Canceled)
}

// What could not be read is told, however much came before it.
func TestReadAllTellsOfAFailure(t *testing.T) {
	t.Parallel()
	content, err := readAll(t.Context(), io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, "half", string(content))
	large := strings.Repeat("x", 9<<20)
	content, err = readAll(t.Context(), strings.NewReader(large))
	require.NoError(t, err)
	require.Len(t, content, len(large))
}

// Every command that goes to a server ends with the context that Ctrl-C has ended, and none calls that a fault of the server.
func TestCommandsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	env := variables{"DATABASE_URL": "postgres://u:p@127.0.0.1:1/d", "KAFKA_BROKERS": "127.0.0.1:1", "HTTP_ADDR": "127.0.0.1:1"}
	for _, args := range []string{
		"migrate", "topics ensure", "topics check", "quarantine list", "quarantine send --all", "deadletter list", "deadletter show 1", "deadletter redrive 1 --reason x",
		"cron run", "settings", "settings set debug=true", "settings history", "replay --order 1", "health", "verify", "rebuild", "audit", "repair --yes",
	} {
		cmd := Root()
		cmd.SetArgs(strings.Fields(args))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		err := cmd.ExecuteContext(WithEnvironment(stopped(t), env.lookup))
		said, code := outcome(err, true)
		require.Equal(t, "stopped before it was done", said, args)
		require.Equal(t, interrupted, code, args)
	}
}
