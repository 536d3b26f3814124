package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

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
