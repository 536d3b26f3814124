package api

import (
	"net/http"
	"slices"

	"github.com/erpconnector/erpconnector/services/api/internal/console"
	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/signature"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// Descriptions are what the OpenAPI description says of this service's routes: see httpapi.Description.
var Descriptions = map[string]httpapi.Description{
	"GET " + httpapi.BasePath + "/sync-status/{id}": {
		ID: "syncStatus", Tag: "Orders", Summary: "Where an order stands",
		Detail:   "The members, their order and the 404 of an order without a sync are the module's. `reason` of the 404 tells why there is none.",
		Answers:  map[int]any{http.StatusOK: status{}, http.StatusNotFound: absent{}},
		Problems: []string{"400 order_invalid"},
	},
	"GET " + httpapi.BasePath + "/timeline/{id}": {
		ID: "timeline", Tag: "Orders", Summary: "What happened to an order, the oldest first",
		Answers:  map[int]any{http.StatusOK: timelinePart{}, http.StatusNotFound: absent{}},
		Problems: []string{"400 order_invalid"},
	},
	"POST " + httpapi.BasePath + "/sync-order": commandDescription("syncOrder", "Send an order to the ERP",
		"What is under way already is waited for, so that asking twice sends nothing twice.", "503 connector_disabled"),
	"POST " + httpapi.BasePath + "/resync-order": commandDescription("resyncOrder", "Send an order again",
		"Of an order that has reached the ERP it needs `newKey` and a `reason`: the ERP books it a second time.",
		"503 connector_disabled", "409 order_success"),
	"POST " + httpapi.BasePath + "/send-order-now": commandDescription("sendOrderNow", "Send what waits for a retry now", "",
		"503 connector_disabled", "409 order_failed", "409 order_success"),
	"POST " + httpapi.BasePath + "/cancel-order": commandDescription("cancelOrder", "End a sync that has not reached the ERP", "It needs a `reason`.",
		"409 order_failed", "409 order_in_flight", "409 order_queued", "409 order_success"),
	"POST " + httpapi.BasePath + "/settle-order": commandDescription("settleOrder", "Say that the ERP has the order", "It needs a `reason`."),
	"POST " + httpapi.BasePath + "/webhook": {
		ID: "webhook", Tag: "Webhook", Summary: "A callback of the ERP",
		Detail:  "Signed over the raw body, by `X-Signature` or as a Standard Webhook. Members of the ERP's own are taken.",
		Headers: []string{signature.HeaderModule, signature.HeaderID, signature.HeaderTimestamp, signature.HeaderSignature},
		Body:    callback{}, Required: []string{"orderIncrementId", "status"}, OpenBody: true,
		Answers:  map[int]any{http.StatusOK: callbackAnswer{}},
		Problems: append([]string{"401 signature_invalid", "422 callback_refused", "404 order_not_found", "503 connector_disabled", "503 database_unavailable"}, bodyProblems...),
	},
	"GET " + httpapi.BasePath + "/erp": {
		ID: "erp", Tag: "ERP", Summary: "Whether calls go out to the ERP, and how many", Answers: map[int]any{http.StatusOK: pace.Report{}},
	},
	"POST " + httpapi.BasePath + "/erp/open": breakerDescription("stopCalls", "Stop all calls to the ERP, until they are let out by hand",
		"It opens the breaker: as with an electric circuit, open means that nothing flows. No order is sent from then on, and none gets lost. To let calls out again: `POST …/erp/close`."),
	"POST " + httpapi.BasePath + "/erp/close": breakerDescription("letCallsOut", "Let calls out to the ERP again",
		"It closes the breaker, whether a person or failures have opened it. All that waits goes out at once. When the ERP still fails, calls stop again by themselves."),
	"GET " + streamPath: {
		ID: "streamEvents", Tag: "Syncs", Summary: "What happens to orders, as it happens",
		Detail:  "Server-Sent Events without end. Each `data` is JSON, as docs/stream.md says.",
		Headers: []string{headerLastEventID}, Answers: map[int]any{http.StatusOK: httpapi.Text{ContentType: "text/event-stream"}},
		Problems: []string{"400 last_event_id_invalid", "503 kafka_unavailable", "503 too_many_streams"},
		Parameters: map[string]httpapi.Parameter{
			"order":  {Meaning: "Of the order with this increment id.", Example: "000000123"},
			"status": {Meaning: "After which the sync has one of these statuses, with commas between them.", Example: "failed,success"},
		},
	},
	"GET " + syncsPath: {
		ID: "listSyncs", Tag: "Syncs", Summary: "Find syncs, page by page",
		Detail:   "A page may be short, or empty, and have a `next` all the same. With `searchCriteria` the answer is Magento's.",
		Answers:  map[int]any{http.StatusOK: httpapi.ByType{"application/json": syncPage[httpapi.Part[listedSync]]{}, magentoJSON: searchResults{}}},
		Problems: []string{"400 search_too_wide"},
	},
	"GET " + syncsPath + "/counts": {
		ID: "countSyncs", Tag: "Syncs", Summary: "How many syncs there are, by status and shop", Answers: map[int]any{http.StatusOK: syncCounts{}},
	},
	"GET " + syncsPath + "/overview": {
		ID: "showOverview", Tag: "Syncs", Summary: "What waits, and what came in and went out",
		Detail:  "Points of minutes, ten minutes or hours. Percentiles are estimated from buckets: each is off by a factor of 1.42 at most.",
		Answers: map[int]any{http.StatusOK: overview{}},
	},
	"GET " + syncsPath + "/errors": {
		ID: "listErrors", Tag: "Syncs", Summary: "The kinds of errors, the most frequent first", Answers: map[int]any{http.StatusOK: errorGroups{}},
	},
	"GET " + syncsPath + "/{sync:[0-9]+}": {
		ID: "showSync", Tag: "Syncs", Summary: "One sync, with what was sent and answered",
		Detail:  "`payload` and `response` hold personal data: they need `" + string(httpapi.ResourceManage) + "`.",
		Answers: map[int]any{http.StatusOK: httpapi.Part[shownSync]{}}, Problems: []string{"404 sync_not_found", "404 sync_not_yet", "410 timeline_deleted"},
	},
	"GET " + syncsPath + "/{sync:[0-9]+}/events": {
		ID: "syncEvents", Tag: "Syncs", Summary: "The timeline of a sync's order",
		Answers: map[int]any{http.StatusOK: timelinePart{}}, Problems: []string{"404 sync_not_found"},
	},
	"GET " + syncsPath + "/{sync:[0-9]+}/events/{topic}/{partition:[0-9]+}/{offset:[0-9]+}": {
		ID: "showRecord", Tag: "Syncs", Summary: "The record of one fact of the timeline, as it stands in the log",
		Detail:  "It holds personal data: what was sent, or what was answered.",
		Answers: map[int]any{http.StatusOK: factRecord{}}, Problems: []string{"404 sync_not_found", "404 record_not_found", "503 kafka_unavailable"},
		Parameters: map[string]httpapi.Parameter{
			"topic":     {Meaning: "Without the prefix, as the timeline names it.", Example: event.TopicAfterSend},
			"partition": {Meaning: "Of the topic.", Schema: fromZero, Example: 3}, "offset": {Meaning: "In the partition.", Schema: fromZero, Example: 17},
		},
	},
	"GET " + syncsPath + "/{sync:[0-9]+}/order": {
		ID: "showOrder", Tag: "Syncs", Summary: "The order of a sync as it is known, in the form of an event",
		Detail:  "It is what a resync sends. To correct it, publish it changed, as `order.updated`. It holds personal data.",
		Answers: map[int]any{http.StatusOK: knownOrder{}}, Problems: []string{"404 sync_not_found", "404 order_not_found"},
	},
	"GET " + deadLettersPath: {
		ID: "listDeadLetters", Tag: "Dead letters", Summary: "Records that nobody could read, the oldest first",
		Answers:    map[int]any{http.StatusOK: deadLetters{}},
		Parameters: map[string]httpapi.Parameter{"order": {Meaning: "Of this order of the shop.", Example: "000000123"}},
	},
	"POST " + deadLettersPath + "/redrive": {
		ID: "redriveDeadLetters", Tag: "Dead letters", Summary: "Send many records back to their topics",
		Detail: "It needs a word that selects, and a `reason` unless `dry_run` is true.",
		Body:   bulkBody{}, Answers: map[int]any{http.StatusOK: bulkAnswer{}}, Problems: append([]string{"503 connector_disabled", "503 kafka_unavailable"}, commandBodyProblems...),
	},
	"POST " + deadLettersPath + "/discard": {
		ID: "discardDeadLetters", Tag: "Dead letters", Summary: "Decide that many records are not needed",
		Detail: "It needs a word that selects, and a `reason` unless `dry_run` is true. `force` is not taken here.",
		Body:   bulkBody{}, Answers: map[int]any{http.StatusOK: bulkAnswer{}}, Problems: commandBodyProblems,
	},
	"GET " + deadLettersPath + "/{id}": {
		ID: "showDeadLetter", Tag: "Dead letters", Summary: "A dead letter with its record",
		Answers: map[int]any{http.StatusOK: deadLetterRecord{}}, Problems: []string{"404 dead_letter_not_found", "410 record_gone", "503 kafka_unavailable"},
		Parameters: deadLetterID,
	},
	"GET " + deadLettersPath + "/{id}/value": {
		ID: "showDeadLetterValue", Tag: "Dead letters", Summary: "The value of a dead letter's record, byte for byte",
		Answers: map[int]any{http.StatusOK: httpapi.Text{ContentType: httpapi.BytesType}}, Problems: []string{"404 dead_letter_not_found", "410 record_gone", "503 kafka_unavailable"},
		Parameters: deadLetterID,
	},
	"POST " + deadLettersPath + "/{id}/redrive": {
		ID: "redriveDeadLetter", Tag: "Dead letters", Summary: "Send a record back to its topic",
		Body: decisionBody{}, Required: []string{"reason"}, Answers: map[int]any{http.StatusAccepted: deadLetter{}},
		Problems:   append([]string{"404 dead_letter_not_found", "409 dead_letter_refused", "410 record_gone", "503 connector_disabled", "503 kafka_unavailable"}, commandBodyProblems...),
		Parameters: deadLetterID,
	},
	"POST " + deadLettersPath + "/{id}/discard": {
		ID: "discardDeadLetter", Tag: "Dead letters", Summary: "Decide that a record is not needed", Detail: "`force` is not taken here.",
		Body: decisionBody{}, Required: []string{"reason"}, Answers: map[int]any{http.StatusOK: deadLetter{}},
		Problems:   append([]string{"404 dead_letter_not_found", "409 dead_letter_refused"}, commandBodyProblems...),
		Parameters: deadLetterID,
	},
	"POST " + bulkPath + "/resync":   bulkDescription("bulkResync", "Preview sending many orders again", "Those that have reached the ERP need `newKey` and a `reason`."),
	"POST " + bulkPath + "/cancel":   bulkDescription("bulkCancel", "Preview cancelling many orders", "It needs a `reason`."),
	"POST " + bulkPath + "/settle":   bulkDescription("bulkSettle", "Preview saying that the ERP has many orders", "It needs a `reason`."),
	"POST " + bulkPath + "/send-now": bulkDescription("bulkSendNow", "Preview sending many orders now that wait for a retry", "It needs a `reason`."),
	"POST " + bulkPath + "/jobs": {
		ID: "startBulkJob", Tag: "Bulk", Summary: "Start the job of a preview", Detail: "The token is used up by it.",
		Body: bulkStart{}, Required: []string{"token"}, Example: `{"token": "bulk_KZ4Q3R7M2WXYAB5CDEFGHIJKLM"}`, Answers: map[int]any{http.StatusAccepted: bulkJob{}},
		Problems: append([]string{"404 bulk_token_not_found", "409 bulk_jobs_too_many"}, commandBodyProblems...),
	},
	"GET " + bulkPath + "/jobs": {
		ID: "listBulkJobs", Tag: "Bulk", Summary: "Bulk jobs, the newest first", Answers: map[int]any{http.StatusOK: bulkJobList{}},
		Parameters: map[string]httpapi.Parameter{"state": {Meaning: "In this state: " + listed(bulk.States) + ".", Example: bulk.Running}},
	},
	"GET " + bulkJobPath: {
		ID: "showBulkJob", Tag: "Bulk", Summary: "How a bulk job goes", Answers: map[int]any{http.StatusOK: bulkJob{}}, Problems: []string{"404 bulk_job_not_found"},
	},
	"GET " + bulkJobPath + "/results": {
		ID: "bulkJobResults", Tag: "Bulk", Summary: "What became of each order of a bulk job, a line of JSON each",
		Detail:  "NDJSON: the schema is that of a line. When the connection breaks, go on with the `cursor` of the last whole line.",
		Answers: map[int]any{http.StatusOK: httpapi.Lines{Of: bulkItem{}}}, Problems: []string{"404 bulk_job_not_found"},
		Parameters: map[string]httpapi.Parameter{"cursor": {Meaning: "That of the last line before.", Schema: positive}},
	},
	"POST " + bulkJobPath + "/pause":  bulkChangeDescription("pauseBulkJob", "Let no further order get the command, until the job is resumed"),
	"POST " + bulkJobPath + "/resume": bulkChangeDescription("resumeBulkJob", "Let a paused job go on, also one whose canary failed"),
	"POST " + bulkJobPath + "/stop":   bulkChangeDescription("stopBulkJob", "End a job; what is under way goes on to its end"),
	"POST " + auditsPath: {
		ID: "startAudit", Tag: "Audits", Summary: "Ask for an audit or a verification",
		Detail: "The scheduler makes it, one at a time, while all else goes on. What an audit finds raises an alert.",
		Body:   auditStart{}, Required: []string{"kind"}, Example: `{"kind": "audit", "from": "2024-01-15"}`, Answers: map[int]any{http.StatusAccepted: auditRun{}},
		Problems: append([]string{"409 audit_under_way"}, commandBodyProblems...),
	},
	"GET " + auditsPath: {
		ID: "listAudits", Tag: "Audits", Summary: "Audits and verifications, the newest first",
		Detail:     "Also those of the setting `audit_interval`, and of the commands `audit` and `verify` (`made_by` is `command`).",
		Answers:    map[int]any{http.StatusOK: auditList{}},
		Parameters: map[string]httpapi.Parameter{"kind": {Meaning: "Of this kind: " + listed(audits.Kinds) + ".", Example: audits.Audit}},
	},
	"GET " + auditPath: {
		ID: "showAudit", Tag: "Audits", Summary: "One of them, with what it has found", Detail: "`found` counts all findings; the first hundred are listed.",
		Answers: map[int]any{http.StatusOK: wholeAuditRun{}}, Problems: []string{"404 audit_not_found"},
	},
	"POST " + auditPath + "/cancel": {
		ID: "cancelAudit", Tag: "Audits", Summary: "End one that is under way", Detail: "It stops within a second or two, a command too. What it has found by then is lost. The body may be empty.",
		Body: auditCancel{}, Example: `{"reason": "the night is over"}`, Answers: map[int]any{http.StatusOK: auditRun{}},
		Problems: append([]string{"404 audit_not_found", "409 audit_ended"}, commandBodyProblems...),
	},
	"GET " + settingsPath: {
		ID: "settings", Tag: "Settings", Summary: "The settings that can be changed while it runs", Answers: map[int]any{http.StatusOK: settings{}},
	},
	"PUT " + settingsPath: {
		ID: "changeSettings", Tag: "Settings", Summary: "Change the settings that the body names",
		Detail:  "All of them, or none. The body has values by the settings' names, and may have a `reason`.",
		Headers: []string{"If-Match"}, Body: httpapi.Schema(changeSchema()), Answers: map[int]any{http.StatusOK: settings{}},
		Problems: append([]string{"400 if_match_invalid", "412 settings_changed_meanwhile", "422 settings_refused", "428 if_match_required"}, bodyProblems...),
	},
	"GET " + settingsPath + "/history": {
		ID: "settingsHistory", Tag: "Settings", Summary: "Who changed which setting, the newest change first",
		Answers: map[int]any{http.StatusOK: settingsHistory{}},
	},
	"GET " + alertsPath: {
		ID: "listAlerts", Tag: "Alerts", Summary: "What was wrong, or is, the newest first", Answers: map[int]any{http.StatusOK: alertPage{}},
		Parameters: map[string]httpapi.Parameter{
			"state": {Meaning: "In this state; `all` unless given.", Schema: map[string]any{"type": "string", "enum": []string{"open", "resolved", "all"}}},
		},
	},
	"GET " + destinationsPath: {
		ID: "listAlertDestinations", Tag: "Alerts", Summary: "Where alerts are told", Answers: map[int]any{http.StatusOK: destinationList{}},
	},
	"POST " + destinationsPath: {
		ID: "addAlertDestination", Tag: "Alerts", Summary: "Tell alerts somewhere",
		Detail: "It needs `" + string(httpapi.ResourceErpAddress) + "` too. The answer is the only place that shows the secret of a webhook.",
		Body:   newDestination{}, Required: []string{"name", "kind", "address"}, Answers: map[int]any{http.StatusCreated: destination{}},
		Problems: append([]string{"409 destination_name_taken"}, commandBodyProblems...),
	},
	"PATCH " + destinationsPath + "/{id:[0-9]+}": {
		ID: "changeAlertDestination", Tag: "Alerts", Summary: "Change what the body names of a destination",
		Detail: "To change the address it needs `" + string(httpapi.ResourceErpAddress) + "` too.",
		Body:   destinationChange{}, Answers: map[int]any{http.StatusOK: destination{}}, Parameters: destinationID,
		Problems: append([]string{"404 destination_not_found", "409 destination_name_taken"}, commandBodyProblems...),
	},
	"DELETE " + destinationsPath + "/{id:[0-9]+}": {
		ID: "removeAlertDestination", Tag: "Alerts", Summary: "Tell alerts there no more", Answers: map[int]any{http.StatusOK: destination{}},
		Problems: []string{"404 destination_not_found"}, Parameters: destinationID,
	},
	"POST " + destinationsPath + "/{id:[0-9]+}/test": {
		ID: "testAlertDestination", Tag: "Alerts", Summary: "Send a test to a destination, and see what comes back", Answers: map[int]any{http.StatusOK: testResult{}},
		Problems: []string{"404 destination_not_found"}, Parameters: destinationID,
	},
	"GET " + tokensPath: {
		ID: "listTokens", Tag: "Tokens", Summary: "The tokens", Answers: map[int]any{http.StatusOK: tokenList{}},
	},
	"POST " + tokensPath: {
		ID: "createToken", Tag: "Tokens", Summary: "Make a token",
		Detail: "It can do no more than the one that asks for it. The answer is the only place that shows it.",
		Body:   newToken{}, Required: []string{"name", "resources"}, Answers: map[int]any{http.StatusCreated: shownToken{}},
		Problems: append([]string{"409 token_name_taken"}, commandBodyProblems...),
	},
	"DELETE " + tokensPath + "/{token:[0-9]+}": {
		ID: "revokeToken", Tag: "Tokens", Summary: "Take a token out of force", Answers: map[int]any{http.StatusOK: shownToken{}},
		Problems: []string{"404 token_not_found"},
	},
	"GET " + httpapi.BasePath + "/me": {
		ID: "me", Tag: "Tokens", Summary: "What the token may do", Detail: "For any token in force.", Answers: map[int]any{http.StatusOK: identity{}},
	},
	"GET /":        {ID: "root", Tag: "Console", Summary: "Leads to the console", Answers: map[int]any{http.StatusFound: nil}},
	"GET /console": {ID: "console", Tag: "Console", Summary: "The console", Answers: map[int]any{http.StatusOK: httpapi.Text{ContentType: "text/html"}}},
	"GET /console/{path:.*}": {
		ID: "consolePage", Tag: "Console", Summary: "A page of the console, or one of its files",
		Answers: map[int]any{http.StatusOK: httpapi.Text{ContentType: "text/html"}}, Problems: []string{"404 not_found"},
	},
	"POST /console/session": {
		ID: "signIn", Tag: "Console", Summary: "Sign in to the console",
		Detail:  "The answer sets a cookie that counts as the request's token, for requests from the console's own pages.",
		Answers: map[int]any{http.StatusNoContent: nil},
	},
	"DELETE /console/session": {
		ID: "signOut", Tag: "Console", Summary: "Sign out of the console",
		Detail:  "The cookie is taken away, and the session of a user, or of somebody of the identity provider, ends. Other tokens stay in force.",
		Answers: map[int]any{http.StatusNoContent: nil}, Problems: []string{"503 database_unavailable"},
	},
	"GET /console/session/ways": {
		ID: "signInWays", Tag: "Console", Summary: "Which ways to sign in to the console there are, beside a token", Answers: map[int]any{http.StatusOK: console.Ways{}},
	},
	"GET /console/session/begin": {
		ID: "signInAtProvider", Tag: "Console", Summary: "Leads to the identity provider, to sign in there", Answers: map[int]any{http.StatusFound: nil},
	},
	"GET " + config.SignInReturnPath: {
		ID: "signedInAtProvider", Tag: "Console", Summary: "Where the identity provider leads back to",
		Detail:  "It takes the code, and leads to the console, with the cookie of a session if the user is let in.",
		Answers: map[int]any{http.StatusFound: nil},
	},
	"GET " + usersPath: {
		ID: "listUsers", Tag: "Users", Summary: "The users, by their names", Answers: map[int]any{http.StatusOK: userList{}},
	},
	"POST " + usersPath: {
		ID: "createUser", Tag: "Users", Summary: "Make a user, who logs in with a password",
		Detail: "The user can do no more than the token that asks for it. The password is never shown.",
		Body:   newUser{}, Required: []string{"name", "password", "resources"}, Answers: map[int]any{http.StatusCreated: shownUser{}},
		Problems: append([]string{"409 user_name_taken", "503 logins_busy"}, commandBodyProblems...),
	},
	"PATCH " + usersPath + "/{user:[0-9]+}": {
		ID: "changeUser", Tag: "Users", Summary: "Change a user: what the body leaves out stays",
		Detail: "A new password, and being disabled, end the user's sessions. Who gives something must hold all that the user holds.",
		Body:   userChange{}, Answers: map[int]any{http.StatusOK: shownUser{}}, Example: `{"disabled": true}`,
		Problems: append([]string{"404 user_not_found", "503 logins_busy"}, commandBodyProblems...),
	},
	"DELETE " + usersPath + "/{user:[0-9]+}": {
		ID: "deleteUser", Tag: "Users", Summary: "Delete a user, and end the user's sessions", Answers: map[int]any{http.StatusOK: shownUser{}},
		Problems: []string{"404 user_not_found"},
	},
	"POST " + loginPath: {
		ID: "adminToken", Tag: "Users", Summary: "Log in, as at Magento",
		Detail: "The answer is the token of a session, which ends after `admin_token_lifetime`. `message` of a refusal is Magento's.",
		Body:   credentials{}, Required: []string{"username", "password"}, Answers: map[int]any{http.StatusOK: ""},
		Problems: append([]string{"401 login_refused", "429 login_limited", "503 database_unavailable", "503 logins_busy"}, commandBodyProblems...),
	},
}

// breakerDescription describes a change of the breaker by hand.
func breakerDescription(id, summary, detail string) httpapi.Description {
	return httpapi.Description{
		ID: id, Tag: "ERP", Summary: summary, Detail: detail, Body: breakerBody{}, Required: []string{"reason"}, Answers: map[int]any{http.StatusOK: pace.Report{}},
		Example: `{"reason": "the ERP moves to another server"}`, Problems: append([]string{"409 breaker_stands"}, commandBodyProblems...),
	}
}

// bodyProblems are those of every body that is read by bodyFormat, and commandBodyProblems those with its usual code.
var (
	bodyProblems        = []string{"400 body_incomplete", "400 not_json", "413 too_large"}
	commandBodyProblems = append([]string{"422 request_refused"}, bodyProblems...)
)

// commandDescription describes a command about one order.
func commandDescription(id, summary, detail string, problems ...string) httpapi.Description {
	return httpapi.Description{
		ID: id, Tag: "Orders", Summary: summary, Detail: detail, Headers: []string{event.HeaderTraceparent},
		Body: orderRequest{}, Required: []string{"orderIncrementId"}, Answers: map[int]any{http.StatusOK: result{}, http.StatusAccepted: result{}},
		Problems: slices.Concat([]string{"404 order_not_found"}, problems, commandBodyProblems),
	}
}

// changeSchema is a body that changes settings: values by their names.
func changeSchema() map[string]any {
	members := map[string]any{"reason": map[string]any{"type": "string", "description": "stays in the settings' history"}}
	for _, f := range setting.Fields() {
		members[f.Name] = map[string]any{"description": f.Meaning + " Takes " + f.Allowed + "."}
	}
	return map[string]any{"title": "SettingsChange", "type": "object", "additionalProperties": false, "properties": members, "minProperties": 1}
}

// decisionBody is the body of a decision about a dead letter.
type decisionBody struct {
	Reason string `json:"reason"` // stays with the dead letter
	Force  bool   `json:"force"`  // redrive: also when it came back often
}

// bulkBody is the body of a decision about many dead letters.
type bulkBody struct {
	bulkWords

	Cursor string `json:"cursor"`  // the next of an earlier answer
	Limit  int    `json:"limit"`   // at most so many, 100 unless given
	DryRun bool   `json:"dry_run"` // true: only show what would be done
	Reason string `json:"reason"`  // stays with the dead letters
	Force  bool   `json:"force"`   // redrive: also those that came back often
}

// bulkWords select dead letters.
type bulkWords struct {
	Topic  string `json:"topic"`  // where the record stood, without the prefix
	Cause  string `json:"cause"`  // a part of the reason
	Source string `json:"source"` // of this shop's orders
	Order  string `json:"order"`  // of this order of the shop
	Since  string `json:"since"`  // written then or later
	Until  string `json:"until"`  // and before this
}

var deadLetterID = map[string]httpapi.Parameter{"id": {Meaning: "The dead letter's id.", Schema: positive, Example: 7}}

var destinationID = map[string]httpapi.Parameter{"id": {Meaning: "The destination's id.", Schema: positive, Example: 1}}

// Kinds of parameters.
var (
	number   = map[string]any{"type": "integer"}
	positive = map[string]any{"type": "integer", "format": "int64", "minimum": 1}
	fromZero = map[string]any{"type": "integer", "format": "int64", "minimum": 0}
	sinceThe = " A time like 2024-01-15T10:00:00Z, a day (UTC), or an age like 24h before now."
)

func between(least, most int) map[string]any {
	return map[string]any{"type": "integer", "minimum": least, "maximum": most}
}

// Parameters describe those of paths, queries and headers by their names.
var Parameters = map[string]httpapi.Parameter{
	"id":              {Meaning: "The order's increment id. A slash in it is written %2F.", Example: "000000123"},
	"sync":            {Meaning: "The sync's id.", Schema: positive, Example: 1},
	"token":           {Meaning: "The token's id.", Schema: positive, Example: 1},
	"user":            {Meaning: "The user's id; in a list of tokens: the sessions of this user.", Schema: positive, Example: 1},
	"source":          {Meaning: "The shop; where it is left out, the token's shop, the shop `default`, or, in lists, all.", Example: "outlet"},
	"wait":            {Meaning: "Seconds that the answer waits for the end of what it started, 10 unless given.", Schema: map[string]any{"type": "number", "minimum": 0, "maximum": maxWait.Seconds()}, Example: 30},
	"cursor":          {Meaning: "The `next` of the page before."},
	"limit":           {Meaning: "How many a page has at most.", Schema: between(1, maxSyncsPage), Example: 100},
	"status":          {Meaning: "Of these statuses, with commas between them.", Example: "failed,queued"},
	"order":           {Meaning: "Of this increment id, in any shop.", Example: "000000123"},
	"order_id":        {Meaning: "Of this order id of the shop.", Schema: positive, Example: 123},
	"email":           {Meaning: "Of the customer with this address.", Example: "jane@example.com"},
	"error":           {Meaning: "Whose error is of the same text; numbers and names in it do not count.", Example: "no such sku"},
	"fields":          {Meaning: "Only these members, with commas between them.", Example: "sync_id,status"},
	"sort":            {Meaning: "By what they are sorted; `-` is the newest first.", Schema: map[string]any{"type": "string", "enum": syncs.Sorts, "default": syncs.Sorts[0]}},
	"error_code":      {Meaning: "Whose error has this code.", Example: "erp_timeout"},
	"error_group":     {Meaning: "Whose error is of this group: see the errors' list.", Schema: positive},
	"http_status":     {Meaning: "Whose error is an answer of the ERP with this status.", Schema: between(100, 599), Example: 422},
	"erp_reference":   {Meaning: "That the ERP calls so.", Example: "ERP-123"},
	"idempotency_key": {Meaning: "That was sent under this key."},
	"attempts_from":   {Meaning: "With so many attempts or more.", Schema: number},
	"attempts_to":     {Meaning: "With so many attempts or fewer.", Schema: number},
	"created_since":   {Meaning: "Created then or later." + sinceThe, Example: "2024-01-15"},
	"created_until":   {Meaning: "Created before that." + sinceThe, Example: "2024-01-16"},
	"updated_since":   {Meaning: "Changed then or later." + sinceThe, Example: "24h"},
	"updated_until":   {Meaning: "Changed before that." + sinceThe, Example: "90m"},
	"cause":           {Meaning: "Whose reason has this text.", Example: "no JSON"},
	"topic":           {Meaning: "Whose record stood in this topic, without the prefix.", Example: event.TopicRequested},
	"audit":           {Meaning: "The run's id.", Schema: positive, Example: 3},
	"job":             {Meaning: "The bulk job's id.", Schema: positive, Example: 3},
	"result":          {Meaning: "Only orders with this result: " + listed(bulk.Results) + ".", Example: bulk.Failed},
	"state":           {Meaning: "In this state; `open` unless given.", Schema: map[string]any{"type": "string", "enum": []deadletter.State{deadletter.Open, deadletter.Redriven, deadletter.Discarded, "all"}}},
	"since":           {Meaning: "Written then or later.", Example: "2024-01-15"},
	"until":           {Meaning: "Written before that.", Example: "2024-01-16"},
	"name":            {Meaning: "Of this setting.", Example: "erp_timeout"},
	"path":            {Meaning: "The page, or `assets/`, the version and the file.", Example: "orders"},
	"alert":           {Meaning: "About this.", Schema: map[string]any{"type": "string", "enum": domain.AlertKinds}, Example: "orders_failed"},
	"as_of":           {Meaning: "Where the sync stood then, as far as its timeline tells." + sinceThe, Example: "2024-01-15T10:30:00Z"},
	"trend":           {Meaning: "Adds how many syncs with the error changed last in each of 24 hours, or on each of 14 days.", Schema: map[string]any{"type": "string", "enum": []string{"hours", "days"}}},
	"range":           {Meaning: "How far back.", Schema: map[string]any{"type": "string", "enum": []string{"hour", "day", "week"}, "default": "hour"}},
	"type":            {Meaning: "Of these types, with commas between them.", Example: "success,failed"},
	criteriaParameter: {
		Meaning: "Magento's form, in place of the other parameters: docs/search.md.", Schema: map[string]any{"type": "object"},
	},
	"all": {Meaning: "true: those that are out of force too.", Schema: map[string]any{"type": "boolean", "default": false}},

	"If-Match":                {Meaning: "The ETag of the settings that the change builds on, or `*`.", Required: true, Example: `"7"`},
	headerLastEventID:         {Meaning: "The `id` of the last event that came: the stream goes on after it."},
	event.HeaderTraceparent:   {Meaning: "W3C trace context, which the records of the request continue."},
	signature.HeaderModule:    {Meaning: "base64 of HMAC-SHA256 over the raw body."},
	signature.HeaderID:        {Meaning: "Standard Webhooks: the message's id."},
	signature.HeaderTimestamp: {Meaning: "Standard Webhooks: Unix time in seconds."},
	signature.HeaderSignature: {Meaning: "Standard Webhooks: `v1,` and the signature."},
}
