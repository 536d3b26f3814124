package e2e

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// credential is one kind of it.
type credential struct {
	name, authorization string
	identity            *httpapi.Identity // nil: nobody's
}

// guarded is the product with its routes, and one credential of each kind.
type guarded struct {
	*product
	routes      []httpapi.Route
	credentials []credential
}

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	cfg := configured(t, testkit.EmbeddedBroker(t))
	cfg.HTTP.FailedLogins = 100_000 // they come all at once
	g := &guarded{product: &product{t: t, cfg: cfg, base: "http://" + cfg.HTTP.Addr}}
	var store *access.Store
	running := fxtest.New(t, app.Options(cfg, slog.New(slog.DiscardHandler), app.Names()...), fx.Populate(&store),
		fx.Invoke(fx.Annotate(func(routes []httpapi.Route) { g.routes = routes }, fx.ParamTags(`group:"routes"`))))
	running.RequireStart()
	t.Cleanup(running.RequireStop)

	token := func(name, source string, resources ...httpapi.Resource) (access.Token, string) {
		made, secret, err := store.Create(t.Context(), access.New{Name: name, Resources: resources, Source: source, By: "test"})
		require.NoError(t, err)
		return made, secret
	}
	add := func(name, authorization string, identity *httpapi.Identity) {
		g.credentials = append(g.credentials, credential{name, authorization, identity})
	}
	add("none", "", nil)
	add("a wrong one", "Bearer erpc_AAAAAA_wrong", nil)
	add("another scheme", "Basic dG9rZW46", nil)
	revoked, secret := token("revoked", "", httpapi.Resources...)
	_, err := store.Revoke(t.Context(), revoked.ID, "test")
	require.NoError(t, err)
	add("a revoked one", "Bearer "+secret, nil)
	expired, secret := token("expired", "", httpapi.Resources...)
	execute(t, cfg.DatabaseURL, fmt.Sprintf(`UPDATE api_token SET expires_at = created_at + interval '1 microsecond' WHERE token_id = %d`, expired.ID))
	add("an expired one", "Bearer "+secret, nil)
	for _, r := range httpapi.Resources {
		_, secret := token("only "+string(r), "", r)
		add("one for "+string(r), "Bearer "+secret, &httpapi.Identity{Resources: []httpapi.Resource{r}})
	}
	_, secret = token("outlet's", "outlet", httpapi.Resources...)
	add("one for another shop", "Bearer "+secret, &httpapi.Identity{Resources: httpapi.Resources, Source: "outlet"})
	add("the admin's", "Bearer token", &httpapi.Identity{All: true})
	return g
}

// variable is one of a path's. It gets the value of a thing that there is none of, so that nothing is done even by who may.
var variable = regexp.MustCompile(`\{[^}]*\}`)

// TestEveryRouteForEveryCredential calls each route of the running product with each kind of credential. What comes of it follows from the
// route's declaration alone: 401 for nobody, 403 for who does not hold the resource or is for another shop, and neither for others. Where no token is asked for, none
// makes a difference.
func TestEveryRouteForEveryCredential(t *testing.T) {
	g := startGuarded(t)
	require.Greater(t, len(g.routes), 20)
	for _, route := range g.routes {
		open := 0 // of the mock ERP and the webhook, which check what is no token
		for i, c := range g.credentials {
			status, said := g.call(route, c, "")
			if i == 0 && route.Resource == httpapi.ResourceNone {
				open = refusal(status)
			}
			require.Equal(t, expected(route, c, open), refusal(status), "%s %s with %s: %d %s", route.Method, route.Path, c.name, status, said)
		}
	}
}

// call sends an empty object, and names a shop when the route takes one.
func (g *guarded) call(route httpapi.Route, c credential, body string) (int, string) {
	g.t.Helper()
	path := variable.ReplaceAllString(route.Path, "9999999")
	req, err := http.NewRequestWithContext(g.t.Context(), route.Method, g.base+path, strings.NewReader(cmp.Or(body, "{}")))
	require.NoError(g.t, err)
	req.Header.Set("Content-Type", "application/json")
	if c.authorization != "" {
		req.Header.Set("Authorization", c.authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(g.t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < http.StatusBadRequest { // a stream has no end
		return resp.StatusCode, ""
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	require.NoError(g.t, err)
	return resp.StatusCode, string(content)
}

// refusal is the status when it refuses a credential, and 0 else.
func refusal(status int) int {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return status
	}
	return 0
}

func expected(route httpapi.Route, c credential, open int) int {
	switch {
	case route.Resource == httpapi.ResourceNone:
		return open
	case c.identity == nil:
		return http.StatusUnauthorized
	case route.Resource == httpapi.ResourceAny:
		return 0
	case !c.identity.Holds(route.Resource) || !c.identity.Holds(alsoAsked(route)) || (c.identity.Source != "" && !route.BySource):
		return http.StatusForbidden
	}
	return 0
}

// alsoAsked is what a route's handler asks for beside the route's resource.
func alsoAsked(route httpapi.Route) httpapi.Resource {
	if route.Method == http.MethodPost && route.Path == httpapi.BasePath+"/alerts/destinations" {
		return httpapi.ResourceErpAddress // where the connector sends something
	}
	return route.Resource
}

// Where a token for one shop may ask, it may not ask about another.
func TestATokenForOneShopSeesNoOther(t *testing.T) {
	g := startGuarded(t)
	outlet := g.credentials[slices.IndexFunc(g.credentials, func(c credential) bool { return c.name == "one for another shop" })]
	of := func(path string) string { return httpapi.BasePath + path }
	bodies := map[string]string{
		of("/sync-order"): "", of("/resync-order"): "", of("/cancel-order"): `"reason": "r", `,
		of("/send-order-now"): `"reason": "r", `, of("/settle-order"): `"reason": "r", "erpReference": "E", `,
	}
	asked := 0
	for _, route := range g.routes {
		switch more, command := bodies[route.Path]; {
		case !route.BySource:
			continue
		case command:
			status, said := g.call(route, outlet, `{`+more+`"orderIncrementId": "1", "source": "default"}`)
			require.Equal(t, http.StatusForbidden, status, "%s: %s", route.Path, said)
		case slices.Contains(route.Query, "source"):
			route.Path += "?source=default"
			status, said := g.call(route, outlet, "")
			require.Equal(t, http.StatusForbidden, status, "%s: %s", route.Path, said)
		case route.Path == of("/events"):
			status, said := g.call(route, outlet, string(encoded(t, invoice("e", "1"))))
			require.Equal(t, http.StatusUnprocessableEntity, status, said)
			require.Contains(t, said, "/source")
		default: // one sync by its id: a test of the api's own
			continue
		}
		asked++
	}
	require.GreaterOrEqual(t, asked, 9)
}

// The declarations in one list, so that a change of who may do what is seen by who reads the change.
func TestWhoMayDoWhatIsWrittenDown(t *testing.T) {
	g := startGuarded(t)
	var lines []string
	for _, r := range g.routes {
		who := cmp.Or(strings.TrimPrefix(string(r.Resource), "Escooter_ErpConnector::"), "anybody")
		if r.BySource {
			who += ", also for one shop"
		}
		lines = append(lines, fmt.Sprintf("%-6s %s: %s", r.Method, r.Path, who))
	}
	slices.Sort(lines)
	want, file := strings.Join(lines, "\n")+"\n", "testdata/rights.golden"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o600))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run `go test ./services/erpconnector/e2e -run WhoMayDoWhat -update`")
}
