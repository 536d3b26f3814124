package ingest

import (
	"net/http"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// Descriptions are what the OpenAPI description says of this service's routes: see httpapi.Description.
var Descriptions = map[string]httpapi.Description{
	"POST " + httpapi.BasePath + "/events": {
		ID: "publishEvents", Tag: "Events", Summary: "Publish an event, or a batch of them",
		Detail: "One event is answered by the status: 202 accepted, 200 known before, 409 and 422 refused. A batch is answered 200 when all events are ours, " +
			"207 when some are, and 422 when none is: `results` has one entry for each, in their order.",
		Headers: []string{event.HeaderTraceparent, "Content-Encoding"},
		Body: httpapi.Schema{"title": "EventOrBatch", "oneOf": []any{
			map[string]any{"$ref": "#/components/schemas/Event"},
			map[string]any{"type": "array", "maxItems": maxBatch, "items": map[string]any{"$ref": "#/components/schemas/Event"}},
		}},
		Answers: map[int]any{
			http.StatusOK:          httpapi.OneOf{singleResult{}, batchResults{}},
			http.StatusAccepted:    singleResult{},
			http.StatusMultiStatus: batchResults{},
		},
		Problems: []string{
			"400 body_incomplete", "400 not_gzip", "400 not_json", "409 event_conflict", "413 too_large", "415 encoding_unknown", "415 not_json",
			"422 batch_refused", "422 event_refused",
		},
	},
}

// Parameters describe those of the service's routes by their names.
var Parameters = map[string]httpapi.Parameter{
	event.HeaderTraceparent: {Meaning: "W3C trace context, which the records of the request continue."},
	"Content-Encoding":      {Meaning: "How the body is packed.", Schema: map[string]any{"type": "string", "enum": []string{"gzip", "identity"}}},
}
