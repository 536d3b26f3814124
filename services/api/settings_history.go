package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// settingsHistory is one page, the newest change first.
type settingsHistory struct {
	Changes []settingChange `json:"changes"`
	Next    *string         `json:"next"` // the cursor of the next page; null: this is the last
}

// settingChange is one change; null before or after stands for the value of the environment.
type settingChange struct {
	Version   int64           `json:"version"`
	Name      string          `json:"name"`
	Before    json.RawMessage `json:"before"`
	After     json.RawMessage `json:"after"`
	ChangedBy string          `json:"changed_by"`
	ChangedAt time.Time       `json:"changed_at"`
	Reason    *string         `json:"reason"`
}

// history answers who changed what, when and why. What was never changed has no entry.
func (h *settingsHandler) history(w http.ResponseWriter, r *http.Request) {
	filter, wrong := historyFilter(r)
	if len(wrong) > 0 {
		httpapi.RefuseQuery(w, wrong)
		return
	}
	past, next, err := h.store.History(r.Context(), filter)
	if err != nil {
		h.unavailable(w, r, err, "the database does not answer; ask again")
		return
	}
	page := settingsHistory{Changes: make([]settingChange, 0, len(past))}
	for _, p := range past {
		c := settingChange{Version: p.Version, Name: p.Name, Before: p.Before, After: p.After, ChangedBy: p.By, ChangedAt: p.At}
		if p.Reason != "" {
			c.Reason = &p.Reason
		}
		page.Changes = append(page.Changes, c)
	}
	if next != nil {
		page.Next = new(next.String())
	}
	problem.JSON(w, http.StatusOK, page)
}

// historyFilter reads the query. A name that is no setting's is refused, as an empty page would say that nobody has changed it.
func historyFilter(r *http.Request) (f setting.Filter, wrong []problem.FieldError) {
	p := httpapi.ParametersOf(r)
	f = setting.Filter{Name: p.Text("name"), Limit: p.Int("limit", historyPage, 1, maxHistoryPage)}
	if text := p.Text("cursor"); text != "" {
		var err error
		if f.After, err = setting.ParseCursor(text); err != nil {
			p.Refuse("cursor", problem.CodeInvalid, fmt.Sprintf("is %.100q, which %v", text, err))
		}
	}
	if f.Name != "" {
		if _, err := setting.Find(f.Name); err != nil {
			p.Refuse("name", problem.CodeInvalid, fmt.Sprintf("names no setting: %v", err))
		}
	}
	return f, p.Wrong
}
