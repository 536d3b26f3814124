package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/erpconnector/erpconnector/shared/alert"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

const (
	alertsPage    = 50
	maxAlertsPage = 500
)

// alertPage is one page, the newest alert first.
type alertPage struct {
	Alerts []shownAlert `json:"alerts"`
	Next   *string      `json:"next"` // the cursor of the next page; null: this is the last
}

// shownAlert is an alert as the answers show it.
type shownAlert struct {
	ID         int64            `json:"alert_id"`
	Alert      domain.AlertKind `json:"alert"`
	State      string           `json:"state"`   // open, or resolved
	Subject    string           `json:"subject"` // what of the kind, like an error group
	OpenedAt   string           `json:"opened_at"`
	ToldAt     string           `json:"told_at"`
	ResolvedAt *string          `json:"resolved_at"`
	Level      int64            `json:"level"` // as it was told last
	Text       string           `json:"text"`
	Next       string           `json:"next,omitempty"`
	Details    map[string]any   `json:"details,omitempty"`
	Deliveries []alert.Delivery `json:"deliveries"` // the newest ones
}

func shownAlertOf(p alert.Past) shownAlert {
	out := shownAlert{
		ID: p.ID, Alert: p.Kind, State: "open", Subject: p.Subject, OpenedAt: p.OpenedAt.UTC().Format(time.RFC3339), ToldAt: p.ToldAt.UTC().Format(time.RFC3339),
		Level: p.Data.Level, Text: p.Data.Text, Next: p.Data.Next, Details: p.Data.Details, Deliveries: p.Deliveries,
	}
	if p.ResolvedAt != nil {
		out.State, out.ResolvedAt = "resolved", new(p.ResolvedAt.UTC().Format(time.RFC3339))
	}
	return out
}

// list answers alerts that are open, those that are over, or both.
func (h *alertsHandler) list(w http.ResponseWriter, r *http.Request) {
	p := httpapi.ParametersOf(r)
	f := alertFilter(p)
	if len(p.Wrong) > 0 {
		httpapi.RefuseQuery(w, p.Wrong)
		return
	}
	alerts, more, err := h.store.List(r.Context(), f)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	page := alertPage{Alerts: make([]shownAlert, 0, len(alerts))}
	for _, a := range alerts {
		page.Alerts = append(page.Alerts, shownAlertOf(a))
	}
	if more {
		page.Next = new(strconv.FormatInt(alerts[len(alerts)-1].ID, 10))
	}
	problem.JSON(w, http.StatusOK, page)
}

// alertFilter reads the query, and notes what is wrong with it.
func alertFilter(p *httpapi.Parameters) alert.Filter {
	f := alert.Filter{Kind: domain.AlertKind(p.Text("alert")), Before: p.Int64("cursor"), Limit: p.Int("limit", alertsPage, 1, maxAlertsPage)}
	if p.Has("alert") && !slices.Contains(domain.AlertKinds, f.Kind) {
		p.Refuse("alert", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be one of %s", f.Kind, listed(domain.AlertKinds)))
	}
	switch state := p.Text("state"); {
	case state == "open" || state == "resolved":
		f.Open = new(state == "open")
	case p.Has("state") && state != "all":
		p.Refuse("state", problem.CodeInvalid, fmt.Sprintf("is %.100q; it must be open, resolved or all", state))
	}
	return f
}
