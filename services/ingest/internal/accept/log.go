package accept

import (
	"context"
	"log/slog"
)

// Log logs what became of events, once that has committed. Accepted ones and duplicates are at debug. What contradicts, or differs
// from, what was accepted before is a warning. Log names places in an event, and never their content.
func (a *Accepter) Log(ctx context.Context, results []Result) {
	debug := a.log.Enabled(ctx, slog.LevelDebug)
	for _, r := range results {
		if debug && r.Result.Taken() {
			a.log.DebugContext(ctx, "event accepted", append(r.logFields(), "result", r.Result, "status", r.Status, "warnings", len(r.Warnings), "older", r.Older)...)
		}
		if r.Result == Conflict {
			a.log.WarnContext(ctx, "event contradicts what was accepted before", r.refusedFields()...)
		}
		if r.Differs {
			a.log.InfoContext(ctx, "event differs from what was accepted under its id", r.logFields()...)
		}
		if r.Released > 0 {
			a.log.InfoContext(ctx, "invoices released from the quarantine: their order came", append(r.logFields(), "events", r.Released)...)
		}
	}
}

// LogRefused logs events that were refused with an answer to the shop.
func (a *Accepter) LogRefused(ctx context.Context, results []Result) {
	for _, r := range results {
		if r.Result == Refused {
			a.log.InfoContext(ctx, "event refused", r.refusedFields()...)
		}
	}
}

func (r Result) logFields() []any {
	fields := []any{"event_id", r.EventID, "order_increment_id", r.OrderIncrementID}
	if r.Source != "" {
		fields = append(fields, "source", r.Source)
	}
	if r.SyncID != nil {
		fields = append(fields, "sync_id", *r.SyncID)
	}
	return fields
}
