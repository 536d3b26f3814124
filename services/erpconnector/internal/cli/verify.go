package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/logging"
)

// coded is an error with an exit code of its own; others exit with 1.
type coded struct {
	error

	code int
}

// Unwrap lets errors.Is find what the code is about, as context.Canceled after Ctrl-C.
func (c coded) Unwrap() error { return c.error }

// ExitCode is what a process exits with after the error of a command.
func ExitCode(err error) int {
	var c coded
	if errors.As(err, &c) {
		return c.code
	}
	return 1
}

// CouldNotTell is the exit code of commands for which 1 says that something was found.
const CouldNotTell = 2

// tellsByCode makes misuse of such a command exit with CouldNotTell.
func tellsByCode(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := cobra.NoArgs(cmd, args); err != nil {
			return coded{err, CouldNotTell}
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return coded{flagHint(cmd, err), CouldNotTell} })
	return cmd
}

// verifyCommand changes nothing: `rebuild` does.
func verifyCommand() *cobra.Command {
	return tellsByCode(&cobra.Command{
		Use: "verify", Example: "  erpconnector verify", Short: "Compare vendor_erp_sync and the timeline with the log, and name the rows and columns that differ",
		Long: "Folds the whole log into a table of its own and compares it with the live one at one cut, and the lines of the timeline\n" +
			"with the records, while the services go on. `GET …/audits` and the console show the run.\n" +
			"Exit code: 0 they are equal, 1 they differ, 2 they could not be compared.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v projector.Verdict
			show, done := progress(cmd.ErrOrStderr())
			defer done()
			err := withLog(cmd.Context(), func(cfg config.Config, brokers kafka.Config, pool *pgxpool.Pool) (err error) {
				found := clearing(done, printDifference(cmd.OutOrStdout()))
				work := func(ctx context.Context, _ audits.Plan, progress func(done, of int64)) (r audits.Result, err error) {
					v, err = projector.Verify(ctx, brokers, pool, logging.Stderr(cfg.LogLevel), func(p projector.Progress) {
						show(p)
						progress(p.Done, p.Of)
					}, func(d projector.Difference) {
						found(d)
						r.Add(app.DifferenceFound(d))
					})
					r.Counts = app.VerifyCounts(v)
					return r, err
				}
				return inTheTable(cmd, pool, audits.Plan{Kind: audits.Verify}, done, work)
			})
			if err != nil {
				return coded{fmt.Errorf("could not compare: %w", err), CouldNotTell}
			}
			done()
			return printVerdict(cmd.OutOrStdout(), v)
		},
	})
}

// withLog is for commands that read the log and work on the database.
func withLog(ctx context.Context, use func(cfg config.Config, brokers kafka.Config, pool *pgxpool.Pool) error) error {
	cfg, err := CompleteConfig(environment(ctx))
	if err != nil {
		return err
	}
	return withDatabase(ctx, func(_ config.Config, pool *pgxpool.Pool) error {
		if err := reachKafka(ctx, cfg.Kafka()); err != nil {
			return err
		}
		return use(cfg, cfg.Kafka(), pool)
	})
}

// progress shows how far the log is read: by a bar on a terminal, and else by a line once a second at most. done takes the bar away.
func progress(w io.Writer) (show func(projector.Progress), done func()) {
	shown := newBar(w, true)
	if shown.out == nil {
		return progressLines(w), func() {}
	}
	return func(p projector.Progress) { shown.draw(p.Done, p.Of) }, shown.clear
}

// progressLines say how far the log is read, and how fast.
func progressLines(w io.Writer) func(projector.Progress) {
	const every = time.Second
	printed := time.Now()
	var before int64 = -1
	return func(p projector.Progress) {
		if before < 0 {
			before = p.Done
		}
		passed := time.Since(printed)
		if passed < every {
			return
		}
		_, _ = fmt.Fprintf(w, "%d of %d offsets of the log, %.0f a second\n", p.Done, p.Of, float64(p.Done-before)/passed.Seconds())
		printed, before = time.Now(), p.Done
	}
}

// clearing takes a bar away before a difference is printed.
func clearing(done func(), print func(projector.Difference)) func(projector.Difference) {
	return func(d projector.Difference) {
		done()
		print(d)
	}
}

// printDifference names a row by its order, a line of the timeline by its place in the log, and a dead letter by its place too. Those
// two carry no order, and a letter no sync id: so they are told apart.
func printDifference(w io.Writer) func(projector.Difference) {
	return func(d projector.Difference) {
		row, table := fmt.Sprintf("%s %s (sync %d)", d.Source, d.OrderIncrementID, d.SyncID), "in the live table"
		if d.Line != "" {
			row, table = fmt.Sprintf("timeline %s (sync %d)", d.Line, d.SyncID), "on the timeline"
			if d.SyncID == 0 {
				row, table = "dead letter "+d.Line, "in the table of dead letters"
			}
		}
		row = domain.Printable(row)
		switch d.OnlyIn {
		case "live":
			_, _ = fmt.Fprintf(w, "%s: only %s\n", row, table)
		case "log":
			_, _ = fmt.Fprintf(w, "%s: only in the log\n", row)
		default:
			_, _ = fmt.Fprintf(w, "%s: %s: live %s, log %s\n", row, d.Column, domain.Printable(d.Live), domain.Printable(d.Log))
		}
	}
}

// printVerdict prints the counts also when all is well: an empty comparison, of a wrong prefix perhaps, shows by its zeros.
func printVerdict(w io.Writer, v projector.Verdict) error {
	t, l := v.Timeline, v.DeadLetters
	_, err := fmt.Fprintf(w, "%d rows compared at offset %d of the log in all: %d differ, %d only in the live table, %d only in the log\n"+
		"%d lines of the timeline compared: %d differ, %d only on the timeline, %d only in the log\n"+
		"%d dead letters compared: %d differ, %d only in the table, %d only in the log\n",
		v.Rows, v.Offsets, v.Differing, v.OnlyInLive, v.OnlyInLog, t.Compared, t.Differing, t.OnlyInLive, t.OnlyInLog,
		l.Compared, l.Differing, l.OnlyInLive, l.OnlyInLog)
	if err == nil && !v.Equal() {
		err = errors.New("the live table is not what the log says: docs/verify.md says what to do")
	}
	return err
}
