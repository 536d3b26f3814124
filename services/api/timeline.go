package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/timeline"
)

const (
	timelinePage    = 100
	maxTimelinePage = 500
	timelineTime    = "2006-01-02T15:04:05.000Z07:00"
)

// timelinePart is one page of the timeline of an order, the oldest fact first.
type timelinePart struct {
	SyncID           int64          `json:"sync_id"`
	OrderIncrementID string         `json:"order_increment_id"`
	Source           string         `json:"source"`
	KeptFrom         string         `json:"kept_from,omitempty"` // facts of before may have been deleted: timeline_retention
	Events           []timelineFact `json:"events"`
	Next             *string        `json:"next"` // the cursor of the next page; null: this is the last
}

// timelineFact is one fact, and its place in the log.
type timelineFact struct {
	OccurredAt string         `json:"occurred_at"`
	Type       string         `json:"type"`
	Status     domain.Status  `json:"status"`
	Generation int            `json:"generation"`
	Attempts   int            `json:"attempts"`
	Version    domain.Version `json:"version"`
	HTTPStatus *int           `json:"http_status"`
	ErrorCode  *string        `json:"error_code"`
	Error      *string        `json:"error"`
	Cause      *string        `json:"cause"`
	Warnings   []string       `json:"warnings,omitempty"` // what may be wrong with the order
	NotSent    []string       `json:"not_sent,omitempty"` // what of the order the ERP is not sent, and why
	Topic      string         `json:"topic"`              // without the prefix
	Partition  int32          `json:"partition"`
	Offset     int64          `json:"offset"`
}

// timeline answers what happened to an order: each request, call, answer and end, by the time at which it happened. A fact shows the
// version that orders it, and its place in Kafka, where `replay` prints the whole record.
func (h *handler) timeline(w http.ResponseWriter, r *http.Request) {
	if ref, ok := orderOf(w, r); ok {
		h.timelineOf(w, r, ref)
	}
}

func (h *handler) timelineOf(w http.ResponseWriter, r *http.Request, ref domain.OrderRef) {
	after, limit, wrong := timelineQuery(r)
	if len(wrong) > 0 {
		httpapi.RefuseQuery(w, wrong)
		return
	}
	page, err := timeline.Read(r.Context(), h.pool, ref, after, limit)
	switch {
	case errors.Is(err, timeline.ErrUnknown):
		h.notSynced(w, r, ref)
	case err != nil:
		httpapi.Failed(w, r, h.log, "timeline not read", err, notRead(ref), "order_increment_id", ref.IncrementID, "source", ref.Source)
	default:
		problem.JSON(w, http.StatusOK, partOf(ref, page))
	}
}

// timelineQuery reads the query. The cursor is a place in the timeline: facts that come meanwhile neither move nor repeat a page.
func timelineQuery(r *http.Request) (after timeline.Cursor, limit int, wrong []problem.FieldError) {
	p := httpapi.ParametersOf(r)
	limit = p.Int("limit", timelinePage, 1, maxTimelinePage)
	if text := p.Text("cursor"); text != "" {
		var err error
		if after, err = timeline.ParseCursor(text); err != nil {
			p.Refuse("cursor", problem.CodeInvalid, fmt.Sprintf("is %.100q, which %v", text, err))
		}
	}
	return after, limit, p.Wrong
}

// partOf is a page as the answer has it. Payload and response are left out: they hold the customer's data, and view_status is a right
// of many.
func partOf(ref domain.OrderRef, page timeline.Page) timelinePart {
	part := timelinePart{SyncID: page.SyncID, OrderIncrementID: ref.IncrementID, Source: ref.Source, Events: make([]timelineFact, 0, len(page.Facts))}
	if !page.KeptFrom.IsZero() {
		part.KeptFrom = page.KeptFrom.UTC().Format(timelineTime)
	}
	for _, f := range page.Facts {
		part.Events = append(part.Events, timelineFact{
			OccurredAt: f.OccurredAt.In(time.UTC).Format(timelineTime), Type: f.Type, Status: f.Status, Generation: f.Version.Generation(),
			Attempts: f.Attempts, Version: f.Version, HTTPStatus: f.HTTPStatus, ErrorCode: f.ErrorCode, Error: f.Error, Cause: f.Cause,
			Warnings: f.Warnings, NotSent: f.NotSent,
			Topic: f.Topic, Partition: f.Partition, Offset: f.Offset,
		})
	}
	if page.Next != nil {
		part.Next = new(page.Next.String())
	}
	return part
}
