package api

import (
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// bulkPlanBody is bulkRequest with the names of its words, for the description.
type bulkPlanBody struct {
	Filter  bulkFilter `json:"filter"`   // which orders, by at least one word of GET /syncs; or sync_ids
	SyncIDs []int64    `json:"sync_ids"` // which orders, one by one
	Reason  string     `json:"reason"`   // stands in the log of each order
	NewKey  bool       `json:"newKey"`   // resync: under a new idempotency key, so that the ERP books again
	Canary  *int       `json:"canary"`   // resync: so many orders must succeed first; null: by the setting bulk_canary
}

// bulkFilter are the words that select orders. A value may be a text or a number, as a query has it.
type bulkFilter struct {
	Source       string `json:"source"`
	Status       any    `json:"status"` // statuses: a list, or a text with commas between them
	Order        string `json:"order"`
	OrderID      int64  `json:"order_id"`
	Email        string `json:"email"`
	ErpReference string `json:"erp_reference"`
	Key          string `json:"idempotency_key"`
	Error        string `json:"error"`
	ErrorCode    string `json:"error_code"`
	ErrorGroup   string `json:"error_group"`
	HTTPStatus   int    `json:"http_status"`
	AttemptsFrom int    `json:"attempts_from"`
	AttemptsTo   int    `json:"attempts_to"`
	CreatedSince string `json:"created_since"` // a time, a day (UTC), or an age like 24h
	CreatedUntil string `json:"created_until"`
	UpdatedSince string `json:"updated_since"`
	UpdatedUntil string `json:"updated_until"`
}

// bulkDescription describes the preview of a command for many orders.
func bulkDescription(id, summary, detail string) httpapi.Description {
	return httpapi.Description{
		ID: id, Tag: "Bulk", Summary: summary, Detail: "Nothing is done: the answer's token starts the job. " + detail, Body: bulkPlanBody{},
		Example: `{"filter": {"status": "failed", "error": "no such sku"}, "reason": "the catalogue is mended"}`,
		Answers: map[int]any{http.StatusOK: bulkPreview{}}, Problems: commandBodyProblems,
	}
}

// bulkChangeDescription describes what a person does to a job.
func bulkChangeDescription(id, summary string) httpapi.Description {
	return httpapi.Description{
		ID: id, Tag: "Bulk", Summary: summary, Detail: "A job that is so already stays as it is. The body may be empty.", Body: bulkChange{},
		Example: `{"reason": "the ERP's people ask us to wait"}`, Answers: map[int]any{http.StatusOK: bulkJob{}},
		Problems: append([]string{"404 bulk_job_not_found", "409 bulk_job_ended"}, commandBodyProblems...),
	}
}
