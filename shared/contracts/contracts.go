// Package contracts serves the descriptions of what the product takes and gives: HTTP as OpenAPI 3.1, Kafka as AsyncAPI 3, and a page
// that shows both without anything from elsewhere.
//
//	curl -sS http://localhost:8080/openapi.json | jq '.paths | keys'
//
// The files are made from the code by tests, which fail when they differ: see services/contracts.
package contracts

import (
	_ "embed"
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi"
)

//go:embed openapi.json
var openAPI []byte

//go:embed asyncapi.json
var asyncAPI []byte

// AsyncAPI is the description of every topic and its records, in JSON.
func AsyncAPI() []byte { return asyncAPI }

// OpenAPI is the description of every route, in JSON.
func OpenAPI() []byte { return openAPI }

// Descriptions are what the OpenAPI description says of this package's routes: see httpapi.Description.
var Descriptions = map[string]httpapi.Description{
	"GET /openapi.json": {
		ID: "openapi", Tag: "Process", Summary: "This description", Answers: map[int]any{http.StatusOK: map[string]any{}},
	},
	"GET /asyncapi.json": {
		ID: "asyncapi", Tag: "Process", Summary: "The description of the topics in Kafka", Answers: map[int]any{http.StatusOK: map[string]any{}},
	},
	"GET /docs":          {ID: "docs", Tag: "Process", Summary: "This description for people", Answers: map[int]any{http.StatusOK: httpapi.Text{ContentType: "text/html"}}},
	"GET /docs/page.css": {ID: "docsStyle", Tag: "Process", Summary: "The look of that page", Answers: map[int]any{http.StatusOK: httpapi.Text{ContentType: "text/css"}}},
}

// Routes serve the descriptions to everybody: they say nothing of an installation.
func Routes() []httpapi.Route {
	get := func(path string, h http.HandlerFunc) httpapi.Route {
		return httpapi.Route{Method: http.MethodGet, Path: path, Resource: httpapi.ResourceNone, Handler: h}
	}
	return []httpapi.Route{
		get("/openapi.json", file("application/json", OpenAPI)),
		get("/asyncapi.json", file("application/json", AsyncAPI)),
		get("/docs", servePage),
		get("/docs/page.css", file("text/css; charset=utf-8", func() []byte { return style })),
	}
}

// file serves a file that changes with the program only.
func file(contentType string, content func() []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(content()) // an error here means that the client has left
	}
}
