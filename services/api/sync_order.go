package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// knownOrder is the order of a sync in the form of an event: the one that is sent next. To correct it, publish it as order.updated.
type knownOrder struct {
	SyncID           int64           `json:"sync_id"`
	OrderIncrementID string          `json:"order_increment_id"`
	Source           string          `json:"source"`
	KnownAt          *string         `json:"known_at"` // an event of the order counts from this time on; null: any does
	Order            json.RawMessage `json:"order"`
}

// showOrder answers with the order as it is known. It is logged who has seen it, and no cache may keep it.
func (h *handler) showOrder(w http.ResponseWriter, r *http.Request) {
	s, ok := h.readSync(w, r)
	if !ok {
		return
	}
	known, err := syncs.ReadOrder(r.Context(), h.pool, domain.OrderRef{Source: s.Source, IncrementID: s.OrderIncrementID})
	if err != nil {
		h.orderNotShown(w, r, s, err)
		return
	}
	out := knownOrder{SyncID: s.SyncID, OrderIncrementID: s.OrderIncrementID, Source: s.Source, Order: known.Order}
	if known.KnownAt != nil {
		out.KnownAt = new(known.KnownAt.UTC().Format(time.RFC3339Nano))
	}
	h.log.Info("order shown", "sync_id", s.SyncID, "by", requester(r))
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusOK, out)
}

func (h *handler) orderNotShown(w http.ResponseWriter, r *http.Request, s syncs.Sync, err error) {
	if errors.Is(err, syncs.ErrNoOrder) {
		problem.Write(w, problem.Problem{
			Status: http.StatusNotFound, Code: "order_not_found", OrderIncrementID: s.OrderIncrementID, Source: s.Source,
			Detail: "no event has told of the order: its shop publishes it with an order.placed or order.updated event",
		})
		return
	}
	h.syncsFailed(w, r, err)
}
