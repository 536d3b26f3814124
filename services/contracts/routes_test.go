package contracts_test

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/api"
	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/contracts"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// tables are the descriptions of routes and parameters, by where they stand. A service with routes has a line here.
var tables = []struct {
	file         string
	descriptions map[string]httpapi.Description
	parameters   map[string]httpapi.Parameter
}{
	{"services/api/describe.go", api.Descriptions, api.Parameters},
	{"services/ingest/describe.go", ingest.Descriptions, ingest.Parameters},
	{"services/mockerp/describe.go", mockerp.Descriptions, mockerp.Parameters},
	{"shared/contracts/contracts.go", contracts.Descriptions, nil},
	{"shared/httpapi/describe.go", httpapi.Descriptions, nil},
}

// described is a route with what is said of it.
type described struct {
	httpapi.Route
	httpapi.Description

	file       string
	parameters map[string]httpapi.Parameter
}

func (d described) name() string { return d.Method + " " + d.Path }

// parameter is what is said of a parameter.
func (d described) parameter(name string) (httpapi.Parameter, bool) {
	if p, own := d.Parameters[name]; own {
		return p, true
	}
	p, known := d.parameters[name]
	return p, known
}

// served are the routes of all services, as the program composes them, and the names of what the router has. Nothing is started.
func served(t *testing.T) (routes []httpapi.Route, names []string) {
	t.Helper()
	cfg := config.Config{DatabaseURL: "postgres://localhost/none", KafkaBrokers: []string{"localhost:1"}, Settings: setting.Defaults()}
	cfg.ERP.HMAC = "secret"
	collect := func(server *httpapi.Server, found []httpapi.Route) (err error) {
		routes = found
		names, err = server.Walk()
		return err
	}
	all := app.Options(cfg, slog.New(slog.DiscardHandler), app.Names()...)
	require.NoError(t, fx.New(all, fx.Invoke(fx.Annotate(collect, fx.ParamTags(``, `group:"routes"`)))).Err())
	return routes, names
}

// describedRoutes are all routes with their descriptions, in the order of their names. Each has one, and no description is without its
// route.
func describedRoutes(t *testing.T) []described {
	t.Helper()
	routes, names := served(t)
	byName := map[string]httpapi.Route{}
	for _, r := range routes {
		byName[r.Method+" "+r.Path] = r
	}
	for name := range httpapi.Descriptions { // the server's own are no httpapi.Route
		method, path, _ := strings.Cut(name, " ")
		byName[name] = httpapi.Route{Method: method, Path: path}
	}
	known := map[string]described{}
	for _, table := range tables {
		for name, d := range table.descriptions {
			require.NotContains(t, known, name, "%s is described twice", name)
			require.Contains(t, names, name, "%s describes %s, which the router does not have", table.file, name)
			known[name] = described{byName[name], d, table.file, table.parameters}
		}
	}
	for _, name := range names {
		require.Contains(t, known, name, "the router has %s: describe it in the describe.go of its service (docs/api.md)", name)
	}
	out := make([]described, 0, len(known))
	for _, name := range slices.Sorted(maps.Keys(known)) {
		out = append(out, known[name])
	}
	return out
}

// Each parameter of a query is described, and every description is of some parameter.
func TestEveryParameterIsDescribed(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, r := range describedRoutes(t) {
		for _, name := range slices.Concat(r.Query, pathParameters(r.Path), r.Headers) {
			p, known := r.parameter(name)
			require.True(t, known, "%s takes %s: describe it in Parameters of %s", r.name(), name, r.file)
			require.NotEmpty(t, p.Meaning, "%s of %s", name, r.name())
			used[r.file+" "+name] = true
		}
		for name := range r.Parameters {
			require.Contains(t, slices.Concat(r.Query, pathParameters(r.Path)), name, r.name())
		}
	}
	for _, table := range tables {
		for name := range table.parameters {
			require.True(t, used[table.file+" "+name], "%s describes the parameter %s, which no route takes", table.file, name)
		}
	}
}

// A route without name, group or answer would be a gap that nobody sees; two of one name would be one method of a client.
func TestEveryDescriptionIsWhole(t *testing.T) {
	t.Parallel()
	ids := map[string]string{}
	for _, r := range describedRoutes(t) {
		require.NotEmpty(t, r.ID, r.name())
		require.NotEmpty(t, r.Tag, r.name())
		require.NotEmpty(t, r.Summary, r.name())
		require.NotEmpty(t, r.Answers, r.name())
		require.Empty(t, ids[r.ID], "%s and %s are both %s", r.name(), ids[r.ID], r.ID)
		ids[r.ID] = r.name()
	}
}
