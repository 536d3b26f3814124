package httpapi

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// Description is what the API's OpenAPI description says of a route beyond its Route. Each service has a table of them, by method and
// path (services/api/describe.go), and shared/contracts/openapi.json is made from it, the routes and their Go types:
//
//	"GET " + tokensPath: {ID: "listTokens", Tag: "Tokens", Summary: "List tokens", Answers: map[int]any{200: tokenList{}}},
//
// A test fails when a route has none. docs/api.md says how a route is added.
type Description struct {
	ID       string // the operation's name, for generated clients
	Tag      string // the group that it is shown in
	Summary  string // a few words
	Detail   string // Markdown; empty: the summary says all
	Headers  []string
	Body     any      // a value of the type of the request's body; nil: it has none. Members are closed, unless OpenBody
	Required []string // members of the body that must be there
	OpenBody bool     // the body may have members of its own
	Example  string   // a body, where no golden answer shows one

	// Answers are a value of the type of each answer's body by its status: nil is no body, Text is no JSON, Lines are many, ByType has
	// several, and Part is a value that may lack members.
	Answers map[int]any
	// Problems are the problems of its own, like "404 order_not_found". What the router answers is added: see RouterProblems.
	Problems []string
	// Parameters are those that mean something else here than in the service's table of parameters.
	Parameters map[string]Parameter
}

// Parameter describes a parameter of a query, a path or a header.
type Parameter struct {
	Meaning  string
	Schema   map[string]any // nil: a text
	Example  any
	Required bool // of a header
}

// Part is a T of which an answer may have some members only, as those that ?fields= names.
type Part[T any] struct{}

// Of is the type T.
func (Part[T]) Of() reflect.Type { return reflect.TypeFor[T]() }

// Schema is a JSON Schema in a Description, in place of a Go type. Its title is its name among the types.
type Schema map[string]any

// ByType are answers of several types, by their Content-Type: which comes depends on what was asked for.
type ByType map[string]any

// OneOf is an answer of one of several types.
type OneOf []any

// RouterProblems are those that a route has without its doing.
func RouterProblems(r Route) []string {
	problems := []string{"400 query_invalid", "500 internal"}
	if !slices.Contains(probePaths, r.Path) {
		problems = append(problems, "403 certificate_required", "429 rate_limited", "503 overloaded")
	}
	if strings.Contains(r.Path, ":") { // what does not match the pattern is another path
		problems = append(problems, "404 not_found")
	}
	if r.Resource != ResourceNone {
		problems = append(problems, "401 unauthorized", "403 forbidden", "503 database_unavailable", "503 issuer_unavailable")
	}
	return problems
}

// Text is a body that is no JSON.
type Text struct{ ContentType string }

// Lines is a body of lines, each of them JSON of a type (NDJSON).
type Lines struct{ Of any }

// readiness is the answer of /readyz.
type readiness struct {
	Ready   bool              `json:"ready"`             // false: with status 503
	Checks  map[string]string `json:"checks"`            // ok or the error, by what was looked at
	Details map[string]string `json:"details,omitempty"` // what else an operator should know
}

// liveness is the answer of /livez.
type liveness struct {
	Status string `json:"status"` // ok
}

// Descriptions are those of the server's own routes.
var Descriptions = map[string]Description{
	"GET /livez": {
		ID: "live", Tag: "Process", Summary: "Whether the process runs", Answers: map[int]any{http.StatusOK: liveness{}},
	},
	"GET /readyz": {
		ID: "ready", Tag: "Process", Summary: "Whether the process can do its work now",
		Answers: map[int]any{http.StatusOK: readiness{}, http.StatusServiceUnavailable: readiness{}},
	},
	"GET /metrics": {
		ID: "metrics", Tag: "Process", Summary: "Counters and gauges for Prometheus", Answers: map[int]any{http.StatusOK: Text{"text/plain"}},
	},
}
