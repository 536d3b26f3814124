package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// asked is a handler that answers with what it was asked.
func asked(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		problem.JSON(w, http.StatusOK, map[string]string{"at": name, "id": mux.Vars(r)["id"], "method": r.Method, "body": string(body)})
	})
}

func serving(t *testing.T) *httptest.Server {
	t.Helper()
	s := httpapi.NewServer(config.HTTP{Token: "token"}, nil, []httpapi.Route{
		{Method: http.MethodGet, Path: "/rest/settings", Query: []string{"limit", "cursor"}, Handler: asked("read")},
		{Method: http.MethodPut, Path: "/rest/settings", Handler: asked("write")},
		{Method: http.MethodPost, Path: "/rest/events", Handler: asked("events")},
		{Method: http.MethodGet, Path: "/rest/status/{id}", Handler: asked("status")},
		{Method: http.MethodPost, Path: "/rest/closed", Resource: httpapi.ResourceSync, Handler: asked("closed")},
	}, nil, slog.New(slog.DiscardHandler))
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return server
}

type told struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func ask(t *testing.T, server *httptest.Server, method, path, body string) told {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL, strings.NewReader(body))
	require.NoError(t, err)
	req.URL.Opaque = strings.TrimPrefix(server.URL, "http:") + path // as it is written
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	out := told{status: resp.StatusCode, header: resp.Header, raw: string(content)}
	if bytes.HasPrefix(content, []byte("{")) {
		require.NoError(t, json.Unmarshal(content, &out.body))
	}
	return out
}

// 405 came without Allow (RFC 9110 asks for it), and HEAD was refused where GET is taken.
func TestMethods(t *testing.T) {
	t.Parallel()
	server := serving(t)
	for path, allow := range map[string]string{"/rest/settings": "GET, HEAD, PUT", "/rest/events": "POST", "/rest/status/1": "GET, HEAD", "/livez": "GET, HEAD"} {
		got := ask(t, server, http.MethodDelete, path, "")
		require.Equal(t, http.StatusMethodNotAllowed, got.status, path)
		require.Equal(t, allow, got.header.Get("Allow"))
		require.Equal(t, "method_not_allowed", got.body["code"])
		require.Equal(t, "DELETE is not taken at "+path+", but "+allow, got.body["detail"])
	}
	for _, path := range []string{"/rest/settings", "/rest/status/A%2F1", "/livez", "/readyz", "/metrics"} {
		got := ask(t, server, http.MethodHead, path, "")
		require.Equal(t, http.StatusOK, got.status, path)
		require.Empty(t, got.raw)
	}
	require.Equal(t, http.StatusMethodNotAllowed, ask(t, server, http.MethodHead, "/rest/events", "").status)
	require.Equal(t, http.StatusOK, ask(t, server, http.MethodPut, "/rest/settings", "{}").status)
}

// A base URL with a slash at its end makes //rest of /rest; it was answered with 301, and a client that follows that makes
// a GET without body of its POST: the event was never sent.
func TestSlashes(t *testing.T) {
	t.Parallel()
	server := serving(t)
	for path, want := range map[string]string{
		"//rest/events": "", "/rest//events": "", "///rest///events": "", "/rest/events": "", "http:/rest/events": "404",
		"/rest/events/": "leave out the slash at its end", "/rest/./events": "404", "/rest/other/../events": "404",
	} {
		got := ask(t, server, http.MethodPost, path, "the body")
		if want == "" {
			require.Equal(t, http.StatusOK, got.status, path)
			require.Equal(t, map[string]any{"at": "events", "id": "", "method": "POST", "body": "the body"}, got.body, path)
			continue
		}
		require.Contains(t, []int{http.StatusNotFound, http.StatusBadRequest}, got.status, path)
		if want != "404" {
			require.Contains(t, got.body["detail"], want)
		}
	}
	for path, id := range map[string]string{
		"/rest/status/A%2F%2F1": "A%2F%2F1", "//rest/status/A%2F1": "A%2F1", "/rest//status/100%25": "100%25", "/rest/status/..": "..", "/rest/status/%2e%2e": "%2e%2e",
	} {
		got := ask(t, server, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, got.status, path)
		require.Equal(t, id, got.body["id"], path)
	}
}

// A path is told as it is written, without what a terminal would obey.
func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	got := ask(t, serving(t), http.MethodGet, "/%1b[2J"+strings.Repeat("x", 300), "")
	require.Equal(t, http.StatusNotFound, got.status)
	require.Contains(t, got.body["detail"], "there is nothing at /%1b[2Jxxx")
	require.Less(t, len(got.raw), 1000)
}

// A parameter that was passed over in silence could have named another order.
func TestQueriesAreCheckedForEachRoute(t *testing.T) {
	t.Parallel()
	server := serving(t)
	for query, want := range map[string]string{
		"limt=1":            "is not known here: did you mean limit?",
		"order=1":           "is not known here: there are limit, cursor",
		"limit=1&limit=2":   "stands there twice; send it once",
		"cursor=%00":        "contains the control character U+0000; remove it",
		"cursor=%ff":        "is not valid UTF-8",
		"limit=1;cursor=2":  "",
		"limit=%zz":         "",
		"limit=1&cursor=ab": "taken",
	} {
		got := ask(t, server, http.MethodGet, "/rest/settings?"+query, "")
		if want == "taken" {
			require.Equal(t, http.StatusOK, got.status)
			continue
		}
		require.Equal(t, http.StatusBadRequest, got.status, query)
		require.Equal(t, "query_invalid", got.body["code"])
		if want != "" {
			require.Equal(t, want, got.body["errors"].([]any)[0].(map[string]any)["detail"], query) //nolint:forcetypeassert // a test
		}
	}
	got := ask(t, server, http.MethodPost, "/rest/events?source=outlet", "{}")
	require.Contains(t, got.raw, "the body names the order's shop (source)")
	got = ask(t, server, http.MethodGet, "/rest/status/1?source=outlet", "")
	require.Contains(t, got.raw, `"is not known here, where no parameter is taken"`, "there is no body that could name it")
	require.Equal(t, http.StatusUnauthorized, ask(t, server, http.MethodPost, "/rest/closed?x=1", "").status, "who may not ask is told no parameters")
}

func TestParameters(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"n=0": "n", "n=501": "n", "n=1e2": "n", "n=0x10": "n", "n=99999999999999999999": "n", "n=%2B5": "", "n=500": "", "n=": "",
		"s=61": "s", "s=-1": "s", "s=Inf": "s", "s=NaN": "s", "s=1e300": "s", "s=1e1": "s", "s=0x1p-2": "s", "s=.5": "s", "s=100000000000": "s",
		"s=60": "", "s=0": "", "s=0.5": "", "s=": "", "s=60.000000001": "s",
	} {
		p := httpapi.ParametersOf(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+query, nil))
		n, s := p.Int("n", 7, 1, 500), p.Seconds("s", 7, time.Minute)
		if want == "" {
			require.Empty(t, p.Wrong, query)
			continue
		}
		require.Len(t, p.Wrong, 1, query)
		require.Equal(t, want, p.Wrong[0].Parameter)
		require.Equal(t, problem.CodeRange, p.Wrong[0].Code)
		require.Equal(t, 7, n)
		require.Equal(t, time.Duration(7), s)
	}
}

// Magento's clients send names with brackets. Only a route that reads them takes them.
func TestNestedParametersAreTakenWhereTheRouteReadsThem(t *testing.T) {
	t.Parallel()
	for query, status := range map[string]int{
		"of[a][0]=1": http.StatusOK, "of=1": http.StatusOK, "of%5Ba%5D=1": http.StatusOK, "of[a]=1&of[a]=2": http.StatusBadRequest, "plain[a]=1": http.StatusBadRequest,
		"off[a]=1": http.StatusBadRequest, "[a]=1": http.StatusBadRequest,
	} {
		w := httptest.NewRecorder()
		r := httpapi.Route{Query: []string{"of", "plain"}, Nested: []string{"of"}, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		httpapi.CheckQuery(r).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?"+query, nil))
		require.Equal(t, status, w.Code, query)
	}
}
