package accept

import (
	"context"
	"log/slog"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// Log tells the log what became of events, once that has committed: at debug each one that was accepted, or was before, and
// aloud what contradicts or differs from what was. It names places in an event and never what stands there.
func (a *Accepter) Log(ctx context.Context, results []Result) {
	debug := a.log.Enabled(ctx, slog.LevelDebug)
	for _, r := range results {
		if debug && r.Result.Taken() {
			a.log.DebugContext(ctx, "event accepted", append(r.logFields(), "result", r.Result, "status", r.Status, "warnings", len(r.Warnings), "older", r.Older)...)
		}
		if r.Result == Conflict {
			a.log.WarnContext(ctx, "event contradicts what was accepted before", append(r.logFields(), "first_pointer", r.Errors[0].Pointer)...)
		}
		if r.Differs {
			a.log.InfoContext(ctx, "event differs from what was accepted under its id", r.logFields()...)
		}
		if r.Released > 0 {
			a.log.InfoContext(ctx, "invoices released from the quarantine: their order came", append(r.logFields(), "events", r.Released)...)
		}
	}
}

// LogRefused tells the log of events that the shop was told are refused.
func (a *Accepter) LogRefused(ctx context.Context, results []Result) {
	for _, r := range results {
		if r.Result == Refused {
			a.log.InfoContext(ctx, "event refused", "event_id", Loggable(r.EventID), "first_pointer", r.Errors[0].Pointer, "problems", len(r.Errors))
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

// LoggableSource is the source for the log, empty when it is none that a shop may have: then it may be anything.
func LoggableSource(source string) string {
	if domain.ValidateSource(source) != nil {
		return ""
	}
	return source
}

// Loggable is the event id for the log, empty when it is none that an event may have.
func Loggable(id string) string {
	if len(id) > event.MaxEventIDBytes {
		return ""
	}
	return domain.Printable(id)
}
