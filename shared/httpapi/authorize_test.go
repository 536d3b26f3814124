package httpapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// tokens are identities by token; of "away" it cannot be told.
type tokens map[string]httpapi.Identity

func (t tokens) Identify(_ context.Context, token string) (httpapi.Identity, error) {
	if token == "away" {
		return httpapi.Identity{}, errors.New("no answer")
	}
	id, ok := t[token]
	if !ok {
		return id, httpapi.ErrNoToken
	}
	return id, nil
}

// Each kind of token at each kind of route: what it is answered, and as whom it comes to the handler.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	var routes []httpapi.Route
	for path, r := range map[string]httpapi.Route{
		"/open":    {Resource: httpapi.ResourceNone},
		"/status":  {Resource: httpapi.ResourceViewStatus, BySource: true},
		"/resync":  {Resource: httpapi.ResourceResync, BySource: true},
		"/manage":  {Resource: httpapi.ResourceManage},
		"/config":  {Resource: httpapi.ResourceConfig},
		"/publish": {Resource: httpapi.ResourcePublish, BySource: true},
	} {
		r.Method, r.Path = http.MethodGet, path
		r.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, _ = w.Write([]byte(httpapi.Requester(req.Context()) + "@" + httpapi.BoundSource(req.Context())))
		})
		routes = append(routes, r)
	}
	of := func(name, source string, r ...httpapi.Resource) httpapi.Identity {
		return httpapi.Identity{Name: name, Resources: r, Source: source}
	}
	server := httpapi.NewServer(config.HTTP{Token: "first"}, tokens{
		"manager": of("max", "", httpapi.ResourceManage), "shop": of("shop", "outlet", httpapi.ResourcePublish, httpapi.ResourceManage),
		"viewer": of("vera", "", httpapi.ResourceViewStatus), "nothing": of("nemo", ""),
	}, routes, nil, slog.New(slog.DiscardHandler))
	const (
		ok, unauthorized, forbidden, unavailable = http.StatusOK, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable
	)
	paths := []string{"/open", "/status", "/resync", "/manage", "/config", "/publish"}
	for token, want := range map[string][]int{
		"":               {ok, unauthorized, unauthorized, unauthorized, unauthorized, unauthorized},
		"Bearer wrong":   {ok, unauthorized, unauthorized, unauthorized, unauthorized, unauthorized},
		"Basic first":    {ok, unauthorized, unauthorized, unauthorized, unauthorized, unauthorized},
		"Bearer ":        {ok, unauthorized, unauthorized, unauthorized, unauthorized, unauthorized},
		"Bearer first":   {ok, ok, ok, ok, ok, ok},
		"bearer first":   {ok, ok, ok, ok, ok, ok},
		"Bearer manager": {ok, ok, ok, ok, forbidden, forbidden},
		"Bearer shop":    {ok, ok, ok, forbidden, forbidden, ok},
		"Bearer viewer":  {ok, ok, forbidden, forbidden, forbidden, forbidden},
		"Bearer nothing": {ok, forbidden, forbidden, forbidden, forbidden, forbidden},
		"Bearer away":    {ok, unavailable, unavailable, unavailable, unavailable, unavailable},
	} {
		for i, path := range paths {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			if token != "" {
				r.Header.Set("Authorization", token)
			}
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, r)
			require.Equal(t, want[i], w.Code, "%s %s", token, path)
			if w.Code == unauthorized {
				require.NotEmpty(t, w.Header().Get("WWW-Authenticate"))
			}
		}
	}
	for token, want := range map[string]string{"first": "api@", "shop": "shop@outlet", "viewer": "vera@"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		require.Equal(t, want, w.Body.String())
	}
}
