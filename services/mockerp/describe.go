package mockerp

import (
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/signature"
)

// refusal is the ERP's own form of an error: it is no problem+json, as few ERPs know it.
type refusal struct {
	Error        string `json:"error"`
	Code         string `json:"code"`
	ErpReference string `json:"erp_reference,omitempty"` // of what is booked already
}

// booked is the ERP's answer about an order in its book.
type booked struct {
	ErpReference string `json:"erp_reference"`
	Status       string `json:"status"` // accepted
}

// health is the ERP's answer to who asks whether it is there.
type health struct {
	Status string `json:"status"` // ok
}

// faultCount is how many faults were added or taken back.
type faultCount struct {
	Faults int `json:"faults"`
}

const (
	tag   = "Mock ERP"
	calls = `{"source": "default", "order_increment_id": "000000123"}`
)

// Descriptions are what the OpenAPI description says of this service's routes: see httpapi.Description.
var Descriptions = map[string]httpapi.Description{
	"POST " + httpapi.BasePath + "/orders/sync": {
		ID: "mockBookOrder", Tag: tag, Summary: "The ERP books an order", Detail: "docs/erp.md has the whole contract. A fault may answer any status from 200 to 599.",
		Headers: []string{"X-Idempotency-Key", "X-API-KEY", signature.HeaderModule, signature.HeaderID, signature.HeaderTimestamp, signature.HeaderSignature},
		Body:    map[string]any{}, OpenBody: true, Example: calls,
		Answers: map[int]any{
			http.StatusOK: booked{}, http.StatusCreated: booked{}, http.StatusBadRequest: refusal{}, http.StatusUnauthorized: refusal{},
			http.StatusConflict: refusal{}, http.StatusUnprocessableEntity: refusal{},
		},
	},
	"GET " + httpapi.BasePath + "/orders": {
		ID: "mockLookUp", Tag: tag, Summary: "The ERP's booking of a key or an order", Headers: []string{"X-API-KEY"},
		Answers: map[int]any{http.StatusOK: booked{}, http.StatusUnauthorized: refusal{}, http.StatusNotFound: refusal{}},
	},
	"POST " + httpapi.BasePath + "/mock-update-stock": {
		ID: "mockUpdateStock", Tag: tag, Summary: "The module's mock of a stock update", Body: stock{}, Required: []string{"idempotencyKey", "items", "orderIncrementId"},
		Answers: map[int]any{http.StatusOK: updated{}, http.StatusBadRequest: refusal{}, http.StatusUnprocessableEntity: refusal{}},
	},
	"GET " + httpapi.BasePath + "/health": {ID: "mockHealth", Tag: tag, Summary: "Whether the ERP is there", Answers: map[int]any{http.StatusOK: health{}}},
	"GET /mockerp/stats":                  {ID: "mockStats", Tag: tag, Summary: "What the ERP has counted", Answers: map[int]any{http.StatusOK: Stats{}}},
	"GET /mockerp/calls":                  {ID: "mockCalls", Tag: tag, Summary: "The calls of an order, or all", Answers: map[int]any{http.StatusOK: []Call{}}},
	"POST /mockerp/faults": {
		ID: "mockFail", Tag: tag, Summary: "Add faults that calls will meet", Body: []Fault{}, Example: `[{"order": "000000123", "times": 1, "delay": "2s", "status": 503, "retry_after": "4"}]`,
		Answers: map[int]any{http.StatusOK: faultCount{}, http.StatusBadRequest: refusal{}},
	},
	"DELETE /mockerp/faults": {ID: "mockForgive", Tag: tag, Summary: "Take faults back", Answers: map[int]any{http.StatusOK: faultCount{}}},
	"DELETE /mockerp":        {ID: "mockReset", Tag: tag, Summary: "Forget faults, calls and the book", Answers: map[int]any{http.StatusNoContent: nil}},
}

// Parameters describe those of the service's routes by their names.
var Parameters = map[string]httpapi.Parameter{
	"idempotency_key":         {Meaning: "The key that an order was sent under."},
	"order_increment_id":      {Meaning: "The order's increment id, in place of a key.", Example: "000000123"},
	"source":                  {Meaning: "The order's shop; `default` unless given.", Example: "outlet"},
	"order":                   {Meaning: "Calls of this order.", Example: "000000123"},
	"label":                   {Meaning: "Faults of this label; all unless given."},
	"X-Idempotency-Key":       {Meaning: "The same key is booked once.", Required: true},
	"X-API-KEY":               {Meaning: "`ERP_API_KEY`, where it is set."},
	signature.HeaderModule:    {Meaning: "base64 of HMAC-SHA256 over the raw body, where `ERP_HMAC_SECRET` is set."},
	signature.HeaderID:        {Meaning: "Standard Webhooks: the message's id."},
	signature.HeaderTimestamp: {Meaning: "Standard Webhooks: Unix time in seconds."},
	signature.HeaderSignature: {Meaning: "Standard Webhooks: `v1,` and the signature."},
}
