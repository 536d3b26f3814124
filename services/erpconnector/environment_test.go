package main

import (
	"context"

	"github.com/erpconnector/erpconnector/shared/platform"
)

// withEnvironment gives a command other variables than the process has.
func withEnvironment(ctx context.Context, variables map[string]string) context.Context {
	return context.WithValue(ctx, environmentKey{}, platform.Lookup(func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}))
}
