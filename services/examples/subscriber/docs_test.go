package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const repository = "../../.."

// Each piece of Go in docs/watermill.md stands, line by line, in an example that is compiled or in this program.
func TestTheCodeInTheDocumentIsCompiled(t *testing.T) {
	text, err := os.ReadFile(repository + "/docs/watermill.md")
	require.NoError(t, err)
	compiled := ""
	for _, pattern := range []string{"*.go", repository + "/shared/kafka/pubsub/example_test.go", repository + "/shared/outbox/example_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			source, err := os.ReadFile(file) //nolint:gosec // our own files
			require.NoError(t, err)
			compiled += unindented(string(source)) + "\n"
		}
	}
	pieces := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, pieces)
	for _, piece := range pieces {
		require.Contains(t, compiled, unindented(piece[1]))
	}
}

func unindented(code string) string {
	lines := strings.Split(strings.TrimSpace(code), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}
