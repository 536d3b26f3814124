package main

import (
	"context"
	"os"

	"github.com/erpconnector/erpconnector/shared/platform"
)

type environmentKey struct{}

// environment is where a command finds its variables: the process's, unless the context has others.
func environment(ctx context.Context) platform.Lookup {
	if lookup, ok := ctx.Value(environmentKey{}).(platform.Lookup); ok {
		return lookup
	}
	return os.LookupEnv
}
