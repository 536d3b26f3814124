package main

import (
	"context"
	"os"

	"github.com/erpconnector/erpconnector/shared/config"
)

type environmentKey struct{}

// environment is where a command finds its variables: the process's, unless the context has others.
func environment(ctx context.Context) config.Lookup {
	if lookup, ok := ctx.Value(environmentKey{}).(config.Lookup); ok {
		return lookup
	}
	return os.LookupEnv
}
