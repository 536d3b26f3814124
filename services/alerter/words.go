package alerter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// describe puts a change into words. A change of which nothing is told needs none.
func (c *conditions) describe(ctx context.Context, change domain.AlertChange, f finding) (alert.Data, error) {
	if change.Event == domain.AlertNothing {
		return alert.Data{}, nil
	}
	switch change.Kind {
	case domain.AlertOrdersFailed:
		return c.describeFailed(ctx, change)
	case domain.AlertBreaker:
		return describeBreaker(change, f), nil
	case domain.AlertBacklog:
		return describeBacklog(change, f), nil
	case domain.AlertQuarantine:
		return alert.Data{
			Text: growing(change, "event", "in the quarantine: it could not be accepted", "in the quarantine: they could not be accepted", "The quarantine is empty."),
			Next: "erpconnector quarantine list",
		}, nil
	case domain.AlertDeadLetters:
		return alert.Data{
			Text: growing(change, "dead letter", "open: nobody could read the record", "open: nobody could read the records", "No dead letter is open."),
			Next: "erpconnector deadletter list",
		}, nil
	case domain.AlertAudit:
		return describeAudit(change, f), nil
	}
	return alert.Data{}, nil
}

// counted is "1 order" or "2 orders".
func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// growing says how many there are, and how many of them are new.
func growing(c domain.AlertChange, what, one, many, over string) string {
	if c.Event == domain.AlertResolved {
		return over
	}
	text := fmt.Sprintf("%s %s.", counted(c.Level, what)+" are", many)
	if c.Level == 1 {
		text = fmt.Sprintf("%s %s.", counted(c.Level, what)+" is", one)
	}
	if c.Event == domain.AlertRepeated {
		text = fmt.Sprintf("%d more: ", c.More) + text
	}
	return text
}

// describeFailed names the error, by the text that its orders have in common: what differs between them stands there as #.
func (c *conditions) describeFailed(ctx context.Context, change domain.AlertChange) (alert.Data, error) {
	if change.Subject == domain.AlertOthers {
		return alert.Data{
			Text: failedText(change, fmt.Sprintf("errors beyond the %d that have alerts of their own", maxGroups)),
			Next: "GET /rest/V1/erpconnector/syncs/errors?status=failed",
		}, nil
	}
	id, err := strconv.ParseInt(change.Subject, 10, 64)
	if err != nil {
		return alert.Data{}, fmt.Errorf("the group of errors %q: %w", change.Subject, err)
	}
	var g domain.ErrorGroup
	var first, last time.Time
	err = c.pool.QueryRow(ctx, `SELECT http_status, error_code, text, erp_code, field, first_seen, last_seen FROM vendor_erp_sync_error_group WHERE group_id = $1`, id).
		Scan(&g.HTTPStatus, &g.Code, &g.Text, &g.Answer.Code, &g.Answer.Field, &first, &last)
	if errors.Is(err, pgx.ErrNoRows) { // a rebuild may have made the groups anew
		return alert.Data{Text: failedText(change, "an error that is not known any more")}, nil
	}
	if err != nil {
		return alert.Data{}, fmt.Errorf("reading the group of errors %d: %w", id, err)
	}
	d := alert.Data{
		Text: failedText(change, named(g)), Next: "GET /rest/V1/erpconnector/syncs?status=failed&error_group=" + change.Subject,
		Details: map[string]any{
			"error": g.Text, "error_code": g.Code, "http_status": g.HTTPStatus, "first_seen": first.UTC(), "last_seen": last.UTC(),
		},
	}
	if g.Answer.Code != "" {
		d.Details["erp_code"] = g.Answer.Code
	}
	if g.Answer.Field != "" {
		d.Details["field"] = g.Answer.Field
	}
	return d, nil
}

func failedText(c domain.AlertChange, what string) string {
	switch c.Event {
	case domain.AlertResolved:
		return "No order is failed any more with: " + what
	case domain.AlertRepeated:
		return fmt.Sprintf("%s failed, which makes %d, with: %s", have(c.More, "more order"), c.Level, what)
	default:
		return fmt.Sprintf("%s failed with: %s", have(c.Level, "order"), what)
	}
}

// have is "1 order has" or "2 orders have".
func have(n int64, what string) string {
	if n == 1 {
		return counted(n, what) + " has"
	}
	return counted(n, what) + " have"
}

// named is the error in a line.
func named(g domain.ErrorGroup) string {
	text, about := g.Text, []string{}
	if g.Code != "" {
		about = append(about, string(g.Code))
	}
	if g.Answer.Code != "" {
		about = append(about, "the ERP's code "+g.Answer.Code)
	}
	if g.Answer.Field != "" {
		about = append(about, "field "+g.Answer.Field)
	}
	if len(about) > 0 {
		text += " (" + strings.Join(about, ", ") + ")"
	}
	if g.HTTPStatus != 0 {
		text = fmt.Sprintf("HTTP %d: %s", g.HTTPStatus, text)
	}
	return text
}

func describeBreaker(c domain.AlertChange, f finding) alert.Data {
	d := alert.Data{Next: "erpconnector erp status", Details: map[string]any{"state": f.breaker.State, "by_hand": f.breaker.ByHand}}
	if c.Event == domain.AlertResolved {
		d.Text = "The breaker is closed: all calls go out to the ERP."
		return d
	}
	d.Text = fmt.Sprintf("The breaker is %s: calls to the ERP are held back, and orders wait.", f.breaker.State)
	if f.breaker.StoppedWhy != "" {
		d.Text += " Why: " + f.breaker.StoppedWhy
		d.Details["why"] = f.breaker.StoppedWhy
	}
	if f.breaker.StoppedSince != nil {
		d.Details["stopped_since"] = f.breaker.StoppedSince
	}
	return d
}

func describeBacklog(c domain.AlertChange, f finding) alert.Data {
	waits, next := "order", "GET /rest/V1/erpconnector/syncs?status=queued&sort=updated_at, erpconnector erp status"
	over := "No order waits for too long any more."
	if c.Subject == backlogOutbox {
		waits, next, over = "event in the commerce outbox", "the log of ingest", "No event waits in the commerce outbox for too long any more."
	}
	if c.Event == domain.AlertResolved {
		return alert.Data{Text: over}
	}
	return alert.Data{
		Text: fmt.Sprintf("The oldest %s waits since %s, for %s.", waits, f.since[c.Subject].Format(time.RFC3339), (time.Duration(c.Level) * time.Second).Round(time.Second)),
		Next: next, Details: map[string]any{"since": f.since[c.Subject]},
	}
}

func describeAudit(c domain.AlertChange, f finding) alert.Data {
	if c.Subject == auditNotDone {
		return describeAuditNotDone(c, f)
	}
	d := alert.Data{
		Text: "The audit finds no break any more.", Next: "erpconnector audit",
		Details: map[string]any{"at": f.audit.At.UTC(), "breaks_by_kind": f.audit.Found},
	}
	if c.Event != domain.AlertResolved {
		d.Text = fmt.Sprintf("The audit of %s has found %s: orders are not where they should be.", f.audit.At.UTC().Format(time.RFC3339), counted(c.Level, "break"))
	}
	return d
}

func describeAuditNotDone(c domain.AlertChange, f finding) alert.Data {
	if c.Event == domain.AlertResolved {
		return alert.Data{Text: "An audit has been done again.", Next: "erpconnector audit"}
	}
	run := f.notDone
	text := "An audit could not be done"
	if c.Level > 1 {
		text = fmt.Sprintf("The last %d audits could not be done", c.Level)
	}
	if run.Error != nil {
		text += ": " + *run.Error
	}
	return alert.Data{
		Text: text, Next: "GET /rest/V1/erpconnector/audits/" + strconv.FormatInt(run.ID, 10),
		Details: map[string]any{"run_id": strconv.FormatInt(run.ID, 10), "asked_by": run.AskedBy, "ended_at": run.EndedAt},
	}
}
