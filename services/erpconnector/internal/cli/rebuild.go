package cli

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/logging"
)

// rebuildCommand mends what verify finds. The live table is read and written all the while; readers see the old rows or the new ones.
// It refuses rows that the log does not know unless --drop-unknown is said: nothing could bring them back.
func rebuildCommand() *cobra.Command {
	var how projector.Rebuilding
	cmd := &cobra.Command{
		Use: "rebuild", Example: "  erpconnector verify || erpconnector rebuild", Short: "Build vendor_erp_sync anew from the log, and put it in the live one's place",
		Long: "Folds the whole log into a table beside the live one, which goes on, prints what differs, and swaps the two in one short\n" +
			"transaction. Lines that the timeline lacks, or has otherwise, it writes at once. Interrupted, it goes on where it was when\n" +
			"it is called again.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			show, done := progress(cmd.ErrOrStderr())
			defer done()
			how.OnProgress, how.Found = show, clearing(done, printDifference(cmd.OutOrStdout()))
			return withLog(cmd.Context(), func(cfg config.Config, brokers kafka.Config, pool *pgxpool.Pool) error {
				v, err := projector.Rebuild(cmd.Context(), brokers, pool, logging.Stderr(cfg.LogLevel), how)
				if err != nil {
					return err
				}
				done()
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "the live table is the one built from the log now: %d rows differed, %d were added, %d dropped\n"+
					"the timeline, as far as this run has read the log: %d lines were corrected, %d added; %d that the log does not hold stay\n"+
					"the table of dead letters, likewise: %d were corrected, %d added; %d that the topic does not hold stay\n",
					v.Differing, v.OnlyInLog, v.OnlyInLive, v.Timeline.Differing, v.Timeline.OnlyInLog, v.Timeline.OnlyInLive,
					v.DeadLetters.Differing, v.DeadLetters.OnlyInLog, v.DeadLetters.OnlyInLive)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&how.Anew, "anew", false, "begin at the log's start, whatever an interrupted rebuild has left")
	cmd.Flags().BoolVar(&how.DropUnknown, "drop-unknown", false, "swap also when the live table has rows that the log does not know")
	return cmd
}
