package audits

import (
	"time"
)

// Kind is what a run does.
type Kind string

// The kinds.
const (
	Audit  Kind = "audit"  // is everything that was accepted still there?
	Verify Kind = "verify" // is the table what the log says?
)

// Kinds are all.
var Kinds = []Kind{Audit, Verify}

// State is where a run stands.
type State string

// The states. The last three are ends.
const (
	Queued    State = "queued" // the scheduler begins it in a moment
	Running   State = "running"
	Done      State = "done"   // it has told: Found says whether it found something
	Failed    State = "failed" // it could not tell; Error says why
	Cancelled State = "cancelled"
)

// States are all.
var States = []State{Queued, Running, Done, Failed, Cancelled}

// Maker is who carries a run out.
type Maker string

// The makers.
const (
	ByScheduler Maker = "scheduler" // for somebody who has asked, or for the setting audit_interval
	ByCommand   Maker = "command"   // `erpconnector audit` or `verify`: in its own process, beside others
)

// BySetting is who has asked for a run that is due by the setting audit_interval.
const BySetting = "setting audit_interval"

// Plan is what somebody asks for. The range and the shop are of an audit only: a verification compares whole tables.
type Plan struct {
	Kind   Kind
	From   *time.Time // orders whose first event was accepted then or later; nil: all
	To     *time.Time // and before that; nil: all up to now
	Source *string    // of this shop only; nil: all
	Reason string
}

// Run is a plan and what has become of it.
type Run struct {
	ID int64
	Plan
	MadeBy    Maker
	AskedBy   string
	AskedAt   time.Time
	State     State
	StartedAt *time.Time // the last time, if it was begun again
	Begun     int        // how often: a process that ran it may have died
	EndedAt   *time.Time
	Done, Of  int64 // offsets of the log: read, and to read
	Error     *string

	Result
}

// Result is what a run has found. It is empty before the run is done.
type Result struct {
	At       *time.Time       // the moment that it is true of
	Counts   map[string]int64 // what was counted, by name
	Found    int64            // how many findings there are
	ByKind   map[string]int64 // of each kind
	Findings []Finding        // the first MaxFindings
}

// Finding is one thing that is not as it should be. It holds no personal data but the order's number.
type Finding struct {
	Kind       string `json:"kind"`
	Source     string `json:"source,omitempty"`
	Order      string `json:"order_increment_id,omitempty"` // empty: the place alone is known
	SyncID     int64  `json:"sync_id,omitempty"`
	Generation int    `json:"generation,omitempty"`
	Where      string `json:"where,omitempty"` // the place in the log, in the outbox or in the table
	Means      string `json:"means"`           // for people: what it means, and what to do
}

// MaxFindings is how many findings of a run are kept. All are counted.
const MaxFindings = 100

// Add counts a finding, and keeps it while there is room.
func (r *Result) Add(f Finding) {
	r.Found++
	if r.ByKind == nil {
		r.ByKind = map[string]int64{}
	}
	r.ByKind[f.Kind]++
	if len(r.Findings) < MaxFindings {
		r.Findings = append(r.Findings, f)
	}
}

// Retention is how long a run that has ended is kept. The newest stays, however old it is.
const Retention = 90 * 24 * time.Hour
