package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// statesPage is docs/states.md, the table in one part per request.
func statesPage(cells map[string]string) string {
	head, err := os.ReadFile("testdata/states.md.tmpl")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	b.Write(head)
	b.WriteString("\n| request |")
	for _, column := range stateColumns {
		b.WriteString(" " + columnTitle(column) + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(stateColumns)) + "\n")
	for _, r := range stateRequests {
		b.WriteString("| **" + r.name + "**<br>" + r.how + " |")
		for _, column := range stateColumns {
			b.WriteString(" " + cells[r.name+"/"+string(column)] + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func columnTitle(s domain.OrderState) string { return strings.ReplaceAll(string(s), "_", " ") }

// documentedCell is what the page says.
func documentedCell(t *testing.T, request string, column domain.OrderState) string {
	t.Helper()
	page, err := os.ReadFile(repository + "/docs/states.md")
	require.NoError(t, err, "run `go test ./services/erpconnector -run TestStates -update`")
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| **"+request+"**") {
			continue
		}
		fields := strings.Split(strings.TrimSpace(line), " | ")
		for i, c := range stateColumns {
			if c == column {
				return strings.TrimSuffix(fields[i+1], " |")
			}
		}
	}
	require.Fail(t, "docs/states.md has no such cell")
	return ""
}
