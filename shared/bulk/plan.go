package bulk

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// Command is what a job does to each of its orders.
type Command string

// The commands, by their names in paths and on the command line.
const (
	Resync  Command = "resync"
	Cancel  Command = "cancel"
	Settle  Command = "settle"
	SendNow Command = "send-now"
)

// Commands are all.
var Commands = []Command{Resync, Cancel, Settle, SendNow}

var requests = map[Command]domain.Request{
	Resync: domain.RequestResync, Cancel: domain.RequestCancel, Settle: domain.RequestSettle, SendNow: domain.RequestSendNow,
}

// MaxSyncIDs is how many orders can be named one by one.
const MaxSyncIDs = 10_000

// MaxCanary is the largest canary.
const MaxCanary = 1000

// maxReasonBytes leaves room for the job's number, which goes before the reason.
const maxReasonBytes = 460

// Plan says which command is for which orders.
type Plan struct {
	Command Command
	NewKey  bool          // of Resync: under a new idempotency key, so that the ERP books again what it has booked
	Reason  string        // stands in the log of each order
	Canary  int           // of Resync: how many orders must succeed before the others go out; 0: none
	Source  string        // the one shop that it is about; empty: all
	Filter  *syncs.Filter // which orders; nil: SyncIDs says it
	SyncIDs []int64
	Words   Words // the filter, for people
}

// Words are a filter in the words of GET /syncs.
type Words map[string]string

// withoutPersonalData are the words as they may be kept.
func (w Words) withoutPersonalData() Words {
	out := maps.Clone(w)
	if _, named := out["email"]; named {
		out["email"] = "****"
	}
	return out
}

// request is the command for one order.
func (p Plan) request() domain.Request {
	if p.NewKey {
		return domain.RequestAnew
	}
	return requests[p.Command]
}

// Check finds what cannot be taken. The errors name the members of a body.
func (p Plan) Check() (wrong []problem.FieldError) {
	add := func(pointer, code, detail string) {
		wrong = append(wrong, problem.FieldError{Pointer: pointer, Code: code, Detail: detail})
	}
	if p.NewKey && p.Command != Resync {
		add("/newKey", problem.CodeMisplaced, "goes with resync only")
	}
	switch {
	case p.Canary < 0 || p.Canary > MaxCanary:
		add("/canary", problem.CodeRange, fmt.Sprintf("is %d; it must be a whole number from 0 to %d", p.Canary, MaxCanary))
	case p.Canary > 0 && p.Command != Resync:
		add("/canary", problem.CodeMisplaced, "goes with resync only")
	}
	switch n := len(p.SyncIDs); {
	case p.Filter == nil && n == 0:
		add("/sync_ids", problem.CodeRequired, "is required, or filter: which orders")
	case n > MaxSyncIDs:
		add("/sync_ids", problem.CodeRange, fmt.Sprintf("has %d entries; at most %d are taken: select more by a filter", n, MaxSyncIDs))
	}
	wrongReason := orders.Command{Request: p.request(), Reason: p.Reason}.Check()
	if len(wrongReason) == 0 && len(p.Reason) > maxReasonBytes {
		add("/reason", problem.CodeTooLong, fmt.Sprintf("has %d bytes; at most %d are taken: the job's number goes before it", len(p.Reason), maxReasonBytes))
	}
	return append(wrong, wrongReason...)
}

func (p Plan) encode() ([]byte, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("keeping a bulk command: %w", err)
	}
	return raw, nil
}

func decodePlan(raw []byte) (p Plan, err error) {
	if err = json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("reading a bulk command: %w", err)
	}
	return p, nil
}
