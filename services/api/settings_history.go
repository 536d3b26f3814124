package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/erpconnector/erpconnector/shared/problem"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// settingsHistory is one page, the newest change first.
type settingsHistory struct {
	Changes []settingChange `json:"changes"`
	Next    *string         `json:"next"` // the cursor of the next page; null: this is the last
}

// settingChange is one value that was changed; null before or after is the environment's.
type settingChange struct {
	Version   int64           `json:"version"`
	Name      string          `json:"name"`
	Before    json.RawMessage `json:"before"`
	After     json.RawMessage `json:"after"`
	ChangedBy string          `json:"changed_by"`
	ChangedAt time.Time       `json:"changed_at"`
	Reason    *string         `json:"reason"`
}

func (h *settingsHandler) history(w http.ResponseWriter, r *http.Request) {
	filter, wrong := historyFilter(r)
	if len(wrong) > 0 {
		problem.Write(w, problem.Problem{
			Status: http.StatusBadRequest, Code: "query_invalid", Errors: wrong, Detail: "correct the query's parameters that errors lists",
		})
		return
	}
	past, next, err := h.store.History(r.Context(), filter)
	if err != nil {
		h.unavailable(w, err, "the database does not answer; ask again")
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

// parameterMisfit is one thing that is wrong with a query.
type parameterMisfit struct {
	Parameter string `json:"parameter"`
	Detail    string `json:"detail"`
}

func historyFilter(r *http.Request) (f setting.Filter, wrong []parameterMisfit) {
	query := r.URL.Query()
	f = setting.Filter{Name: query.Get("name"), Limit: historyPage}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostHistoryPage {
			wrong = append(wrong, parameterMisfit{"limit", fmt.Sprintf("limit is %.100q; it must be a whole number from 1 to %d", text, mostHistoryPage)})
		}
		f.Limit = n
	}
	if text := query.Get("cursor"); text != "" {
		var err error
		if f.After, err = setting.ParseCursor(text); err != nil {
			wrong = append(wrong, parameterMisfit{"cursor", fmt.Sprintf("cursor %.100q %v", text, err)})
		}
	}
	if _, ok := setting.FieldOf(f.Name); f.Name != "" && !ok {
		wrong = append(wrong, parameterMisfit{"name", fmt.Sprintf("%.100q is no setting; there are %s", f.Name, setting.Names())})
	}
	return f, wrong
}
