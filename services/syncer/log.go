package syncer

import (
	"context"
	"log/slog"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
)

// What the log says of an order: where it stands and by which numbers it is found. Never the payload, the answer, or the
// words of an error, which may hold the customer's data; those stand in the order's record.

func (w *work) order() []any {
	s := w.value.Sync
	return []any{"order_increment_id", s.OrderIncrementID, "source", s.Source, "sync_id", s.SyncID, "generation", s.Generation}
}

// logCall is said before the ERP is called.
func (s *Syncer) logCall(ctx context.Context, w *work, payload []byte) {
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	sync := w.value.Sync
	s.log.DebugContext(ctx, "erp is called", append(w.order(), "attempt", sync.Attempts+1, "max_attempts", sync.MaxAttempts,
		"idempotency_key", sync.IdempotencyKey, "bytes", len(payload), "url", erphttp.Target(s.settings.Current()))...)
}

// logAnswer is said when the ERP has answered, or will not.
func (s *Syncer) logAnswer(ctx context.Context, w *work, r erphttp.Reply) {
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	o := w.decision
	s.log.DebugContext(ctx, "erp answered", append(w.order(), "attempt", o.After.Attempts, "http_status", r.StatusCode,
		"bytes", len(r.Body), "took_ms", o.took.Milliseconds(), "outcome", o.name(), "error_code", o.After.ErrorCode)...)
}

// logHandled is the one line of each record, once what it came to is committed.
func (s *Syncer) logHandled(w *work) {
	level := slog.LevelInfo
	if outcomeOf(w) == "failed" {
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, "order handled", w.logFields()...)
}

func (w *work) logFields() []any {
	fields := append(w.order(), "outcome", outcomeOf(w), "topic", w.part.topic, "partition", w.part.id, "offset", w.record.Offset)
	if len(w.endings) > 0 {
		ended := w.endings[0].Sync
		fields = append(fields, "status", ended.Status, "error_code", ended.ErrorCode, "closed_by", ended.ClosedBy)
	}
	o := w.decision
	if o == nil {
		return fields
	}
	fields = append(fields, "attempt", o.After.Attempts, "max_attempts", o.After.MaxAttempts, "took_ms", o.took.Milliseconds())
	if o.response != nil {
		fields = append(fields, "http_status", o.response.Status)
	}
	if len(w.endings) == 0 { // a retry follows
		fields = append(fields, "status", o.After.Status, "error_code", o.After.ErrorCode, "next_attempt_at", o.Retry)
	}
	return fields
}
