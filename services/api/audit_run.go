package api

import (
	"time"

	"github.com/erpconnector/erpconnector/shared/audits"
)

// auditRun is a run as the answers show it.
type auditRun struct {
	ID        int64            `json:"audit_id"`
	Kind      audits.Kind      `json:"kind"`
	From      *string          `json:"from"`    // null: all
	ToTime    *string          `json:"to_time"` // null: all up to now
	Source    *string          `json:"source"`  // null: all shops
	Reason    string           `json:"reason"`
	State     string           `json:"state"`   // queued, running, done (it has told), failed (it could not tell) or cancelled
	MadeBy    audits.Maker     `json:"made_by"` // scheduler, or command: erpconnector audit or verify
	AskedAt   string           `json:"asked_at"`
	AskedBy   string           `json:"asked_by"`
	StartedAt *string          `json:"started_at"` // the last time, if it was begun again
	Begun     int              `json:"begun"`      // how often: a process that ran it may have died
	EndedAt   *string          `json:"ended_at"`
	Progress  auditProgress    `json:"progress"`
	Error     *string          `json:"error"`            // why it could not tell, or who has cancelled it
	At        *string          `json:"at"`               // an audit: the moment that the counts are of
	Clean     *bool            `json:"clean"`            // nothing was found; null: it is not done
	Counts    map[string]int64 `json:"counts,omitempty"` // what was counted; left out until it is done
	Found     int64            `json:"found"`            // how many findings there are
	ByKind    map[string]int64 `json:"found_by_kind,omitempty"`
}

// auditProgress are offsets of the log.
type auditProgress struct {
	Done int64 `json:"done"`
	Of   int64 `json:"of"` // 0: not known yet
}

// wholeAuditRun is a run with the first of its findings.
type wholeAuditRun struct {
	auditRun

	Findings []audits.Finding `json:"findings"`
}

func auditRunOf(r audits.Run) auditRun {
	at := func(t *time.Time) *string {
		if t == nil {
			return nil
		}
		return new(t.UTC().Format(time.RFC3339))
	}
	out := auditRun{
		ID: r.ID, Kind: r.Kind, From: at(r.From), ToTime: at(r.To), Source: r.Source, Reason: r.Reason, State: string(r.State), MadeBy: r.MadeBy,
		AskedAt: *at(&r.AskedAt), AskedBy: r.AskedBy,
		StartedAt: at(r.StartedAt), Begun: r.Begun, EndedAt: at(r.EndedAt), Progress: auditProgress{r.Done, r.Of}, Error: r.Error, At: at(r.At),
		Counts: r.Counts, Found: r.Found, ByKind: r.ByKind,
	}
	if r.State == audits.Done {
		out.Clean = new(r.Found == 0)
	}
	return out
}
