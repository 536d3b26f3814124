// Package contracts_test makes shared/contracts/openapi.json from the routes, their descriptions and Go types, and checks it.
package contracts_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
)

var update = flag.Bool("update", false, "rewrite generated documents")

// The description that is served is what the routes, their descriptions and Go types say.
func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	compare(t, repository+"/shared/contracts/openapi.json", openAPI(t))
}

// compare compares a file with what it must be, or writes it.
func compare(t *testing.T, file string, document object) {
	t.Helper()
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	require.NoError(t, e.Encode(document))
	if *update {
		require.NoError(t, os.WriteFile(file, want.Bytes(), 0o600))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want.String(), string(got), "run `go test ./services/contracts -update`, and read what changes")
}

func openAPI(t *testing.T) object {
	t.Helper()
	routes := describedRoutes(t)
	s := newSchemas(t)
	paths, tags := object{}, []string{}
	golden := examples(t, routes)
	for _, r := range routes {
		path := pattern.ReplaceAllString(r.Path, "{$1}")
		item, known := paths[path].(object)
		if !known {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(r.Method)] = s.operation(r, golden)
		tags = append(tags, r.Tag)
	}
	slices.Sort(tags)
	named := []any{}
	for _, tag := range slices.Compact(tags) {
		named = append(named, object{"name": tag})
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "ERP Connector", "version": "1", "license": object{"name": "MIT", "identifier": "MIT"},
			"description": "Orders of shops on their way to an ERP. An error is problem+json (RFC 9457) with a stable `code`: docs/errors.md lists them. " +
				"Besides what each operation lists, any path may answer 404 `not_found` and 405 `method_not_allowed`.",
		},
		"servers": []any{object{"url": "/"}}, "tags": named, "paths": paths,
		"components": object{"schemas": s.components, "securitySchemes": object{
			"token":     object{"type": "http", "scheme": "bearer", "description": "A token that holds the operation's `x-resource`: docs/access.md."},
			"signature": object{"type": "apiKey", "in": "header", "name": "X-Signature", "description": "base64 of HMAC-SHA256 over the raw body. A Standard Webhooks signature does as well."},
		}},
	}
}

// pattern is a variable of a path, with the expression that it must match.
var pattern = regexp.MustCompile(`\{([a-z_]+)(?::[^{}]*)?\}`)

func pathParameters(path string) (names []string) {
	for _, m := range pattern.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

func (s *schemas) operation(r described, golden map[string]exchange) object {
	op := object{
		"operationId": r.ID, "tags": []string{r.Tag}, "summary": r.Summary, "responses": s.responses(r, golden),
		"x-resource": string(r.Resource), "security": []any{},
	}
	if r.Resource != httpapi.ResourceNone {
		op["security"] = []any{object{"token": []string{}}}
		op["x-one-shop"] = r.BySource
	} else if slices.Contains(r.Problems, "401 signature_invalid") {
		op["security"] = []any{object{"signature": []string{}}}
	}
	if r.Detail != "" {
		op["description"] = r.Detail
	}
	if parameters := parametersOf(r); len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if r.Body != nil {
		op["requestBody"] = s.request(r, golden)
	}
	return op
}

func parametersOf(r described) (parameters []any) {
	for _, place := range []struct {
		in    string
		names []string
	}{{"path", pathParameters(r.Path)}, {"query", r.Query}, {"header", r.Headers}} {
		for _, name := range place.names {
			p, _ := r.parameter(name)
			one := object{"name": name, "in": place.in, "description": p.Meaning, "schema": object{"type": "string"}}
			if p.Schema != nil {
				one["schema"] = p.Schema
			}
			if p.Schema["type"] == "object" {
				one["style"] = "deepObject"
			}
			if p.Example != nil {
				one["example"] = p.Example
			}
			if p.Required || place.in == "path" {
				one["required"] = true
			}
			parameters = append(parameters, one)
		}
	}
	return parameters
}

// request is the body of a request. Members that are not known are refused, so they are in the schema too.
func (s *schemas) request(r described, golden map[string]exchange) object {
	schema := s.body(r.Body, false)
	for _, name := range references(schema) {
		component := s.components[name].(object)
		if component["title"] != nil {
			continue // it says itself what it takes
		}
		if len(r.Required) > 0 {
			component["required"] = r.Required
		}
		if !r.OpenBody {
			component["additionalProperties"] = false
		}
	}
	media := object{"schema": schema}
	example := r.Example
	if example == "" {
		example = golden[r.name()+" request"].request
	}
	if example != "" {
		media["example"] = json.RawMessage(example)
	}
	return object{"required": true, "content": object{"application/json": media}}
}

// problemsOf are the codes of a route by their status.
func problemsOf(r described) map[int][]string {
	byStatus := map[int][]string{}
	var own []string
	if r.file != "shared/httpapi/describe.go" {
		own = httpapi.RouterProblems(r.Route)
	}
	for _, p := range slices.Concat(own, r.Problems) {
		text, code, _ := strings.Cut(p, " ")
		status, _ := strconv.Atoi(text)
		byStatus[status] = append(byStatus[status], code)
	}
	for status, codes := range byStatus {
		slices.Sort(codes)
		byStatus[status] = slices.Compact(codes)
	}
	return byStatus
}

// responses are those of a route by their status. One status may have an answer of its own and problems.
func (s *schemas) responses(r described, golden map[string]exchange) object {
	problems := problemsOf(r)
	out := object{}
	for _, status := range slices.Sorted(maps.Keys(r.Answers)) {
		content := object{}
		switch body := r.Answers[status].(type) {
		case nil:
		case httpapi.Text:
			content[body.ContentType] = object{"schema": object{"type": "string"}}
		case httpapi.Lines:
			content["application/x-ndjson"] = object{"schema": s.body(body.Of, true)}
		case httpapi.ByType:
			for _, contentType := range slices.Sorted(maps.Keys(body)) { // types get their names in this order
				content[contentType] = object{"schema": s.body(body[contentType], true)}
			}
		default:
			content["application/json"] = object{"schema": s.body(body, true)}
		}
		if e, there := golden[fmt.Sprintf("%s %d", r.name(), status)]; there && content[e.contentType] != nil {
			content[e.contentType].(object)["example"] = e.answer
		}
		out[strconv.Itoa(status)] = object{"description": http.StatusText(status), "content": content}
		if len(content) == 0 {
			delete(out[strconv.Itoa(status)].(object), "content")
		}
	}
	for status, codes := range problems {
		response, known := out[strconv.Itoa(status)].(object)
		if !known {
			response = object{"content": object{}}
			out[strconv.Itoa(status)] = response
		}
		response["description"] = http.StatusText(status) + ": " + strings.Join(codes, ", ")
		response["content"].(object)["application/problem+json"] = problemMedia(r, status, codes, golden)
	}
	return out
}

func problemMedia(r described, status int, codes []string, golden map[string]exchange) object {
	media := object{"schema": object{
		"$ref": "#/components/schemas/Problem", "properties": object{"code": object{"enum": codes}, "status": object{"const": status}},
	}}
	shown := object{}
	for _, code := range codes {
		if e, there := golden[fmt.Sprintf("%s %d %s", r.name(), status, code)]; there {
			shown[code] = object{"value": e.answer}
		}
	}
	if len(shown) > 0 {
		media["examples"] = shown
	}
	return media
}

// maxExample is how many bytes an example has at most, so that the description stays readable.
const maxExample = 4 << 10

// examples are the first golden exchanges of each route: by its name and status, and the code of a problem; "request" is the first
// that was taken.
func examples(t *testing.T, routes []described) map[string]exchange {
	t.Helper()
	found, find := map[string]exchange{}, finderOf(t, routes)
	keep := func(key string, e exchange) {
		if _, known := found[key]; !known {
			found[key] = e
		}
	}
	for _, e := range goldenExchanges(t) {
		r, ok := find.routeOf(e)
		if !ok || len(e.answer) > maxExample || e.answer == nil {
			continue
		}
		if strings.Contains(e.contentType, "problem") {
			keep(fmt.Sprintf("%s %d %s", r.name(), e.status, e.code()), e)
			continue
		}
		keep(fmt.Sprintf("%s %d", r.name(), e.status), e)
		if e.status < http.StatusMultipleChoices && len(e.request) < maxExample && json.Valid([]byte(e.request)) {
			keep(r.name()+" request", e)
		}
	}
	return found
}
