package contracts_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"
)

// exchange is a request and its answer, as a golden file has them.
type exchange struct {
	file, method, target string
	request              string // the body
	status               int
	contentType          string
	answer               json.RawMessage
}

var (
	requestLine = regexp.MustCompile(`(?m)^(GET|HEAD|POST|PUT|DELETE) (\S+)$`)
	answerLine  = regexp.MustCompile(`(?m)^→ ([0-9]{3}) .*$`)
)

// goldenExchanges are those of all golden files, in the order of the files.
func goldenExchanges(t *testing.T) (all []exchange) {
	t.Helper()
	files, err := filepath.Glob(repository + "/services/*/testdata/*.golden")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		starts := requestLine.FindAllStringSubmatchIndex(string(text), -1)
		for i, at := range starts {
			end := len(text)
			if i+1 < len(starts) {
				end = starts[i+1][0]
			}
			one := exchange{file: filepath.Base(file), method: string(text[at[2]:at[3]]), target: string(text[at[4]:at[5]])}
			all = append(all, one.read(t, string(text[at[1]:end])))
		}
	}
	require.NotEmpty(t, all)
	return all
}

func (e exchange) read(t *testing.T, text string) exchange {
	t.Helper()
	at := answerLine.FindStringSubmatchIndex(text)
	require.NotNil(t, at, "%s: %s %s has no answer", e.file, e.method, e.target)
	_, e.request, _ = strings.Cut(text[:at[0]], "\n\n")
	e.request = strings.TrimSpace(e.request)
	e.status, _ = strconv.Atoi(text[at[2]:at[3]])
	headers, body, _ := strings.Cut(text[at[1]:], "\n\n")
	_, e.contentType, _ = strings.Cut(headers, "Content-Type: ")
	e.contentType, _, _ = strings.Cut(e.contentType, "\n")
	if strings.HasPrefix(body, "(") { // words in place of a long answer
		return e
	}
	if err := json.NewDecoder(strings.NewReader(body)).Decode(&e.answer); err != nil {
		require.NotContains(t, e.contentType, "json", "%s: %s %s: %v", e.file, e.method, e.target, err)
	}
	return e
}

func (e exchange) code() string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(e.answer, &p)
	return p.Code
}

// finder finds the routes of exchanges.
type finder struct {
	t      *testing.T
	routes map[string]described
	router *mux.Router
}

func finderOf(t *testing.T, routes []described) finder {
	f := finder{t, map[string]described{}, mux.NewRouter().UseEncodedPath().SkipClean(true)}
	for _, r := range routes {
		f.routes[r.name()] = r
		f.router.Handle(r.Path, http.NotFoundHandler()).Methods(r.Method).Name(r.name())
	}
	return f
}

// routeOf is the route that an exchange was with; it is false for what no route takes.
func (f finder) routeOf(e exchange) (described, bool) {
	var match mux.RouteMatch
	method := strings.Replace(e.method, http.MethodHead, http.MethodGet, 1)
	if !f.router.Match(httptest.NewRequestWithContext(f.t.Context(), method, e.target, nil), &match) || match.MatchErr != nil {
		return described{}, false
	}
	return f.routes[match.Route.GetName()], true
}
