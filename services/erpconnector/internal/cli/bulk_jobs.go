package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

const (
	followInterval = time.Second
	resultsPage    = 1000
)

// followBulk prints a line whenever a job has gone on, until it has ended or was paused. A job that has not done all well is an error.
func followBulk(cmd *cobra.Command, s *bulk.Store, j bulk.Job) (err error) {
	last := ""
	for {
		if line := jobLine(j, time.Now()); line != last {
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
				return err
			}
			last = line
		}
		switch {
		case j.State == bulk.Paused:
			return fmt.Errorf("bulk job %d is paused; see erpconnector bulk results %d, then erpconnector bulk resume %d, or stop %d", j.ID, j.ID, j.ID, j.ID)
		case j.State.IsEnd() && j.Failed+j.Refused > 0:
			return fmt.Errorf("%d orders failed and %d were refused: erpconnector bulk results %d", j.Failed, j.Refused, j.ID)
		case j.State.IsEnd():
			return nil
		}
		if !run.Sleep(cmd.Context(), followInterval) {
			return fmt.Errorf("bulk job %d goes on by itself: %w", j.ID, cmd.Context().Err())
		}
		if j, err = s.Get(cmd.Context(), j.ID); err != nil {
			return err
		}
	}
}

// jobLine is how a job goes, in a line.
func jobLine(j bulk.Job, now time.Time) string {
	line := fmt.Sprintf("%s: %d of %d done (%d succeeded, %d failed, %d refused), %d under way", j.State, j.Done(), j.Selected, j.Succeeded, j.Failed, j.Refused, j.Sent)
	if end := j.EstimatedEnd(now); end != nil && j.Waiting() > 0 {
		line += ", ends about " + end.Format(time.TimeOnly)
	}
	if j.Why != nil {
		line += ": " + domain.Printable(*j.Why)
	}
	return line
}

// seconds is a number of seconds for people.
func seconds(n int64) string { return (time.Duration(n) * time.Second).String() }

func bulkListCommand() *cobra.Command {
	var state string
	var before int64
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List bulk jobs, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--state", bulk.State(state), bulk.States); err != nil {
				return err
			}
			if limit < 1 {
				return fmt.Errorf("--limit is %d; it must be at least 1", limit)
			}
			return withBulk(cmd.Context(), func(s *bulk.Store, _ setting.Settings) error {
				jobs, more, err := s.List(cmd.Context(), bulk.Listing{State: bulk.State(state), Before: before, Limit: limit})
				if err != nil {
					return err
				}
				next := ""
				if more {
					next = nextPage(cmd, nil, fmt.Sprint(jobs[len(jobs)-1].ID))
				}
				return printJobs(cmd.OutOrStdout(), jobs, next)
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only jobs that are selecting, running, paused, stopped or done")
	cmd.Flags().Int64Var(&before, "after", 0, "start after this id")
	cmd.Flags().IntVar(&limit, "limit", 50, "jobs at most")
	return cmd
}

// oneOf refuses what is none of the names; empty is none asked for.
func oneOf[T ~string](flag string, value T, names []T) error {
	if value == "" || slices.Contains(names, value) {
		return nil
	}
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return fmt.Errorf("%s is %q: %s", flag, value, spelling.Hint(string(value), texts))
}

func printJobs(w io.Writer, jobs []bulk.Job, next string) error {
	if len(jobs) == 0 {
		_, err := fmt.Fprintln(w, "there are no such bulk jobs")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tCOMMAND\tSTATE\tSTARTED\tBY\tORDERS\tSUCCEEDED\tFAILED\tREFUSED\tREASON")
	for _, j := range jobs {
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", j.ID, j.Command, j.State, j.CreatedAt.UTC().Format(time.DateTime), shown(shorten(j.CreatedBy, 40)),
			j.Selected, j.Succeeded, j.Failed, j.Refused, shown(shorten(j.Reason, 60)))
	}
	if next != "" {
		_, _ = fmt.Fprintf(t, "there are more: %s\n", next)
	}
	return t.Flush()
}

func bulkShowCommand() *cobra.Command {
	follow := false
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show how a bulk job goes", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := bulkID(args[0])
			if err != nil {
				return err
			}
			return withBulk(cmd.Context(), func(s *bulk.Store, _ setting.Settings) error {
				j, err := s.Get(cmd.Context(), id)
				if err != nil {
					return fmt.Errorf("bulk job %d: %w", id, err)
				}
				if follow {
					return followBulk(cmd, s, j)
				}
				return printJob(cmd.OutOrStdout(), j)
			})
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "print a line whenever it has gone on, until it ends or pauses")
	return cmd
}

func printJob(w io.Writer, j bulk.Job) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, values ...any) { _, _ = fmt.Fprintf(t, name+"\t"+format+"\n", values...) }
	at := func(when time.Time) string { return when.UTC().Format(time.RFC3339) }
	line("job", "%d, %s", j.ID, j.Command)
	line("state", "%s since %s by %s", j.State, at(j.Since), domain.Printable(j.ChangedBy))
	if j.Why != nil {
		line("why", "%s", domain.Printable(*j.Why))
	}
	line("orders", "%d selected; %d succeeded, %d failed, %d refused; %d under way, %d waiting", j.Selected, j.Succeeded, j.Failed, j.Refused, j.Sent, j.Waiting())
	if j.CanaryIs != bulk.NoCanary {
		line("canary", "%s, %s", counted(j.Canary, "order"), j.CanaryIs)
	}
	if end := j.EstimatedEnd(time.Now()); end != nil {
		line("ends about", "%s", at(*end))
	}
	line("started", "%s by %s", at(j.CreatedAt), domain.Printable(j.CreatedBy))
	line("reason", "%s", cmp.Or(domain.Printable(j.Reason), "-"))
	if len(j.Words) > 0 {
		words, _ := json.Marshal(j.Words) // texts
		line("filter", "%s", domain.Printable(string(words)))
	}
	return t.Flush()
}

func bulkChangeCommand(c bulk.Change) *cobra.Command {
	var reason string
	short := map[bulk.Change]string{
		bulk.Pause:  "Let no further order of a job get its command, until it is resumed",
		bulk.Resume: "Let a paused job go on, also one whose canary failed",
		bulk.Stop:   "End a job: orders that are under way go on, the others are left alone",
	}
	cmd := &cobra.Command{
		Use: string(c) + " ID", Short: short[c], Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := bulkID(args[0])
			if err != nil {
				return err
			}
			if err := domain.ReasonText.Check(reason); err != nil {
				return fmt.Errorf("--reason %w", err)
			}
			return withBulk(cmd.Context(), func(s *bulk.Store, _ setting.Settings) error {
				j, err := s.Change(cmd.Context(), id, c, osUser(), reason)
				var state *bulk.StateError
				if err != nil && !errors.As(err, &state) {
					return fmt.Errorf("bulk job %d: %w", id, err)
				}
				if err != nil {
					return err
				}
				return printJob(cmd.OutOrStdout(), j)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at the job")
	return cmd
}

func bulkResultsCommand() *cobra.Command {
	var result string
	var after int64
	cmd := &cobra.Command{
		Use: "results ID", Short: "Print what became of each order of a job", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := bulkID(args[0])
			if err = errors.Join(err, oneOf("--result", bulk.Result(result), bulk.Results)); err != nil {
				return err
			}
			return withBulk(cmd.Context(), func(s *bulk.Store, _ setting.Settings) error {
				if _, err := s.Get(cmd.Context(), id); err != nil {
					return fmt.Errorf("bulk job %d: %w", id, err)
				}
				return printItems(cmd, s, id, after, bulk.Result(result))
			})
		},
	}
	cmd.Flags().StringVar(&result, "result", "", "only orders that are waiting, sent, succeeded, failed or refused")
	cmd.Flags().Int64Var(&after, "after", 0, "start after this place")
	return cmd
}

// printItems prints a line for each order, a page in memory at a time.
func printItems(cmd *cobra.Command, s *bulk.Store, id, after int64, result bulk.Result) error {
	out := bufio.NewWriter(cmd.OutOrStdout())
	for {
		page, err := s.Results(cmd.Context(), id, after, result, resultsPage)
		if err != nil || len(page) == 0 {
			return errors.Join(out.Flush(), err)
		}
		for _, i := range page {
			status, said := "-", ""
			if i.Status != nil {
				status = string(*i.Status)
			}
			if i.Code != nil {
				said += "  " + *i.Code
			}
			if i.LastError != nil {
				said += "  " + shorten(*i.LastError, 200)
			}
			_, _ = fmt.Fprintf(out, "%d  %d  %s  %s  %s  %s%s\n", i.Place, i.SyncID, domain.Printable(i.Source), shorten(i.OrderIncrementID, 60), i.Result, status, said)
		}
		after = page[len(page)-1].Place
	}
}
