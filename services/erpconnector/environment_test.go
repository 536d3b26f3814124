package main

import (
	"context"

	"github.com/erpconnector/erpconnector/shared/config"
)

// withEnvironment gives a command other variables than the process has.
func withEnvironment(ctx context.Context, variables map[string]string) context.Context {
	return context.WithValue(ctx, environmentKey{}, config.Lookup(func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}))
}
