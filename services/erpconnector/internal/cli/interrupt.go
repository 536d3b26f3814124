package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// interrupted is the exit code of a command that a signal stopped, as shells have it for Ctrl-C.
const interrupted = 130

// runProgram runs the command line and returns the exit code. The first Ctrl-C or SIGTERM ends the command's context, so that
// it cleans up; a second one ends the process at once.
func runProgram(cmd *cobra.Command, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := togetherHint(cmd.ExecuteContext(ctx))
	said, code := outcome(err, ctx.Err() != nil)
	if said != "" {
		_, _ = fmt.Fprintln(stderr, "erpconnector:", domain.PrintableLines(said))
	}
	return code
}

// exclusive is how cobra says that flags do not go together.
var exclusive = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(\S+) (\S+).*\] were all set$`)

// togetherHint says in other words than cobra's that flags do not go together.
func togetherHint(err error) error {
	if err == nil {
		return nil
	}
	if found := exclusive.FindStringSubmatch(err.Error()); found != nil {
		return fmt.Errorf("--%s and --%s do not go together: leave one of them out", found[1], found[2])
	}
	return err
}

// outcome is what a command's end is told as, and its exit code.
func outcome(err error, signalled bool) (said string, code int) {
	var own coded
	switch {
	case err == nil:
		return "", 0
	case !signalled:
		return err.Error(), ExitCode(err)
	case errors.Is(err, context.Canceled):
		return "stopped before it was done", interrupted
	case errors.As(err, &own):
		return err.Error(), own.code
	default:
		return err.Error(), interrupted
	}
}

// gcPercent is how much is allocated, in percent of what is in use, before memory is collected; GOGC says another number. Go's own is 100.
// Services have some 10 MB in use and allocate fast: at 200 a burst of orders takes 2 % less CPU, and `up` 30 MB more.
const gcPercent = 200

// runServices runs them until ctx ends. An error of theirs exits with 1, though it was a signal that stopped them.
func runServices(ctx context.Context, cfg config.Config, names []string, started func()) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := app.Run(ctx, cfg, names, started); err != nil {
		return coded{err, 1}
	}
	return nil
}

// readAll reads to the end, or until ctx ends: what is typed at a terminal knows no context.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		content []byte
		err     error
	}
	read := make(chan result, 1)
	go func() {
		content, err := io.ReadAll(r)
		read <- result{content, err}
	}()
	select {
	case got := <-read:
		return got.content, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
