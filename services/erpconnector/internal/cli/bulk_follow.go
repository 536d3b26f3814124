package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/run"
)

const followInterval = time.Second

// followBulk prints a line whenever a job has gone on, until it has ended or was paused; on a terminal a bar shows it, and the last line.
// A job that has not done all well is an error.
func followBulk(cmd *cobra.Command, c connector, j client.BulkJob) (err error) {
	shown := newBar(cmd.ErrOrStderr(), onTerminal(cmd.OutOrStdout()))
	last := ""
	for {
		ended, told := followed(j)
		line := jobLine(j)
		if line != last && (ended || shown.out == nil) {
			shown.clear()
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
				return err
			}
		}
		last = line
		if ended {
			return told
		}
		shown.drawText(barText(j.Orders.Done, j.Orders.Selected, "orders") + ", " + endsAbout(j))
		if !run.Sleep(cmd.Context(), followInterval) {
			shown.clear()
			return fmt.Errorf("bulk job %d goes on by itself: %w", j.JobId, cmd.Context().Err())
		}
		if j, err = c.bulkJob(cmd.Context(), j.JobId); err != nil {
			shown.clear()
			return err
		}
	}
}

// followed reports whether there is nothing more to wait for, and what is to be told then.
func followed(j client.BulkJob) (ended bool, told error) {
	state, o := bulk.State(j.State), j.Orders
	switch {
	case state == bulk.Paused:
		return true, fmt.Errorf("bulk job %d is paused; see erpconnector bulk results %d, then erpconnector bulk resume %d, or stop %d", j.JobId, j.JobId, j.JobId, j.JobId)
	case state.IsEnd() && o.Failed+o.Refused > 0:
		return true, fmt.Errorf("%d orders failed and %d were refused: erpconnector bulk results %d", o.Failed, o.Refused, j.JobId)
	}
	return state.IsEnd(), nil
}

// jobLine is how a job goes, in a line.
func jobLine(j client.BulkJob) string {
	o := j.Orders
	line := fmt.Sprintf("%s: %d of %d done (%d succeeded, %d failed, %d refused), %d under way", j.State, o.Done, o.Selected, o.Succeeded, o.Failed, o.Refused, o.Sent)
	if j.EstimatedEnd != nil && o.Waiting > 0 {
		line += ", " + endsAbout(j)
	}
	if j.Why != nil {
		line += ": " + domain.Printable(*j.Why)
	}
	return line
}

func endsAbout(j client.BulkJob) string {
	if j.EstimatedEnd == nil {
		return j.State
	}
	return "ends about " + shownTime(*j.EstimatedEnd, time.TimeOnly)
}

// seconds is a number of seconds for people.
func seconds(n int64) string { return (time.Duration(n) * time.Second).String() }
