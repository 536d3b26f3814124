package cli

import (
	"context"
	"os"
	"strings"

	"github.com/erpconnector/erpconnector/shared/config"
)

// environmentKey is the context's key. A context carries the variables, as a command gets nothing else from the one who runs it.
type environmentKey struct{}

// WithEnvironment gives commands that run under the context other variables than the process has.
func WithEnvironment(ctx context.Context, lookup config.Lookup) context.Context {
	return context.WithValue(ctx, environmentKey{}, lookup)
}

// environment is where a command finds its variables: the process's, unless the context has others.
func environment(ctx context.Context) config.Lookup {
	if lookup, ok := ctx.Value(environmentKey{}).(config.Lookup); ok {
		return lookup
	}
	return os.LookupEnv
}

// environmentNames are the names of all variables that the process has. Where the context has others, nobody knows their names.
func environmentNames(ctx context.Context) (names []string) {
	if _, other := ctx.Value(environmentKey{}).(config.Lookup); other {
		return nil
	}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	return names
}
