package syncer

import (
	"context"
	"log/slog"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
)

// The log shows an order's state and the ids to find it by. It never shows the payload, the answer or the text of an
// error, as these may hold the customer's data. They are in the order's record.

// orderFields returns the fields that name the order.
func (t *task) orderFields() []any {
	s := t.value.Sync
	return []any{"order_increment_id", s.OrderIncrementID, "source", s.Source, "sync_id", s.SyncID, "generation", s.Generation}
}

// logCall writes a line before the ERP is called.
func (c *caller) logCall(ctx context.Context, t *task, payload []byte) {
	if !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	sync := t.value.Sync
	c.log.DebugContext(ctx, "erp is called", append(t.orderFields(), "attempt", sync.Attempts+1, "max_attempts", sync.MaxAttempts,
		"idempotency_key", sync.IdempotencyKey, "bytes", len(payload), "url", erphttp.Target(c.settings.Current()))...)
}

// logAnswer writes a line after the call, with the answer or without one.
func (c *caller) logAnswer(ctx context.Context, t *task, r erphttp.Reply) {
	if !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	o := t.outcome
	c.log.DebugContext(ctx, "erp answered", append(t.orderFields(), "attempt", o.After.Attempts, "http_status", r.StatusCode,
		"bytes", len(r.Body.Start), "took_ms", o.took.Milliseconds(), "outcome", o.name(), "error_code", o.After.ErrorCode)...)
}

// logHandled writes the one line of each record, once its outcome is committed.
func (c *committer) logHandled(t *task) {
	level := slog.LevelInfo
	if name := t.outcomeName(); name == "failed" || name == "postponed" {
		level = slog.LevelWarn
	}
	c.log.Log(context.Background(), level, "order handled", t.logFields()...)
	if o := t.outcome; o != nil && o.warning != "" {
		c.log.Warn("the ERP has the order, and its number there is not known", append(t.orderFields(), "attempt", o.After.Attempts, "reason", o.warning)...)
	}
}

// logFields returns the fields of the line "order handled".
func (t *task) logFields() []any {
	fields := append(t.orderFields(), "outcome", t.outcomeName(), "topic", t.Record.Topic, "partition", t.Record.Partition, "offset", t.Record.Offset)
	if len(t.ends) > 0 {
		ended := t.ends[0].Sync
		fields = append(fields, "status", ended.Status, "error_code", ended.ErrorCode, "closed_by", ended.ClosedBy)
	}
	if later := t.postponed; later != nil {
		fields = append(fields, "error_code", later.ErrorCode, "next_attempt_at", later.NextAttemptAt)
	}
	o := t.outcome
	if o == nil {
		return fields
	}
	if o.After.Lookup != "" {
		fields = append(fields, "lookup", o.After.Lookup)
	}
	fields = append(fields, "attempt", o.After.Attempts, "max_attempts", o.After.MaxAttempts, "took_ms", o.took.Milliseconds())
	if o.response != nil {
		fields = append(fields, "http_status", o.response.Status)
	}
	if len(t.ends) == 0 { // it will be retried
		fields = append(fields, "status", o.After.Status, "error_code", o.After.ErrorCode, "next_attempt_at", o.Retry)
	}
	return fields
}
