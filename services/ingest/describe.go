package ingest

import (
	"encoding/json"
	"net/http"

	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
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
	"GET " + quarantinePath: {
		ID: "listQuarantine", Tag: "Quarantine", Summary: "Events that were refused, the oldest first",
		Detail:  "A page may be short, or empty, and have a `next` all the same.",
		Answers: map[int]any{http.StatusOK: quarantineList{}},
	},
	"GET " + quarantinePath + "/counts": {
		ID: "countQuarantine", Tag: "Quarantine", Summary: "How many events were refused, by door and reason",
		Answers:    map[int]any{http.StatusOK: quarantineCounts{}},
		Parameters: map[string]httpapi.Parameter{"state": stateParameter(quarantine.Open, quarantine.Discarded)},
	},
	"POST " + quarantinePath + "/send": {
		ID: "sendQuarantine", Tag: "Quarantine", Summary: "Send many events again",
		Detail: "It needs a word that selects. What is accepted leaves the quarantine. `dry_run` says what would become of each.",
		Body:   selectedBody{}, Answers: map[int]any{http.StatusOK: quarantineBulk{}}, Problems: decisionProblems,
	},
	"POST " + quarantinePath + "/discard": {
		ID: "discardQuarantine", Tag: "Quarantine", Summary: "Decide that many events are not needed",
		Detail: "It needs a word that selects, and a `reason` unless `dry_run` is true.",
		Body:   discardSelectedBody{}, Answers: map[int]any{http.StatusOK: quarantineBulk{}}, Problems: decisionProblems,
	},
	"GET " + quarantinePath + "/{id:[0-9]+}": {
		ID: "showQuarantined", Tag: "Quarantine", Summary: "One event that was refused, with what is wrong with it",
		Detail:  "`event` holds personal data: it needs `" + string(httpapi.ResourceManage) + "`.",
		Answers: map[int]any{http.StatusOK: shownEntry{}}, Problems: []string{"404 quarantine_entry_not_found"},
	},
	"GET " + quarantinePath + "/{id:[0-9]+}/event": {
		ID: "showQuarantinedEvent", Tag: "Quarantine", Summary: "The event of an entry, byte for byte",
		Detail:  "It is what was published, whatever it is: JSON or not, and larger than what is taken. It holds personal data.",
		Answers: map[int]any{http.StatusOK: httpapi.Text{ContentType: httpapi.BytesType}}, Problems: []string{"404 quarantine_entry_not_found"},
	},
	"POST " + quarantinePath + "/{id:[0-9]+}/send": {
		ID: "sendQuarantined", Tag: "Quarantine", Summary: "Send an event again, or a corrected one in its place",
		Detail: "Without a body the event is sent as it is. What is refused again stays as it was.",
		Body:   correctedBody{}, Answers: map[int]any{http.StatusOK: sentEntry{}},
		Problems: append([]string{
			"404 quarantine_entry_not_found", "409 event_conflict", "409 quarantine_entry_not_open", "422 event_refused",
		}, decisionProblems...),
	},
	"POST " + quarantinePath + "/{id:[0-9]+}/discard": {
		ID: "discardQuarantined", Tag: "Quarantine", Summary: "Decide that an event is not needed",
		Body: discardBody{}, Required: []string{"reason"}, Answers: map[int]any{http.StatusOK: quarantineEntry{}},
		Problems: append([]string{"404 quarantine_entry_not_found", "409 quarantine_entry_not_open"}, decisionProblems...),
	},
}

// decisionProblems are those of the body of a decision about the quarantine.
var decisionProblems = []string{"422 request_refused", "400 body_incomplete", "400 not_json", "413 too_large"}

// correctedBody is the body that sends an entry of the quarantine.
type correctedBody struct {
	Event json.RawMessage `json:"event"` // in place of the one that was refused
}

// discardBody is the body that discards an entry of the quarantine.
type discardBody struct {
	Reason string `json:"reason"` // stays with the entry
}

// selectedBody is the body of a decision about many entries of the quarantine.
type selectedBody struct {
	entryWords

	Cursor string `json:"cursor"`  // the next of an earlier answer
	Limit  int    `json:"limit"`   // at most so many, 100 unless given
	DryRun bool   `json:"dry_run"` // true: only show what would be done
}

// discardSelectedBody is the body that discards many entries of the quarantine.
type discardSelectedBody struct {
	selectedBody

	Reason string `json:"reason"` // stays with the entries
}

// entryWords select entries of the quarantine.
type entryWords struct {
	Door    string `json:"door"`     // that they came through: http or outbox
	Source  string `json:"source"`   // of this shop
	Code    string `json:"code"`     // for this reason
	Order   string `json:"order"`    // about this order of the shop
	EventID string `json:"event_id"` // the event of this id
	Text    string `json:"text"`     // with this in what is wrong
	Since   string `json:"since"`    // refused last then or later
	Until   string `json:"until"`    // and before this
}

func stateParameter(states ...quarantine.State) httpapi.Parameter {
	return httpapi.Parameter{Meaning: "In this state; `open` unless given.", Schema: map[string]any{"type": "string", "enum": states}}
}

// Parameters describe those of the service's routes by their names.
var Parameters = map[string]httpapi.Parameter{
	"id":       {Meaning: "The entry's id.", Schema: map[string]any{"type": "integer", "format": "int64", "minimum": 1}, Example: 1},
	"door":     {Meaning: "That came through this door.", Schema: map[string]any{"type": "string", "enum": quarantine.Doors}},
	"source":   {Meaning: "Of this shop; all that the token may see where it is left out.", Example: "outlet"},
	"code":     {Meaning: "For this reason: refused, conflict, unknown_order, too_large or failed.", Example: "refused"},
	"order":    {Meaning: "About this order of the shop; of the shop `default` where no source is named.", Example: "000000123"},
	"event_id": {Meaning: "The event of this id.", Example: "e-77"},
	"text":     {Meaning: "With this in what is wrong, in small or capital letters.", Example: "invoice.paid"},
	"state":    stateParameter(quarantine.Open, quarantine.Discarded, "all"),
	"since":    {Meaning: "Refused last then or later.", Example: "2024-01-15"},
	"until":    {Meaning: "Refused last before that.", Example: "2024-01-16"},
	"cursor":   {Meaning: "The `next` of the page before."},
	"limit": {
		Meaning: "How many a page has at most.", Example: 100,
		Schema: map[string]any{"type": "integer", "minimum": 1, "maximum": maxQuarantinePage},
	},
	event.HeaderTraceparent: {Meaning: "W3C trace context, which the records of the request continue."},
	"Content-Encoding":      {Meaning: "How the body is packed.", Schema: map[string]any{"type": "string", "enum": []string{"gzip", "identity"}}},
}
