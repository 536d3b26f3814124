package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/syncs"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

// syncAsOf is what the timeline tells of a sync at a time, by the members of one that is shown. The rest stands in the log only.
type syncAsOf struct {
	SyncID           int64         `json:"sync_id"`
	Source           string        `json:"source"`
	OrderIncrementID string        `json:"order_increment_id"`
	AsOf             string        `json:"as_of"`
	Status           domain.Status `json:"status"`
	Generation       int           `json:"generation"`
	Attempts         int           `json:"attempts"`
	LastError        *string       `json:"last_error"`
	ErrorCode        *string       `json:"error_code"`
	CreatedAt        string        `json:"created_at"`
	UpdatedAt        string        `json:"updated_at"`
}

// showSyncAsOf answers where a sync stood at a time.
func (h *handler) showSyncAsOf(w http.ResponseWriter, r *http.Request, s syncs.Sync, at time.Time) {
	state, err := timeline.StateAt(r.Context(), h.pool, s.SyncID, at)
	switch {
	case errors.Is(err, timeline.ErrNotYet):
		problem.Write(w, problem.Problem{
			Status: http.StatusNotFound, Code: "sync_not_yet", OrderIncrementID: s.OrderIncrementID, Source: s.Source,
			Detail: "the sync was requested at " + s.CreatedAt.UTC().Format(domain.ModuleTime) + ", after that time",
		})
	case errors.Is(err, timeline.ErrDeleted):
		problem.Write(w, problem.Problem{
			Status: http.StatusGone, Code: "timeline_deleted", OrderIncrementID: s.OrderIncrementID, Source: s.Source,
			Detail: "facts of the sync were deleted by timeline_retention: the log has them, see `erpconnector replay --order`",
		})
	case err != nil:
		h.syncsFailed(w, r, err)
	default:
		out := syncAsOf{
			SyncID: s.SyncID, Source: s.Source, OrderIncrementID: s.OrderIncrementID, AsOf: at.Format(time.RFC3339Nano), Status: state.Status,
			Generation: state.Generation, Attempts: state.Attempts, LastError: state.LastError,
			CreatedAt: *moduleTime(&state.CreatedAt), UpdatedAt: *moduleTime(&state.UpdatedAt),
		}
		if state.ErrorCode != "" {
			out.ErrorCode = new(string(state.ErrorCode))
		}
		problem.JSON(w, http.StatusOK, out)
	}
}
