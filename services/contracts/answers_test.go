package contracts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every golden answer has a status, a code and members that its route's description names, and lacks none that it promises.
func TestGoldenAnswersFitTheDescription(t *testing.T) {
	t.Parallel()
	find := finderOf(t, describedRoutes(t))
	document := closed(t, openAPI(t))
	for _, e := range goldenExchanges(t) {
		if e.answer == nil {
			continue
		}
		what := fmt.Sprintf("%s: %s %s answers %d", e.file, e.method, e.target, e.status)
		at := "/components/schemas/Problem"
		if r, ok := find.routeOf(e); ok {
			responses := "/paths/" + escaped(pattern.ReplaceAllString(r.Path, "{$1}")) + "/" + strings.ToLower(r.Method) + "/responses"
			at = responses + "/" + strconv.Itoa(e.status) + "/content/" + escaped(e.contentType) + "/schema"
		}
		schema, err := document.Compile("file:///document.json#" + at)
		require.NoError(t, err, "%s, which is not described", what)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.answer))
		require.NoError(t, err, what)
		assert.NoError(t, schema.Validate(value), what)
	}
}

func escaped(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(token)
}

// closed is the document for answers: members that it does not name are refused, unlike by a client.
func closed(t *testing.T, document object) *jsonschema.Compiler {
	t.Helper()
	components, _ := document["components"].(object)["schemas"].(object)
	for name, component := range components {
		if strings.HasPrefix(strings.ToLower(name), "event") && name != "EventResult" {
			continue // a shop's event may have members of its own
		}
		if schema, _ := component.(object); schema["properties"] != nil {
			schema["additionalProperties"] = false
		}
	}
	return compilerOf(t, document)
}

// Every request that was taken as a whole fits the schema of its route's body.
func TestGoldenRequestsFitTheDescription(t *testing.T) {
	t.Parallel()
	find := finderOf(t, describedRoutes(t))
	document := closed(t, openAPI(t))
	var met []string
	for _, e := range goldenExchanges(t) {
		r, ok := find.routeOf(e)
		if !ok || r.Body == nil || e.status >= http.StatusMultiStatus || !json.Valid([]byte(e.request)) {
			continue
		}
		at := "/paths/" + escaped(pattern.ReplaceAllString(r.Path, "{$1}")) + "/" + strings.ToLower(r.Method) + "/requestBody/content/application~1json/schema"
		schema, err := document.Compile("file:///document.json#" + at)
		require.NoError(t, err, r.name())
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(e.request))
		require.NoError(t, err)
		assert.NoError(t, schema.Validate(value), "%s: %s %s", e.file, e.method, e.target)
		met = append(met, r.name())
	}
	require.NotEmpty(t, slices.Compact(met))
}
