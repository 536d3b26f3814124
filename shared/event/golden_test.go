package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/topics.md")

// golden is a record as its file shows it. The traceparent is the parent's, as the span id of the child is random.
type golden struct {
	Topic   string            `json:"topic"`
	Key     string            `json:"key"`
	UUID    string            `json:"uuid"`
	Headers map[string]string `json:"headers"`
	Value   json.RawMessage   `json:"value"`
}

func TestRecordsAreAsTheGoldenFilesShow(t *testing.T) {
	t.Parallel()
	var told []string
	for _, step := range story(t) {
		path := goldenPath(step.name)
		told = append(told, path)
		t.Run(step.name, func(t *testing.T) {
			child := step.record.Headers[event.HeaderTraceparent]
			require.Equal(t, parentTrace[:36], child[:36], "the record continues the trace")
			require.NotEqual(t, parentTrace, child, "under a span of its own")
			compareFile(t, path, render(t, step.record))
		})
	}
	kept, err := filepath.Glob(goldenPath("*"))
	require.NoError(t, err)
	require.ElementsMatch(t, told, kept, "every golden file has its record")
}

func goldenPath(name string) string { return filepath.Join("testdata", "golden", name+".json") }

func render(t *testing.T, r event.Record) []byte {
	t.Helper()
	headers := maps.Clone(r.Headers)
	headers[event.HeaderTraceparent] = parentTrace
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	require.NoError(t, enc.Encode(golden{Topic: r.Topic, Key: r.Key, UUID: r.UUID, Headers: headers, Value: r.Value}))
	return b.Bytes()
}

// readGolden is the record in a golden file, its value compact as it is on the wire.
func readGolden(t testing.TB, path string) golden {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var g golden
	require.NoError(t, json.Unmarshal(text, &g))
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, g.Value))
	g.Value = compact.Bytes()
	return g
}

// goldens is every golden file by its path.
func goldens(t testing.TB) map[string]golden {
	t.Helper()
	paths, err := filepath.Glob(goldenPath("*"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	all := map[string]golden{}
	for _, path := range paths {
		all[path] = readGolden(t, path)
	}
	return all
}

// compareFile compares text with a file, or writes it there under -update.
func compareFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, text, 0o644)) //nolint:gosec // a file of the repository
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(text), "after a change that is meant: go test ./shared/event -update")
}
