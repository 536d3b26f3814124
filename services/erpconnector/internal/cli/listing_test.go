package cli

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/client"
)

// rows prints rows as a command does.
func rows[T any](t *testing.T, l listing[T], output string, values ...T) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, printRows(&out, l, output, values...))
	return out.String()
}

func printRows[T any](w io.Writer, l listing[T], output string, values ...T) error {
	p := &rowPrinter[T]{w: w, output: output, columns: l.columns, members: l.members, none: l.none}
	for _, value := range values {
		raw, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := p.add(value, raw); err != nil {
			return err
		}
	}
	return p.end()
}

func TestAListOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, output := range outputs {
		requireTellsOfAFullDisk(t, func(w io.Writer) error {
			return printRows(w, userListing, output, client.ShownUser{}, client.ShownUser{})
		})
	}
	requireTellsOfAFullDisk(t, func(w io.Writer) error { return printRows(w, historyListing, "table") })
}

// CSV has the members of the API, each as a text.
func TestMembersInCSV(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", "null": "", `"a,b"`: "a,b", `["a","b"]`: "a,b", "7": "7", "true": "true", `{"a":1}`: `{"a":1}`, "[1,2]": "[1,2]",
	} {
		require.Equal(t, want, memberText(json.RawMessage(raw)), raw)
	}
	require.Equal(t, "user_id,name,resources,source,created_at,created_by,changed_at,changed_by,disabled_at,disabled_by\n"+
		"7,'=cmd(),\"a,b\",,,,,,,\n", rows(t, userListing, "csv", client.ShownUser{UserId: 7, Name: "=cmd()", Resources: []client.Resource{"a", "b"}}))
}
