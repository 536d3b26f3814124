package e2e

import (
	"context"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
)

// withEnvironment gives a command other variables than the process has.
func withEnvironment(ctx context.Context, variables map[string]string) context.Context {
	return cli.WithEnvironment(ctx, func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	})
}
