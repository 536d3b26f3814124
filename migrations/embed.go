// Package migrations carries the schema: forward-only SQL files, embedded so that the binary needs nothing beside it.
package migrations

import "embed"

// FS holds the goose migrations, at its root.
//
//go:embed *.sql
var FS embed.FS
