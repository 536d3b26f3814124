package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/services/audit"
	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// auditFlags are what the command is asked.
type auditFlags struct {
	from, until, source string
	json, alert         bool
	limit               int
}

// auditCommand answers one question: is every accepted order where it should be?
//
//	2 orders accepted = 1 ended + 1 alive + 0 not requested + 0 broken, at 2024-01-15T10:30:00Z; 0 breaks
func auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use: "audit", Short: "Count what was accepted, relayed, ended and alive, by order, and name the orders that break the sum",
		Long: "Counts, per source, the orders that were accepted, those of which all is in Kafka, those that have ended and those that are\n" +
			"alive, and lists every order of which this does not add up, with what it means and what to do. Services go on meanwhile.\n" +
			"Nothing is written but the run itself, which `GET …/audits` and the console show, where the role may write.\n" +
			"Exit code: 0 nothing is broken, 1 something is, 2 it could not be told.",
		Example: "  erpconnector audit\n" +
			"  erpconnector audit --from 2024-01-15 --to-time 2024-01-16 --source default\n" +
			"  erpconnector audit --json | jq 'select(.break)'\n" +
			"  erpconnector audit --alert     # each night, say",
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := runAudit(cmd, f)
			if err != nil {
				return coded{fmt.Errorf("could not tell: %w", err), CouldNotTell}
			}
			if err := printReport(cmd.OutOrStdout(), report, f.json); err != nil {
				return coded{err, CouldNotTell}
			}
			if !report.Conserved() {
				return errors.New("orders are broken: docs/audit.md says what each kind means")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "orders whose first event was accepted at this time or later: 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)")
	flags.StringVar(&f.until, "to-time", "", "and before this time; they are followed to their end, whenever that is")
	flags.StringVar(&f.source, "source", "", "orders of this shop only")
	flags.BoolVar(&f.json, "json", false, "one JSON object a line: each break, each source, the sum")
	flags.BoolVar(&f.alert, "alert", false, "note what was found, so that an alert tells of it")
	flags.IntVar(&f.limit, "limit", 1000, "breaks, and redrives, that are listed at most, 0: all; all are counted")
	return tellsByCode(cmd)
}

// runAudit shows how far the log is read on a terminal only: it would be noise in the output of a cron job.
func runAudit(cmd *cobra.Command, f auditFlags) (*audit.Report, error) {
	p, err := f.params()
	if err != nil {
		return nil, err
	}
	shown := newBar(cmd.ErrOrStderr(), true)
	defer shown.clear()
	var report *audit.Report
	err = withLog(cmd.Context(), func(_ config.Config, brokers kafka.Config, pool *pgxpool.Pool) (err error) {
		p.Kafka, p.Pool = brokers, pool
		err = inTheTable(cmd, pool, planOf(p), shown.clear, func(ctx context.Context, _ audits.Plan, progress func(done, of int64)) (audits.Result, error) {
			p.OnProgress = func(done, of int64) {
				shown.draw(done, of)
				progress(done, of)
			}
			if report, err = audit.Run(ctx, p); err != nil {
				return audits.Result{}, err
			}
			return app.AuditResult(report), nil
		})
		if err != nil || !f.alert {
			return err
		}
		return noteAudit(cmd.Context(), pool, report)
	})
	return report, err
}

// planOf is what the table of runs says that an audit was asked.
func planOf(p audit.Params) audits.Plan {
	plan := audits.Plan{Kind: audits.Audit}
	if !p.From.IsZero() {
		plan.From = &p.From
	}
	if !p.To.IsZero() {
		plan.To = &p.To
	}
	if p.Source != "" {
		plan.Source = &p.Source
	}
	return plan
}

// inTheTable does the work of a command as a run that the table of runs holds, or says in a line why the table does not. clear takes away
// what stands on the terminal's line.
func inTheTable(cmd *cobra.Command, pool *pgxpool.Pool, p audits.Plan, clear func(), work audits.Work) error {
	_, err := audits.NewStore(pool).RunHere(cmd.Context(), p, osUser(), work, func(why error) {
		clear()
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "the table of runs does not tell of this one:", domain.Printable(why.Error()))
	})
	return err
}

// noteAudit keeps the verdict where the alerter looks.
func noteAudit(ctx context.Context, pool *pgxpool.Pool, r *audit.Report) error {
	found := map[string]int{}
	for kind, n := range r.Broken {
		found[string(kind)] = n
	}
	return alert.NewStore(pool).NoteAudit(ctx, alert.Audit{At: r.At, Breaks: int64(r.ViolationsAll), Found: found})
}

// params tells of all wrong flags at once: an audit takes long, and is started again for each of them.
func (f auditFlags) params() (audit.Params, error) {
	p := audit.Params{Source: f.source, Limit: f.limit}
	var problems []error
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"--from", f.from, &p.From}, {"--to-time", f.until, &p.To}} {
		if t.text != "" {
			at, err := parseTime(t.flag, t.text)
			*t.into, problems = at, append(problems, err)
		}
	}
	if f.source != "" {
		problems = append(problems, domain.ValidateKnownSource(f.source))
	}
	if f.limit < 0 {
		problems = append(problems, fmt.Errorf("--limit %d must not be negative", f.limit))
	}
	if !p.From.IsZero() && !p.To.IsZero() && !p.From.Before(p.To) {
		problems = append(problems, fmt.Errorf("the range ends at %s, which is not after its start", p.To.Format(time.RFC3339)))
	}
	return p, errors.Join(problems...)
}

// AuditVerdict is the last line of an audit as JSON.
type AuditVerdict struct {
	Conserved bool               `json:"conserved"`
	At        time.Time          `json:"at"`
	Relayed   int64              `json:"relayed_up_to"`
	KeptFrom  int64              `json:"outbox_kept_from"`
	Total     audit.Counts       `json:"total"`
	Breaks    int                `json:"breaks"`
	Listed    int                `json:"breaks_listed"`
	ByKind    map[audit.Kind]int `json:"breaks_by_kind"`
	Redrives  int                `json:"redrives"`
}

// printReport prints the table of counts, then each break with what it means, then the sum that must hold. The sum stands last, where
// the eye of an operator is when the command ends.
func printReport(w io.Writer, r *audit.Report, asJSON bool) error {
	if asJSON {
		return printReportJSON(w, r)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "\taccepted\trelayed\tunder way\t|\tsuccess\tfailed\t|\toutbox\theld\trequested\tparked\tdue\tset aside\t|\tnot requested\tbroken\t")
	for _, c := range r.Sources {
		printCounts(t, c.Source, *c)
	}
	if total := r.Total(); len(r.Sources) != 1 {
		printCounts(t, "all", total)
	}
	if err := t.Flush(); err != nil { // tells of all that was written
		return err
	}
	for _, b := range r.Violations {
		if _, err := fmt.Fprintf(w, "\n%s: %s\n  %s\n", named(b), b.Kind, b.Means); err != nil {
			return err
		}
	}
	if len(r.Redrives) > 0 {
		older := ""
		if left := r.RedrivesAll - len(r.Redrives); left > 0 {
			older = fmt.Sprintf(" (%d older ones not listed)", left)
		}
		if _, err := fmt.Fprintf(w, "\nredriven from the dead letters%s:\n", older); err != nil {
			return err
		}
	}
	for _, d := range r.Redrives {
		_, err := fmt.Fprintf(w, "  %s  %s %s (generation %d): %s\n", d.At.Format(time.RFC3339), domain.Printable(d.Source), domain.Printable(d.Order),
			d.Generation, shorten(d.What, 600))
		if err != nil {
			return err
		}
	}
	return printSum(w, r)
}

// printCounts keeps the columns in groups, divided by bars: how far orders came, how they ended, where the living ones are.
func printCounts(w io.Writer, name string, c audit.Counts) {
	a := c.Alive
	_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t|\t%d\t%d\t|\t%d\t%d\t%d\t%d\t%d\t%d\t|\t%d\t%d\t\n", domain.Printable(name), c.Accepted, c.Relayed, c.UnderWay,
		c.Success, c.Failed, a.Outbox, a.Held, a.Requested, a.Parked, a.Due, a.SetAside, c.NotRequested, c.Broken)
}

// named is the order of a break, and where it shows.
func named(b audit.Violation) string {
	parts := []string{fmt.Sprintf("%s %s", b.Source, b.Order)}
	if b.SyncID != 0 {
		parts[0] += fmt.Sprintf(" (sync %d, generation %d)", b.SyncID, b.Generation)
	}
	if where := b.Where(); where != "" {
		parts = append(parts, where)
	}
	return domain.Printable(strings.Join(parts, ", "))
}

// printSum says what the sum is of. Where retention has taken rows of the outbox, less could be compared, and it says so: an audit
// must not seem to have looked at what is gone.
func printSum(w io.Writer, r *audit.Report) error {
	total := r.Total()
	kept := ""
	if r.KeptFrom > 1 {
		kept = fmt.Sprintf("; the outbox is kept from id %d on, older records were compared with the accepted events alone", r.KeptFrom)
	}
	more := ""
	if left := r.ViolationsAll - len(r.Violations); left > 0 {
		more = fmt.Sprintf(" (%d not listed)", left)
	}
	_, err := fmt.Fprintf(w, "\n%s accepted = %d ended + %d alive + %d not requested + %d broken, at %s%s; %s%s\n",
		counted(total.Accepted, "order"), total.Success+total.Failed, total.Alive.Sum(), total.NotRequested, total.Broken,
		r.At.UTC().Format(time.RFC3339), kept, counted(r.ViolationsAll, "break"), more)
	return err
}

// counted is "1 order" or "2 orders".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printReportJSON prints the verdict last, so that a reader of a stream has all breaks when it comes:
//
//	erpconnector audit --json | tail -1 | jq .conserved
func printReportJSON(w io.Writer, r *audit.Report) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, b := range r.Violations {
		if err := out.Encode(b); err != nil {
			return err
		}
	}
	for _, d := range r.Redrives {
		if err := out.Encode(d); err != nil {
			return err
		}
	}
	for _, c := range r.Sources {
		if err := out.Encode(c); err != nil {
			return err
		}
	}
	return out.Encode(AuditVerdict{
		Conserved: r.Conserved(), At: r.At.UTC(), Relayed: r.Relayed, KeptFrom: r.KeptFrom, Total: r.Total(),
		Breaks: r.ViolationsAll, Listed: len(r.Violations), ByKind: r.Broken, Redrives: r.RedrivesAll,
	})
}
