package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/repair"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// repairFlags are what the command is asked.
type repairFlags struct {
	yes, thisServer, json bool
	limit                 int
}

// repairCommand only looks unless --yes is said. So it can be run whenever the relay has stopped, to see why.
//
//	erpconnector repair         # 1: something differs, and what
//	erpconnector repair --yes   # 0: mended
func repairCommand() *cobra.Command {
	var f repairFlags
	cmd := &cobra.Command{
		Use: "repair", Example: "  erpconnector repair\n  erpconnector repair --yes", Short: "Bring the database and Kafka together again after a failover or a restore; without --yes only say what differs",
		Long: "After a failover to a standby that lagged, or a restore from a backup, Kafka knows more than the database, and the relay\n" +
			"stops. This command names the orders of which that is so, and with --yes restores from Kafka what the database has lost:\n" +
			"events, snapshots, gates and rows of the outbox. What was accepted a second time meanwhile is not relayed a second time.\n" +
			"The relay must not work meanwhile; it does not while it stops. Everything else may go on. Interrupted, call it again.\n" +
			"Exit code: 0 nothing differs (any more), 1 something does, 2 it could not be told or done.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.limit < 0 {
				return coded{fmt.Errorf("--limit is %d; it must not be negative", f.limit), CouldNotTell}
			}
			report, err := runRepair(cmd, f)
			if err != nil {
				return coded{err, CouldNotTell}
			}
			if err := printRepair(cmd.OutOrStdout(), report, f); err != nil {
				return coded{err, CouldNotTell}
			}
			if !report.Mended && !report.Fits() {
				return errors.New("database and Kafka differ; nothing was changed: `erpconnector repair --yes` mends it")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.yes, "yes", false, "mend it")
	flags.BoolVar(&f.thisServer, "this-server", false, "mend it though Kafka was relayed to from another Postgres cluster, or from a server that has replaced this one")
	flags.BoolVar(&f.json, "json", false, "one JSON object a line: each order, then the whole")
	flags.IntVar(&f.limit, "limit", 1000, "orders that are listed at most, 0: all; all are counted")
	return tellsByCode(cmd)
}

// runRepair takes max_attempts from the settings in force: the requests that a repair makes are as those that ingest makes.
func runRepair(cmd *cobra.Command, f repairFlags) (report *repair.Report, err error) {
	err = withLog(cmd.Context(), func(cfg config.Config, brokers kafka.Config, pool *pgxpool.Pool) error {
		inForce, err := setting.NewStore(pool, cfg.Settings, nil).View(cmd.Context())
		if err != nil {
			return err
		}
		report, err = repair.Run(cmd.Context(), repair.Params{
			Kafka: brokers, Pool: pool, Log: logging.Stderr(cfg.LogLevel), Mend: f.yes, ThisServer: f.thisServer, Limit: f.limit,
			MaxAttempts: inForce.Settings.MaxAttempts,
		})
		return err
	})
	return report, err
}

// printRepair prints to a buffer first: a report is on the screen as a whole or not at all.
func printRepair(w io.Writer, r *repair.Report, f repairFlags) error {
	if f.json {
		return printRepairJSON(w, r)
	}
	var b strings.Builder
	p := r.Position
	switch {
	case p.LastID == 0:
		b.WriteString("nothing was ever relayed to this Kafka: there is nothing to repair\n")
	case r.Fits():
		fmt.Fprintf(&b, "row %d, the last that was relayed, is here (Postgres %s); %s of the log%s have their rows: nothing differs\n",
			p.LastID, r.Server, counted(r.Records, "record"), since(r.Since))
	default:
		describeRepair(&b, r)
	}
	if r.Requested > 0 {
		fmt.Fprintf(&b, "\n%s had an invoice in Kafka and no request, which was lost: requested again.\n", counted(r.Requested, "order"))
	}
	if r.Mended {
		b.WriteString("\nDatabase and Kafka fit again: the relay goes on where it stopped, once it is started.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// since is empty when the whole log was compared.
func since(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return " since " + at.UTC().Format(time.RFC3339)
}

// describeRepair says the same before and after a repair, so that the two can be laid side by side.
func describeRepair(b *strings.Builder, r *repair.Report) {
	if r.Mismatch != nil {
		fmt.Fprintf(b, "%s\n\n", r.Mismatch)
	}
	if r.Open {
		b.WriteString("An earlier repair was interrupted.\n\n")
	}
	fmt.Fprintf(b, "Postgres %s, compared with %s of the log%s:\n", r.Server, counted(r.Records, "record"), since(r.Since))
	fmt.Fprintf(b, "  %6d  lost here, restored from Kafka\n", r.Lost)
	fmt.Fprintf(b, "  %6d  accepted here once more and in Kafka already, not relayed again\n", r.Again)
	fmt.Fprintf(b, "  %6d  written here under ids that Kafka has seen, given new ones\n", r.Reused)
	for _, o := range r.Orders {
		var parts []string
		if len(o.Events) > 0 {
			parts = append(parts, "events "+strings.Join(o.Events, ", "))
		}
		if o.Facts > 0 {
			parts = append(parts, fmt.Sprintf("%s of sync %d, generation %d", counted(o.Facts, "fact"), o.SyncID, o.Generation))
		}
		if o.Again > 0 {
			parts = append(parts, counted(o.Again, "row")+" not relayed again")
		}
		if o.Reused > 0 {
			parts = append(parts, counted(o.Reused, "row")+" with new ids")
		}
		b.WriteString("\n" + domain.Printable(o.Key+": "+strings.Join(parts, "; "))) // shops chose the ids
	}
	if len(r.Orders) > 0 {
		fmt.Fprintf(b, "\n\n%s in all", counted(r.OrdersIn, "order"))
		if left := r.OrdersIn - len(r.Orders); left > 0 {
			fmt.Fprintf(b, ", %d not listed (--limit)", left)
		}
		b.WriteString("\n")
	}
}

// repairSum is the last line of a repair as JSON.
type repairSum struct {
	Fits      bool      `json:"fits"`
	Mended    bool      `json:"mended"`
	Mismatch  string    `json:"mismatch,omitempty"`
	Relayed   int64     `json:"relayed_up_to"`
	System    string    `json:"system"`
	Timeline  int       `json:"timeline"`
	Since     time.Time `json:"log_since,omitzero"`
	Records   int       `json:"records_compared"`
	Lost      int       `json:"records_lost"`
	Again     int       `json:"rows_in_kafka_already"`
	Reused    int       `json:"rows_with_ids_of_others"`
	Renamed   int       `json:"orders_with_another_sync_id"`
	Requested int       `json:"orders_requested_again"`
	OrdersIn  int       `json:"orders"`
	OrdersOut int       `json:"orders_listed"`
}

// printRepairJSON prints each order, then the sum, as an audit does.
func printRepairJSON(w io.Writer, r *repair.Report) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, o := range r.Orders {
		if err := out.Encode(o); err != nil {
			return err
		}
	}
	sum := repairSum{
		Fits: r.Fits(), Mended: r.Mended, Relayed: r.Position.LastID, System: r.Server.System, Timeline: r.Server.Timeline, Since: r.Since,
		Records: r.Records, Lost: r.Lost, Again: r.Again, Reused: r.Reused, Renamed: r.Renamed, Requested: r.Requested, OrdersIn: r.OrdersIn, OrdersOut: len(r.Orders),
	}
	if r.Mismatch != nil {
		sum.Mismatch = r.Mismatch.Error()
	}
	return out.Encode(sum)
}
