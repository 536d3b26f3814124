package bulk

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// State is where a job stands.
type State string

// The states. The last two are ends.
const (
	Selecting State = "selecting" // its orders are being written down
	Running   State = "running"
	Paused    State = "paused"
	Stopped   State = "stopped" // by a person: the rest is left alone
	Done      State = "done"
)

// States are all.
var States = []State{Selecting, Running, Paused, Stopped, Done}

// IsEnd reports whether nothing comes after the state.
func (s State) IsEnd() bool { return s == Stopped || s == Done }

// CanaryState is where a job's canary stands.
type CanaryState string

// The states of a canary.
const (
	NoCanary     CanaryState = "none"
	CanaryOpen   CanaryState = "open"   // no other orders go out yet
	CanaryPassed CanaryState = "passed" // all have succeeded
	CanaryFailed CanaryState = "failed" // one has not, so the job was paused
	CanaryWaived CanaryState = "waived" // it had failed, and a person let the job go on
)

// Result is what became of an order in a job.
type Result string

// The results. The last three are ends.
const (
	Waiting   Result = "waiting" // the order has not got the command
	Sent      Result = "sent"    // it has, and is under way
	Succeeded Result = "succeeded"
	Failed    Result = "failed"
	Refused   Result = "refused" // the command is not possible in the order's state
)

// Results are all.
var Results = []Result{Waiting, Sent, Succeeded, Failed, Refused}

// Job is a bulk command that was started.
type Job struct {
	ID        int64
	Command   Command
	NewKey    bool
	Reason    string
	Source    *string // the one shop that it is about; nil: all
	Words     Words   // the filter; empty: the orders were named one by one
	Canary    int
	CanaryIs  CanaryState
	State     State
	Why       *string   // of the state
	Since     time.Time // of the state
	DoneThen  int64     // how many orders had ended at that time
	ChangedBy string    // who brought the state about
	CreatedAt time.Time
	CreatedBy string
	EndedAt   *time.Time

	Selected  int64
	Sent      int64 // under way now
	Succeeded int64
	Failed    int64
	Refused   int64
}

// columns are a Job's, in the order of its fields.
const columns = `job_id, command, new_key, reason, source, words, canary, canary_is, state, why, since, done_then, changed_by, created_at, created_by, ended_at,
	selected, sent, succeeded, failed, refused`

// Done is how many orders have come to their end.
func (j Job) Done() int64 { return j.Succeeded + j.Failed + j.Refused }

// Waiting is how many orders have not got the command yet.
func (j Job) Waiting() int64 { return j.Selected - j.Done() - j.Sent }

// EstimatedEnd is when the job ends at the pace that it has had since it began, or was resumed; nil while that is not known.
func (j Job) EstimatedEnd(now time.Time) *time.Time {
	done, passed := j.Done()-j.DoneThen, now.Sub(j.Since)
	if j.State != Running || done <= 0 || passed <= 0 {
		return nil
	}
	left := time.Duration(float64(passed) / float64(done) * float64(j.Selected-j.Done()))
	return new(domain.NormalizeTime(now.Add(left)))
}

// request is the command for one order.
func (j Job) request() domain.Request {
	return Plan{Command: j.Command, NewKey: j.NewKey}.request()
}

// canaryLeft is how many orders may still go out for the canary; -1: any number.
func (j Job) canaryLeft() int {
	if j.CanaryIs != CanaryOpen {
		return -1
	}
	return max(0, j.Canary-int(j.Sent+j.Succeeded+j.Failed))
}
